"""What a run does with a machine whose time has come: decided here for the run and for its dry run, so they agree."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Q, QuerySet

from workspaces.lifecycle import State, legal_actions
from workspaces.models import WorkSpace
from workspaces.rules.deadlines import FLAG, STOP, TERMINATE, Plan, Rule, Step
from workspaces.rules.evidence import Evidence, evidence_of
from workspaces.rules.settings import LOOK_AGAIN, terms

WARNED_COLUMN = {STOP: "stop_warned_at", TERMINATE: "end_warned_at"}


class Outcome(StrEnum):
    """What came of a machine's turn: what was done, or why nothing was."""

    STOP = "stop"
    FLAG = "flag"
    TERMINATE = "terminate"
    PUT_OFF = "put off"
    PASSED_OVER = "passed over"
    PAUSED = "paused"


@dataclass(frozen=True)
class Turn:
    """What is to be done to a machine now, by which step, and of an idle stop on which samples."""

    outcome: Outcome
    step: Step | None = None
    evidence: Evidence | None = None


def turn_of(workspace: WorkSpace, plan: Plan, *, now: datetime) -> Turn:
    """What a run does to a machine that has its turn."""
    step = plan.due(now)
    if step is None:
        return Turn(Outcome.PASSED_OVER)
    evidence = evidence_of([workspace], now=now)[workspace.id] if step.rule == Rule.IDLE else None
    if evidence is not None and not evidence.is_idle:
        return Turn(Outcome.PUT_OFF, step, evidence)
    possible = legal_actions(workspace.state, workspace.running_mode, workspace.service_type)
    if step.action != FLAG and step.action not in possible:
        return Turn(Outcome.PASSED_OVER, step)
    return Turn(Outcome(step.action), step, evidence)


@dataclass(frozen=True)
class Warnings:
    """Which machines' people are told of which step, and whose idle stop waits because no samples prove it."""

    told: list[tuple[WorkSpace, Step]]
    unproved: list[WorkSpace]
    evidence: dict[uuid.UUID, Evidence]

    def of(self, action: str) -> list[WorkSpace]:
        return [machine for machine, step in self.told if step.action == action]


def warnings_of(machines: Iterable[WorkSpace], plans: Mapping[uuid.UUID, Plan], *, now: datetime) -> Warnings:
    """The warnings that fall due; of an idle stop nobody is told without the samples for it."""
    due = [
        (machine, step)
        for machine in machines
        for step in plans[machine.id].steps
        if step.warn_at is not None and step.warn_at <= now
    ]
    idle = [machine for machine, step in due if step.rule == Rule.IDLE]
    evidence = evidence_of(idle, now=now) if idle else {}
    unproved = [machine for machine in idle if not evidence[machine.id].is_idle]
    held = {machine.id for machine in unproved}
    told = [(machine, step) for machine, step in due if not (step.rule == Rule.IDLE and machine.id in held)]
    return Warnings(told, unproved, evidence)


def mark(warnings: Warnings, plans: Mapping[uuid.UUID, Plan], *, now: datetime) -> None:
    """Set on the machines (not in the database) what the warnings change: when they were given, what waits longer."""
    for machine, step in warnings.told:
        setattr(machine, WARNED_COLUMN[step.action], now)
    wait(warnings.unproved, plans, now=now)


def wait(machines: Sequence[WorkSpace], plans: Mapping[uuid.UUID, Plan], *, now: datetime) -> None:
    """Set on the machines until when an idle stop waits: until there may be samples, and a warning before it.

    At most until the hard deadline, which is another rule's.
    """
    later = now + LOOK_AGAIN + terms().stop_warning
    for machine in machines:
        machine.stop_put_off_until = max(now, min(later, plans[machine.id].facts.hard_deadline))


# -- Who has a turn: for rows of the database, and for a machine whose columns are reckoned in memory ------------------
# A stop or an end of which nobody was told yet waits for the warning, and takes no place of one that can be done.
def in_turn(machines: QuerySet[WorkSpace], now: datetime) -> QuerySet[WorkSpace]:
    """Machines whose next action is due, the longest due first; found by the index on it, however many there are."""
    due = machines.filter(next_action_at__lte=now).exclude(provider_id="").exclude(state=State.TERMINATING)
    untold = Q(next_action=STOP) | Q(next_rule=Rule.LIFETIME.value)
    return due.exclude(untold, warn_at__lte=now).order_by("next_action_at", "id")


def has_turn(machine: WorkSpace, now: datetime) -> bool:
    """The same of one machine by its object."""
    if machine.next_action_at is None or machine.next_action_at > now:
        return False
    if not machine.provider_id or machine.state == State.TERMINATING:
        return False
    is_untold = machine.next_action == STOP or machine.next_rule == Rule.LIFETIME.value
    return not (is_untold and machine.warn_at is not None and machine.warn_at <= now)
