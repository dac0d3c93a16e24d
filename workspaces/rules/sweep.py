"""One run of the rules: reckon what changed, warn, then stop, flag and end what is due, up to a bound."""

from __future__ import annotations

import heapq
import logging
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from audit.actors import Actor
from forge.db.jobs import JobFault
from workspaces.busy import under_way
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import LifecyclePolicy, WorkSpace
from workspaces.rules.acting import act, put_off_after_fault, warn
from workspaces.rules.ceilings import bound_by
from workspaces.rules.deadlines import Plan, Rule, Step
from workspaces.rules.evidence import Evidence
from workspaces.rules.judging import Outcome, has_turn, in_turn, mark, turn_of, warnings_of
from workspaces.rules.pausing import JOB, unpaused
from workspaces.rules.reckoning import plans_of, reckon, show
from workspaces.rules.settings import AFTER_A_FAULT, at_most

logger = logging.getLogger(__name__)

WARNED_TOGETHER = 200
MOST_WARNINGS = 10_000
"""A run notes no more warnings than this; the next one goes on."""

LOOKED_AT_TOGETHER = 1000


class LifecycleFailed(JobFault):
    """What was due for some machines could not be done; it was for all others."""


@dataclass
class Figures:
    """Counts of one run.

    `put_off` are idle stops without the samples for them, `passed_over` machines that others changed meanwhile,
    `paused` those whose rules were paused while the run went on, `held_back` those that are due beyond what a run may
    touch.
    """

    reckoned: int = 0
    warned: int = 0
    due: int = 0
    stopped: int = 0
    flagged: int = 0
    ended: int = 0
    put_off: int = 0
    passed_over: int = 0
    paused: int = 0
    held_back: int = 0
    failed: int = 0

    def count(self, outcome: Outcome) -> None:
        name = _COUNTED[outcome]
        setattr(self, name, getattr(self, name) + 1)


_COUNTED = {
    Outcome.STOP: "stopped",
    Outcome.FLAG: "flagged",
    Outcome.TERMINATE: "ended",
    Outcome.PUT_OFF: "put_off",
    Outcome.PASSED_OVER: "passed_over",
    Outcome.PAUSED: "paused",
}


def enforce(*, now: datetime, actor: Actor | None = None) -> dict[str, int]:
    """Carry out the rules once; returns the counts of Figures. `actor` None = the job.

    Each machine is a transaction of its own, so any number of runs may go at once and one may be killed anywhere.
    While the job is paused, for all or for an organization, its machines are left alone from then on. A fault of
    one machine keeps no other from its turn: LifecycleFailed is raised at the end.
    """
    actor = actor or Actor.job(JOB)
    figures = Figures(reckoned=reckon(now=now))
    free = _free()
    figures.warned = _warn(free, actor=actor, now=now)
    due = in_turn(free, now)
    most = settings.FORGE_LIFECYCLE_AT_MOST
    chosen = list(due.values_list("id", "organization_id")[: most + 1])
    if len(chosen) > most:
        most = at_most(WorkSpace.objects.live().count())
        figures.held_back = max(0, due.count() - most)
        chosen = list(due.values_list("id", "organization_id")[:most])
        if figures.held_back:
            logger.warning("%s machines are due beyond the %s that a run may touch", figures.held_back, most)
    faults: list[str] = []
    for workspace_id, organization_id in chosen:
        figures.due += 1
        try:
            figures.count(act(actor=actor.for_one_of(organization_id), workspace_id=workspace_id, now=now))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("what is due for machine %s could not be done", workspace_id)
            figures.failed += 1
            faults.append(f"machine {workspace_id}: {type(error).__name__}")
            put_off_after_fault(workspace_id, wait=AFTER_A_FAULT, now=now)
    if faults:
        raise LifecycleFailed(f"{len(faults)} faults: {'; '.join(faults[:20])}", asdict(figures))
    return asdict(figures)


