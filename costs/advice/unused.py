"""Machines that cost money and that nobody uses. No database; docs/advice.md has the rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from costs.advice import sizing
from costs.advice.cases import AUTO_STOP, COVERED, Case, Proposal, hours_as_json
from costs.advice.modes import HOURS_OF_MONTH, Confidence
from costs.pricing import MILLIONTH
from workspaces.lifecycle import State

UNATTENDED = timedelta(hours=24)
"""An AutoStop machine that has run so long without a sign of use is one that the idle rules do not stop."""


def to_end(case: Case) -> Proposal | None:
    """To end a machine that nobody has used for `idle_days`: stopped all that time, or sampled and never in use."""
    machine, activity = case.machine, case.facts.activity
    used_at = _last_used(case)
    idle = timedelta(days=case.terms.idle_days)
    if case.now - used_at < idle:
        return None
    is_stopped = machine.state == State.STOPPED
    asked_hours = min(sizing.DAYS, case.terms.idle_days) * 24
    if is_stopped and case.now - machine.state_since < idle:
        return None
    if not is_stopped and activity.told_hours < COVERED * asked_hours:
        return None
    saving = case.month_of(case.as_is)
    if saving < case.terms.least_saving:
        return None
    because, until = _held(case)
    return Proposal(
        machine=machine,
        kind="IDLE",
        action="TERMINATE",
        saving=saving,
        confidence=_idle_confidence(case, is_stopped, case.now - used_at),
        price_ids=case.facts.price_ids(case.kind),
        held_because=because,
        held_until=until,
        evidence={
            "state": str(machine.state),
            "state_since": machine.state_since.isoformat(),
            "last_used_at": used_at.isoformat(),
            "ever_connected": machine.last_connected_at is not None,
            "unused_days": (case.now - used_at).days,
            "sampled_hours": activity.told_hours,
            "asked_hours": 0 if is_stopped else asked_hours,
            "fees": str(case.as_is.monthly),
            "hours": hours_as_json(case.hours),
        },
    )


def _idle_confidence(case: Case, is_stopped: bool, unused: timedelta) -> Confidence:
    """HIGH: stopped, or sampled nearly always, twice as long as it takes; MEDIUM otherwise: nothing is guessed."""
    is_long = unused >= 2 * timedelta(days=case.terms.idle_days)
    return Confidence.HIGH if is_long and is_stopped else Confidence.MEDIUM


def to_stop(case: Case) -> Proposal | None:
    """To stop an AutoStop machine that has run for a day without a sign of use."""
    machine, activity = case.machine, case.facts.activity
    runs = machine.state == State.AVAILABLE and machine.running_mode == AUTO_STOP
    since = max(machine.state_since, _last_used(case))
    if not runs or case.now - since < UNATTENDED or activity.told_hours < COVERED * 24:
        return None
    wasted = Decimal(activity.unused_hours) * HOURS_OF_MONTH / (sizing.DAYS * 24)
    saving = (case.as_is.hourly * wasted).quantize(MILLIONTH)
    if saving < case.terms.least_saving:
        return None
    leased = case.facts.leased_until
    return Proposal(
        machine=machine,
        kind="IDLE",
        action="STOP",
        saving=saving,
        confidence=Confidence.LOW,
        price_ids=case.facts.price_ids(case.kind),
        held_because=f"A work lease keeps it running until {leased:%Y-%m-%d %H:%M} UTC" if leased else "",
        held_until=leased,
        evidence={
            "state": str(machine.state),
            "running_since": machine.state_since.isoformat(),
            "last_used_at": _last_used(case).isoformat(),
            "window_days": sizing.DAYS,
            "sampled_hours": activity.sampled_hours,
            "unused_hours": activity.unused_hours,
        },
    )


def _last_used(case: Case) -> datetime:
    """The newest sign of use; the launch where there has been none."""
    return max(_signs(case))


def _signs(case: Case) -> Iterator[datetime]:
    machine = case.machine
    yield machine.launched_at or machine.created_at
    for sign in (machine.last_connected_at, machine.last_activity_at, case.facts.activity.last_used_at):
        if sign is not None:
            yield sign


def _held(case: Case) -> tuple[str, datetime | None]:
    """Why the machine is not to be ended, and until when: somebody keeps it alive, or has leased it for work."""
    machine, leased = case.machine, case.facts.leased_until
    if machine.is_kept_alive(case.now):
        until = machine.keep_alive_until
        when = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        return f"It is kept alive{when}", until
    if leased is not None:
        return f"A work lease holds it until {leased:%Y-%m-%d %H:%M} UTC", leased
    return "", None
