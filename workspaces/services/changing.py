"""Changing what a machine is: its compute type, its running mode, its volumes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

from django.db.models import F, Max, Q

from audit.actors import Actor
from forge.db.ids import uuid7
from workspaces import actions
from workspaces.models import ConfigurationChange, UnmanagedMachine, WorkSpace
from workspaces.resizing import CONVERTIBLE, Configuration, Past, check
from workspaces.services.control import intent_of, queue, require_able, take
from workspaces.services.launching import LaunchAnswer, ask_guards, with_repairs

MODIFY_PROMISE = timedelta(hours=1)
"""A change of compute type or of a volume is to be done within this time; AWS names none."""


def modify(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    wanted: Mapping[str, Any],
    now: datetime,
    if_match: frozenset[str] | None = None,
    dry_run: bool = False,
) -> LaunchAnswer:
    """Queue a change of the fields in `wanted` (those of resizing.Configuration) after asking the launch guards.

    The machine's row changes when AWS is seen to have made it; until then what the machine will cost more is reserved.
    A dry run gives the figures, and neither locks nor writes. Raises what `start` raises, and what resizing.check
    refuses.
    """

    def admit() -> LaunchAnswer:
        workspace = take(actor=actor, workspace_id=workspace_id, action="modify", if_match=if_match)
        operation_id = uuid7()
        before, after = _judge(workspace, wanted, now=now)
        intent = intent_of(workspace, kind="modify", actor=actor, operation_id=operation_id, now=now, becoming=after)
        figures = ask_guards(intent, dry_run=False)
        changes = {"before": before.beside(after), "after": after.beside(before)}
        operation = queue(
            workspace,
            actor=actor,
            verb="modify",
            audit_action=actions.WORKSPACE_MODIFY,
            operation_id=operation_id,
            now=now,
            spec={**changes, "held": held(figures)},
            promise=MODIFY_PROMISE,
            changes=changes,
        )
        return LaunchAnswer(workspace, operation, {**figures, "changes": changes})

    if not dry_run:
        return with_repairs(admit)
    workspace = WorkSpace.objects.select_related("owner", "team", "project", "organization", "blueprint").get(
        pk=workspace_id
    )
    require_able(workspace, actor=actor, action="modify", if_match=if_match)
    before, after = _judge(workspace, wanted, now=now)
    intent = intent_of(workspace, kind="modify", actor=actor, operation_id=uuid7(), now=now, becoming=after)
    changes = {"before": before.beside(after), "after": after.beside(before)}
    return LaunchAnswer(None, None, {**ask_guards(intent, dry_run=True), "changes": changes})


def held(figures: Mapping[str, Any]) -> dict[str, str]:
    """What the guards have set aside, by budget: it is given back if the change does not come about."""
    budgets = figures.get("budgets", ())
    return {str(budget["id"]): budget["needed"] for budget in budgets if Decimal(budget["needed"]) > 0}


def _judge(workspace: WorkSpace, wanted: Mapping[str, Any], *, now: datetime) -> tuple[Configuration, Configuration]:
    before = Configuration.of(workspace)
    after = before.changed(wanted)
    check(before, after, past=_past(workspace), now=now)
    return before, after


def _past(workspace: WorkSpace) -> Past:
    changes = ConfigurationChange.objects.filter(workspace=workspace)
    resized = changes.exclude(
        before_root_volume_gb=F("after_root_volume_gb"), before_user_volume_gb=F("after_user_volume_gb")
    )
    computed = changes.exclude(before_bundle_type=F("after_bundle_type"))
    reduced = Q()
    for smaller, larger in combinations(CONVERTIBLE, 2):
        reduced |= Q(before_bundle_type=larger, after_bundle_type=smaller)
    # That of an adopted machine is the time of the adoption: when AWS made it, and last changed it, is AWS's to know.
    is_adopted = UnmanagedMachine.objects.filter(workspace=workspace).exists()
    return Past(
        launched_at=None if is_adopted else workspace.launched_at or workspace.created_at,
        compute_changed_at=computed.aggregate(at=Max("occurred_at"))["at"],
        compute_reduced_at=computed.filter(reduced).aggregate(at=Max("occurred_at"))["at"],
        volumes_changed_at=resized.aggregate(at=Max("occurred_at"))["at"],
    )