def foresee(*, now: datetime) -> list[dict[str, Any]]:
    """What a run would do now and why, the warnings first; changes and locks nothing.

    It goes the run's way in memory: machines whose deadlines a run would reckon anew are, warnings are given, and those
    whose turn it then is get it in the run's order and up to the run's bound.
    """
    told: list[dict[str, Any]] = []
    turns = heapq.nsmallest(
        at_most(WorkSpace.objects.live().count()), _after_warnings(told, now), key=lambda one: _place(one[0])
    )
    for machine, plan in turns:
        turn = turn_of(machine, plan, now=now)
        if turn.step is not None and turn.outcome in (Outcome.STOP, Outcome.FLAG, Outcome.TERMINATE):
            told.append(_told(machine, turn.step, turn.outcome.value, turn.evidence))
    return told


_WHY = {
    Rule.SESSION: "it has run as long as a machine may",
    Rule.LIFETIME: "its lifetime ends",
    Rule.STALE: "nobody has started it for a long time",
}


def _told(machine: WorkSpace, step: Step, does: str, evidence: Evidence | None) -> dict[str, Any]:
    return {
        "workspace": str(machine.id),
        "does": does,
        "of": step.action,
        "rule": step.rule.value,
        "at": step.at.isoformat(),
        "why": evidence.reason if evidence and step.rule == Rule.IDLE else _WHY[step.rule],
    }


def _place(machine: WorkSpace) -> tuple[datetime | None, uuid.UUID]:
    return machine.next_action_at, machine.id


def _after_warnings(told: list[dict[str, Any]], now: datetime) -> Iterator[tuple[WorkSpace, Plan]]:
    """The machines whose turn it is once the warnings are given, with their plans; the warnings are added to `told`."""
    warned = heapq.nsmallest(
        MOST_WARNINGS,
        ((one.warn_at, one.id) for chunk, _ in _reckoned(now) for one in chunk if one.warn_at and one.warn_at <= now),
    )
    to_warn = {machine_id for _, machine_id in warned}
    for machines, plans in _reckoned(now):
        chosen = [machine for machine in machines if machine.id in to_warn]
        warnings = warnings_of(chosen, plans, now=now)
        told += [_told(machine, step, "warn", warnings.evidence.get(machine.id)) for machine, step in warnings.told]
        mark(warnings, plans, now=now)
        plans |= plans_of(chosen, now=now)
        for machine in chosen:
            show(machine, plans[machine.id])
        yield from ((machine, plans[machine.id]) for machine in machines if has_turn(machine, now))


def _reckoned(now: datetime) -> Iterator[tuple[list[WorkSpace], dict[uuid.UUID, Plan]]]:
    """What is due, and every machine whose deadlines a run would reckon anew first, as they would stand then."""
    anew = Q(is_unreckoned=True)
    for policy in LifecyclePolicy.objects.filter(is_spread=False).select_related("team"):
        anew |= bound_by(policy)
    asked = _free().filter(anew | Q(next_action_at__lte=now) | Q(warn_at__lte=now), state__in=LIVE_STATES)
    for machines in _chunks(asked.annotate(is_anew=ExpressionWrapper(anew, output_field=BooleanField()))):
        plans = plans_of(machines, now=now)
        for machine in machines:
            if machine.is_anew:  # type: ignore[attr-defined]
                show(machine, plans[machine.id])
        yield machines, plans


def _chunks(machines: QuerySet[WorkSpace]) -> Iterator[list[WorkSpace]]:
    after: uuid.UUID | None = None
    ordered = machines.select_related("blueprint").order_by("id")
    while chunk := list((ordered.filter(id__gt=after) if after else ordered)[:LOOKED_AT_TOGETHER]):
        yield chunk
        after = chunk[-1].id


def _warn(free: QuerySet[WorkSpace], *, actor: Actor, now: datetime) -> int:
    due = free.filter(warn_at__lte=now).order_by("warn_at", "id").values_list("id", flat=True)
    ids = list(due[:MOST_WARNINGS])
    return sum(
        warn(actor=actor, workspace_ids=ids[first : first + WARNED_TOGETHER], now=now)
        for first in range(0, len(ids), WARNED_TOGETHER)
    )


def _free() -> QuerySet[WorkSpace]:
    """Machines that nothing else is being done to, of organizations for which the rules are not paused."""
    busy = under_way().filter(target_id=OuterRef("pk"))
    return unpaused(WorkSpace.objects.exclude(Exists(busy)))
