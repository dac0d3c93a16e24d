"""Buttons on a detail page that call services: shown where legal, done by POST after a page that says what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget


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
    `initial(row)` what the form's fields hold at first.
    `audit_action` is the audit action type of what the button does, for the entry of a press that is refused. With
    `typed`, the person must write what `typed(row)` returns, as before anything that cannot be undone.
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
    typed: Callable[[Any], str] | None = None
    icon: str = ""
    group: str = ""
    variant: ActionVariant = ActionVariant.DEFAULT

    def form_for(self, row: Any, data: Any = None) -> forms.Form:
        """The confirmation form of this button for `row`."""
        form = self.form(data, initial=self.initial(row) if self.initial else None)
        if self.typed is not None:
            form.fields[TYPED] = TypedField(expected=self.typed(row))
        return form


TYPED = "typed_confirmation"


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
