"""Buttons on a detail page that call services: shown where legal, done by POST after a page that says what happens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import transaction
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from forge.api.errors import PreconditionFailed
from forge.api.etags import version_of


@dataclass(frozen=True)
class ShownOnce:
    """What a button answers with when it made a secret: a page of its own, which neither a cookie nor a table keeps."""

    sentence: str
    secret: str


@dataclass(frozen=True)
class Button:
    """One verb of a service, as the detail page offers it.

    `legal(user, row)` says whether this person may do it to this row now. `run(request, row, **fields)` calls the
    service with `request.actor` and returns the sentence to show (None for the label alone, ShownOnce for a secret);
    the fields are those of `form`, validated. `explain(request, row)` returns sentences for the confirmation page,
    `initial(row)` what of the row the form's fields hold at first. A form that is filled so, or is `is_versioned`,
    carries what was seen, and changes nothing where that is not so any more: with `is_versioned` the row's version,
    which `run` takes as `if_match` for its service to compare; without, what `initial` gave, compared under the row's
    lock. Whatever form changes a value that `explain` tells is one of the two.
    `audit_action` is the audit action type of what the button does, for the entry of a press that is refused. With
    `typed`, the person must write what `typed(row)` returns, as before anything that cannot be undone.
    With `looks`, a press whose form has that box ticked only looks: it leaves no entry unless it is denied.
    Buttons of one `group` stand together under its name.
    """

    name: str
    label: str
    audit_action: str
    run: Callable[..., str | ShownOnce | None]
    legal: Callable[[Any, Any], bool]
    explain: Callable[[HttpRequest, Any], Iterable[str]] | None = None
    form: type[forms.Form] = forms.Form
    initial: Callable[[Any], Mapping[str, Any]] | None = None
    is_versioned: bool = False
    typed: Callable[[Any], str] | None = None
    looks: str = ""
    icon: str = ""
    group: str = ""
    variant: ActionVariant = ActionVariant.DEFAULT

    def form_for(self, row: Any, data: Any = None) -> forms.Form:
        """The confirmation form of this button for `row`."""
        form = self.form(data, initial=self.initial(row) if self.initial else None)
        if self.is_versioned or self.initial is not None:
            form.fields[SEEN] = forms.CharField(
                max_length=64, required=False, widget=forms.HiddenInput, initial=self._seen(row)
            )
        if self.typed is not None:
            form.fields[TYPED] = TypedField(expected=self.typed(row))
        return form

    def press(self, request: HttpRequest, row: Any, cleaned: Mapping[str, Any]) -> str | ShownOnce | None:
        """Run with the cleaned fields of the form; raises PreconditionFailed where the row is not as it was seen.

        A form that was sent without what was seen is not compared, like a call of the API without If-Match.
        """
        fields = {name: value for name, value in cleaned.items() if name not in (SEEN, TYPED)}
        request.audit_as_read = bool(cleaned.get(self.looks))  # type: ignore[attr-defined]
        seen = cleaned.get(SEEN)
        if self.is_versioned:
            return self.run(request, row, if_match=frozenset({seen}) if seen else None, **fields)
        if not seen:
            return self.run(request, row, **fields)
        with transaction.atomic():
            locked = type(row)._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=row.pk).first()
            if locked is None or self._seen(locked) != seen:
                raise PreconditionFailed("It was changed by somebody else meanwhile.")
            return self.run(request, locked, **fields)

    def _seen(self, row: Any) -> str:
        if self.is_versioned or self.initial is None:
            return version_of(row)
        shown = json.dumps(dict(self.initial(row)), sort_keys=True, default=str)
        return hashlib.sha256(shown.encode()).hexdigest()


TYPED = "typed_confirmation"
SEEN = "version_seen"


class TypedField(forms.CharField):
    """A field that is valid only with exactly the expected words in it."""

    def __init__(self, *, expected: str) -> None:
        super().__init__(
            label=f"Write “{expected}” to confirm",
            widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        )
        self.expected = expected

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value != self.expected:
            raise forms.ValidationError("That is not what stands above.", code="not_confirmed")
