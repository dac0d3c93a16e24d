"""The buttons of a machine that change or mend it, and what all its buttons have in common."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from blueprints.models import BundleType
from forge.adminkit.buttons import Button
from forge.operations.links import with_link
from workspaces import actions, services
from workspaces.models import WorkSpace
from workspaces.permissions import may
from workspaces.services.control import legal_of
from workspaces.services.mending import LOSSES


def legal(action: str) -> Callable[[Any, WorkSpace], bool]:
    """Whether the state and the person's role allow `action`."""

    def is_legal(user: Any, workspace: WorkSpace) -> bool:
        return action in legal_of(workspace) and may(user, action, workspace)

    return is_legal


def ask(service: Callable[..., services.Accepted], words: str) -> Callable[..., str]:
    """A button's `run` that queues an operation and says `words`."""

    def run(request: HttpRequest, workspace: WorkSpace) -> str:
        accepted = service(actor=request.actor, workspace_id=workspace.pk, now=timezone.now())  # type: ignore[attr-defined]
        return with_link(words, accepted.operation)

    return run


class ModifyForm(forms.Form):
    """What a machine is to become; what is left empty stays."""

    bundle_type = forms.ChoiceField(
        choices=[("", "as it is"), *BundleType.choices], required=False, widget=UnfoldAdminSelectWidget
    )
    running_mode = forms.ChoiceField(
        choices=[("", "as it is"), *WorkSpace.RunningMode.choices], required=False, widget=UnfoldAdminSelectWidget
    )
    auto_stop_timeout_minutes = forms.IntegerField(
        min_value=15, max_value=2880, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    root_volume_gb = forms.IntegerField(
        min_value=1, max_value=2000, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    user_volume_gb = forms.IntegerField(
        min_value=1, max_value=2000, required=False, widget=UnfoldAdminIntegerFieldWidget
    )


def _modify(request: HttpRequest, workspace: WorkSpace, *, if_match: frozenset[str] | None, **fields: Any) -> str:
    answer = services.modify(
        actor=request.actor,  # type: ignore[attr-defined]
        workspace_id=workspace.pk,
        wanted={name: value for name, value in fields.items() if value not in ("", None)},
        now=timezone.now(),
        if_match=if_match,
    )
    figures = answer.figures
    more = Decimal(figures["reservation"])
    return with_link(f"It changes; {more:,.2f} {figures['currency']} more are reserved.", answer.operation)


def _explain_modify(request: HttpRequest, workspace: WorkSpace) -> list[str]:
    volumes = f"volumes of {workspace.root_volume_gb} and {workspace.user_volume_gb} GB"
    return [
        f"{workspace.name} is {workspace.bundle_type}, {workspace.running_mode}, with {volumes}.",
        "One thing at a time; volumes only grow; another bundle type boots the machine, and what is not saved is lost.",
        "A larger bundle type is possible once in 6 hours, a smaller one once in 30 days.",
    ]


def _explain_loss(verb: str) -> Callable[[HttpRequest, WorkSpace], list[str]]:
    def explain(request: HttpRequest, workspace: WorkSpace) -> list[str]:
        return [f"{verb.capitalize()} {workspace.name} of {workspace.owner}.", *LOSSES[verb]]

    return explain


CHANGES = (
    Button(
        "modify",
        "Modify",
        actions.WORKSPACE_MODIFY,
        group="Change",
        icon="tune",
        run=_modify,
        form=ModifyForm,
        is_versioned=True,
        legal=legal("modify"),
        explain=_explain_modify,
    ),
    Button(
        "reboot",
        "Reboot",
        actions.WORKSPACE_REBOOT,
        group="Change",
        icon="restart_alt",
        run=ask(services.reboot, "It boots again."),
        legal=legal("reboot"),
        explain=_explain_loss("reboot"),
    ),
    Button(
        "rebuild",
        "Rebuild",
        actions.WORKSPACE_REBUILD,
        group="Change",
        icon="build",
        variant=ActionVariant.DANGER,
        run=ask(services.rebuild, "It is rebuilt."),
        legal=legal("rebuild"),
        explain=_explain_loss("rebuild"),
        typed=lambda row: row.name,
    ),
    Button(
        "restore",
        "Restore",
        actions.WORKSPACE_RESTORE,
        group="Change",
        icon="history",
        variant=ActionVariant.DANGER,
        run=ask(services.restore, "It is restored."),
        legal=legal("restore"),
        explain=_explain_loss("restore"),
        typed=lambda row: row.name,
    ),
)
