"""One run of the rules: reckon what changed, warn, then stop, flag and end what is due, up to a bound."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.actors import Actor
from forge.db.jobs import JobFault
from forge.db.models import JobSwitch
from workspaces.busy import under_way
from workspaces.lifecycle import LIVE_STATES, State
from workspaces.models import LifecyclePolicy, WorkSpace
from workspaces.rules.acting import Outcome, act, put_off_after_fault, warn
from workspaces.rules.ceilings import bound_by
from workspaces.rules.deadlines import STOP, Rule, Step
from workspaces.rules.evidence import evidence_of
from workspaces.rules.reckoning import plans_of, reckon
from workspaces.rules.settings import AFTER_A_FAULT, at_most

logger = logging.getLogger(__name__)

JOB = "enforce_lifecycle"

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
    `held_back` those that are due beyond what a run may touch.
    """

    reckoned: int = 0
    warned: int = 0
    due: int = 0
    stopped: int = 0
    flagged: int = 0
    ended: int = 0
    put_off: int = 0
    passed_over: int = 0
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
}


def enforce(*, now: datetime, actor: Actor | None = None) -> dict[str, int]:
    """Carry out the rules once; returns the counts of Figures. `actor` None = the job.

    Each machine is a transaction of its own, so any number of runs may go at once and one may be killed anywhere.
    Organizations that have paused the job keep their machines. A fault of one machine keeps no other from its turn:
    LifecycleFailed is raised at the end.
    """
    actor = actor or Actor.job(JOB)
    figures = Figures(reckoned=reckon(now=now))
    free = _free()
    figures.warned = _warn(free, actor=actor, now=now)
    due = _due(free, now)
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
    """What a run would do now and why, at most as much as it may touch; changes and locks nothing.

    It looks at what is due, and at every machine whose deadlines a run would reckon anew first.
    """
    unspread = LifecyclePolicy.objects.filter(is_spread=False).select_related("team")
    anew = Q(is_unreckoned=True)
    for policy in unspread:
        anew |= bound_by(policy)
    asked = _free().filter(anew | Q(next_action_at__lte=now) | Q(warn_at__lte=now), state__in=LIVE_STATES)
    most = at_most(WorkSpace.objects.live().count())
    found: list[dict[str, Any]] = []
    for machines in _chunks(asked):
        for machine, step, is_warning in _ahead(machines, now):
            reason = ""
            if step.rule == Rule.IDLE:
                evidence = evidence_of([machine], now=now)[machine.id]
                if not evidence.is_idle:
                    continue
                reason = evidence.reason
            found.append(
                {
                    "workspace": str(machine.id),
                    "does": "warn" if is_warning else step.action,
                    "of": step.action,
                    "rule": step.rule.value,
                    "at": step.at.isoformat(),
                    "why": reason or _WHY[step.rule],
                }
            )
            if len(found) >= most:
                return found
    return found


_WHY = {
    Rule.SESSION: "it has run as long as a machine may",
    Rule.LIFETIME: "its lifetime ends",
    Rule.STALE: "nobody has started it for a long time",
}


def _ahead(machines: list[WorkSpace], now: datetime) -> Iterator[tuple[WorkSpace, Step, bool]]:
    plans = plans_of(machines, now=now)
    for machine in machines:
        due = plans[machine.id].due(now)
        if due is not None and machine.provider_id:
            yield machine, due, False
        for step in plans[machine.id].steps:
            if step.warn_at is not None and step.warn_at <= now and step != due:
                yield machine, step, True


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


def _due(free: QuerySet[WorkSpace], now: datetime) -> QuerySet[WorkSpace]:
    """Machines whose next action is due, the longest due first; found by the index on it, however many there are.

    A stop or an end of which nobody was told yet waits for the warning, and takes no place of one that can be done.
    """
    due = free.filter(next_action_at__lte=now).exclude(provider_id="").exclude(state=State.TERMINATING)
    untold = Q(next_action=STOP) | Q(next_rule=Rule.LIFETIME.value)
    return due.exclude(untold, warn_at__lte=now).order_by("next_action_at", "id")


def _free() -> QuerySet[WorkSpace]:
    """Machines that nothing else is being done to, of organizations that have not paused the rules."""
    busy = under_way().filter(target_id=OuterRef("pk"))
    paused = JobSwitch.objects.filter(job=JOB, is_paused=True, organization_id__isnull=False)
    machines = WorkSpace.objects.exclude(Exists(busy))
    organizations = [one for one in paused.values_list("organization_id", flat=True) if one is not None]
    return machines.exclude(organization_id__in=organizations) if organizations else machines
