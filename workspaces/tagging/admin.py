"""Tags on a machine's page in the console, and the button that changes them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminTextareaWidget

from forge.adminkit.buttons import Button
from workspaces import actions, services
from workspaces.models import WorkSpace
from workspaces.permissions import may
from workspaces.services.control import legal_of
from workspaces.tagging.wanted import MOST_OWN, difference, wanted_of


class TagsForm(forms.Form):
    """All of people's own tags, a line each."""

    tags = forms.CharField(
        label="All tags of the machine, a line each: key=value; or the word none",
        max_length=20_000,
        widget=UnfoldAdminTextareaWidget,
    )

    def clean_tags(self) -> dict[str, str]:
        """The lines as tags; a key ends at the first equals sign. To have none, the word must be said."""
        tags: dict[str, str] = {}
        if self.cleaned_data["tags"].strip().lower() == "none":
            return tags
        for line in self.cleaned_data["tags"].splitlines():
            key, sign, value = (part.strip() for part in line.partition("="))
            if not line.strip():
                continue
            if not sign or not key or key in tags:
                raise forms.ValidationError(f"{line[:80]!r} is no key=value of its own.")
            tags[key] = value
        return tags


def _retag(request: HttpRequest, workspace: WorkSpace, *, tags: dict[str, str], if_match: frozenset[str] | None) -> str:
    answer = services.tag(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        tags=tags,
        now=timezone.now(),
        if_match=if_match,
    )
    if answer.operation is None:
        return "The tags are changed; AWS cannot tag a right to stream."
    return f"The tags are changed, and AWS is brought after. Operation {answer.operation.pk}."


def _explain(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    lines = [f"{key}={value}" for key, value in sorted(workspace.tags.items())]
    return [
        f"What is written here replaces the tags of {workspace.name}; at most {MOST_OWN}, none of aws: or forge:.",
        f"It has: {'; '.join(lines) or 'none'}.",
        "Its cost records bear the new ones from the next hour on.",
    ]


RETAG = Button(
    "tag",
    "Tags",
    actions.WORKSPACE_TAG,
    group="Change",
    icon="sell",
    run=_retag,
    form=TagsForm,
    is_versioned=True,
    initial=lambda row: {"tags": "\n".join(f"{key}={value}" for key, value in sorted(row.tags.items())) or "none"},
    legal=lambda user, row: "tag" in legal_of(row) and may(user, "tag", row),
    explain=_explain,
)


def shown_tags(workspace: WorkSpace) -> str:
    """Forge's tags and people's own, and whether AWS was seen to have them."""
    if not workspace.capabilities.takes_tags:
        return _lines(workspace.tags) or "None; AWS cannot tag a right to stream."
    wanted = wanted_of(workspace)
    differs = difference(wanted, workspace.applied_tags, applied=workspace.applied_tags)
    if differs:
        said = f"Not in AWS yet: {', '.join(sorted({*differs.put, *differs.remove}))}."
    elif workspace.tags_applied_at is None:
        said = "AWS was given them, and has not been looked at since."
    else:
        said = f"As in AWS since {workspace.tags_applied_at:%Y-%m-%d %H:%M} UTC or before."
    return format_html("{}<div>{}</div>", _lines(wanted), said)


def _lines(tags: Any) -> str:
    return format_html_join("", "<div>{} = {}</div>", sorted(tags.items()))
