"""The button that moves a machine to another team or project, and its former ones on the machine's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from forge.adminkit.buttons import Button
from workspaces import actions, services
from workspaces.admin.buttons import legal
from workspaces.models import WorkSpace


class MoveForm(forms.Form):
    """To which team and project; the boxes hold those that it has."""

    team = forms.CharField(max_length=63, label="Team, by its slug", widget=UnfoldAdminTextInputWidget)
    project = forms.CharField(
        max_length=63, required=False, label="Project, by its slug; empty = none", widget=UnfoldAdminTextInputWidget
    )
    reason = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget)
    only_look = forms.BooleanField(
        required=False, label="Only say what it would come to, and change nothing", widget=UnfoldBooleanWidget
    )


def _move(
    request: HttpRequest,
    workspace: WorkSpace,
    *,
    team: str,
    project: str,
    reason: str,
    only_look: bool,
    if_match: frozenset[str] | None,
) -> str:
    answer = services.move(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        wanted={"team": team, "project": project or None},
        reason=reason,
        now=timezone.now(),
        if_match=if_match,
        dry_run=only_look,
    )
    figures = answer.figures
    held, given, kept = (
        "; ".join(f"{one[figure]} in the {one['scope'].lower()} budget" for one in figures[name]) or "nothing"
        for name, figure in (("budgets", "needed"), ("released", "released"), ("released", "kept"))
    )
    come = "would be" if only_look else "are"
    money = f"In {figures['currency']}, held anew {come}: {held}. Given back {come}: {given}; kept until then: {kept}."
    since = f"It {'would be' if only_look else 'is'} charged there from {figures['charged_from']} on."
    return f"{'Nothing was changed' if only_look else 'It has moved'}. {since} {money}"


def _explain(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    project = workspace.project.slug if workspace.project else "none"
    return [
        f"{workspace.name} of {workspace.owner} is charged to team {workspace.team.slug}, project {project}.",
        "The hours that began before the move, and all that was booked, stay where they are.",
        "The budgets of the new team and project must have room; the others get back what they hold for it.",
        "What its end within this hour would still cost them they keep until the hour is over.",
        "The lifecycle policy and the regions of the new team bind it. Its tags in AWS are brought after.",
    ]


def _initial(workspace: WorkSpace) -> dict[str, Any]:
    return {"team": workspace.team.slug, "project": workspace.project.slug if workspace.project else ""}


MOVE = Button(
    "move",
    "Move",
    actions.WORKSPACE_MOVE,
    group="Change",
    icon="drive_file_move",
    run=_move,
    form=MoveForm,
    is_versioned=True,
    looks="only_look",
    initial=_initial,
    legal=legal("move"),
    explain=_explain,
)
