"""Idle stops before a machine's own idle time is over, asked for by whoever must save: a budget at its limit.

What counts as idle, who is told how long before, what a lease keeps and which organizations have paused the rules is
as in any other idle stop; only the wait is left out. Whoever asks says `because` of what, which stands in the decision.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from audit.actors import Actor
from forge.db.ids import uuid7
from workspaces import actions
from workspaces.busy import under_way
from workspaces.lifecycle import AUTOMATIC, State, legal_actions
from workspaces.models import Decision, UsageSample, WorkLease, WorkSpace
from workspaces.rules.acting import inputs_of
from workspaces.rules.deadlines import STOP, Facts, Rule, Step
from workspaces.rules.evidence import Evidence, evidence_of
from workspaces.rules.judging import Outcome
from workspaces.rules.pausing import pause_of, unpaused
from workspaces.rules.reckoning import facts_of
from workspaces.rules.settings import COLLECT_EVERY, idle_cpu, terms
from workspaces.services.control import queue
from workspaces.transitions import lock_machine, lock_scopes_of

WARNING_HOLDS = timedelta(hours=1)
"""A stop follows its warning within this, else people are told anew."""


@dataclass(frozen=True)
class Announced:
    """An early stop that a machine's people were told of, and because of what."""

    told_at: datetime
    because: Mapping[str, Any]

    @property
    def step(self) -> Step:
        return Step(STOP, Rule.IDLE, self.told_at + terms().stop_warning)


def announced(machine: WorkSpace, *, now: datetime) -> Announced | None:
    """The early stop that people were told of and that may still come; the budget may have got room since."""
    told_at = warned_at([machine], now=now).get(machine.id)
    if told_at is None or not stoppable(WorkSpace.objects.filter(pk=machine.pk), now=now).exists():
        return None
    told = machine.decisions.filter(inputs__has_key="because", decided_at=told_at)
    return Announced(told_at, told.values_list("inputs__because", flat=True)[0])


def stoppable(machines: QuerySet[WorkSpace], *, now: datetime) -> QuerySet[WorkSpace]:
    """Those of `machines` that an idle stop may be asked of: running, nothing else under way, not leased.

    After a stop that failed they are left as long as the rules leave them.
    """
    busy = under_way().filter(target_id=OuterRef("pk"))
    leased = WorkLease.objects.filter(workspace=OuterRef("pk"), until__gt=now)
    return (
        machines.filter(state=State.AVAILABLE, running_mode=WorkSpace.RunningMode.AUTO_STOP)
        .exclude(provider_id="")
        .exclude(stop_put_off_until__gt=now)
        .filter(~Exists(busy), ~Exists(leased))
    )


def warned_at(machines: Iterable[WorkSpace], *, now: datetime) -> dict[uuid.UUID, datetime]:
    """When people were told of an early stop that still holds: since then nobody has used the machine."""
    by_id = {machine.id: machine for machine in machines}
    told = Decision.objects.filter(
        workspace_id__in=by_id,
        decided_at__gt=now - terms().stop_warning - WARNING_HOLDS,
        decided_at__lte=now,
        outcome=Decision.Outcome.WARNED,
        inputs__has_key="because",
    )
    newest = dict(told.values_list("workspace_id").annotate(Max("decided_at")))
    unused = {machine_id: at for machine_id, at in newest.items() if at >= _used_at(by_id[machine_id])}
    busy = _busy_since(unused)
    return {machine_id: at for machine_id, at in unused.items() if machine_id not in busy}


def idle_ids(machines: Sequence[WorkSpace], *, now: datetime) -> set[uuid.UUID]:
    """Which of the machines are idle by their samples."""
    return {machine_id for machine_id, evidence in evidence_of(machines, now=now).items() if evidence.is_idle}


def warn_early(
    *, actor: Actor, workspace_ids: Iterable[uuid.UUID], because: Mapping[str, Any], now: datetime
) -> list[WorkSpace]:
    """Note that idle machines will be stopped early; returns those of them that are, and stay locked.

    The caller tells their owners in the same transaction. Machines that others hold, that were told of already or that
    are not idle are left out.
    """
    rows = (
        unpaused(stoppable(WorkSpace.objects.filter(id__in=list(workspace_ids)), now=now))
        .select_related("blueprint")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .order_by("id")
    )
    machines = list(rows)
    told = warned_at(machines, now=now)
    evidence = evidence_of(machines, now=now) if machines else {}
    idle = [one for one in machines if evidence[one.id].is_idle and one.id not in told and _may_stop(one)]
    facts = facts_of(idle, now=now) if idle else {}
    Decision.objects.bulk_create(
        _decision(one, Decision.Outcome.WARNED, facts[one.id], evidence[one.id], because, actor=actor, now=now)
        for one in idle
    )
    return idle


def stop_early(
    *, actor: Actor, workspace_id: uuid.UUID, because: Mapping[str, Any], still: Callable[[], bool], now: datetime
) -> Outcome:
    """Queue the stop of a machine whose people were told in time, judged anew under its lock; `still` = it must be."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        if pause_of(workspace.organization_id) is not None:
            return Outcome.PAUSED
        told = warned_at([workspace], now=now).get(workspace_id)
        free = stoppable(WorkSpace.objects.filter(pk=workspace_id), now=now).exists()
        if not free or not _may_stop(workspace) or told is None or told + terms().stop_warning > now or not still():
            return Outcome.PASSED_OVER
        evidence = evidence_of([workspace], now=now)[workspace_id]
        if not evidence.is_idle:
            return Outcome.PUT_OFF
        facts = facts_of([workspace], now=now)[workspace_id]
        made = _decision(workspace, Decision.Outcome.STOP, facts, evidence, because, actor=actor, now=now)
        operation = queue(
            workspace,
            actor=actor,
            verb=STOP,
            audit_action=actions.WORKSPACE_STOP,
            operation_id=uuid7(),
            now=now,
            spec=AUTOMATIC,
        )
        made.operation_id = operation.id
        made.save(force_insert=True)
    return Outcome.STOP


def _used_at(machine: WorkSpace) -> datetime:
    """The last sign of use that the row has; `last_activity_at` alone is written seldom, and may be older."""
    signs = (machine.state_since, machine.last_activity_at, machine.last_connected_at)
    return max(sign for sign in signs if sign is not None)


def _busy_since(told: Mapping[uuid.UUID, datetime]) -> set[uuid.UUID]:
    """Which machines a sample shows in use that reaches past the time when people were told: also of a CPU alone."""
    if not told:
        return set()
    seen = UsageSample.objects.filter(workspace_id__in=told, at__gt=min(told.values()) - COLLECT_EVERY)
    busy = seen.filter(Q(connected=True) | Q(cpu__gte=idle_cpu())).values_list("workspace_id", "at")
    return {machine_id for machine_id, at in busy if at + COLLECT_EVERY > told[machine_id]}


def _may_stop(machine: WorkSpace) -> bool:
    return STOP in legal_actions(machine.state, machine.running_mode, machine.service_type)


def _decision(
    machine: WorkSpace,
    outcome: str,
    facts: Facts,
    evidence: Evidence,
    because: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> Decision:
    step = Step(STOP, Rule.IDLE, now)
    return Decision(
        organization_id=machine.organization_id,
        workspace=machine,
        rule=Rule.IDLE.value,
        outcome=outcome,
        inputs=inputs_of(machine, step, facts, evidence) | {"because": dict(because)},
        correlation_id=actor.correlation_id,
        decided_at=now,
    )
