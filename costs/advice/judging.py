"""From what is known of a machine to the advice that holds for it. No database; docs/advice.md has the rules."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from costs.advice import modes, sizing
from costs.advice.facts import MODE_DAYS, Facts, tail_of
from costs.advice.modes import HOURS_OF_MONTH, Confidence, Hours, Rates
from costs.pricing import MILLIONTH
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.resizing import Configuration, ConversionImpossible, TooSoon, check

LEAST_MODE_DAYS = 7
"""Observed days without which nothing is said of the running mode."""

COVERED = 0.8
"""Share of a machine's hours that must have samples before their silence says that nobody used it."""

UNATTENDED = timedelta(hours=24)
"""An AutoStop machine that has run so long without a sign of use is one that the idle rules do not stop."""

AUTO_STOP, ALWAYS_ON = "AUTO_STOP", "ALWAYS_ON"


@dataclass(frozen=True)
class Terms:
    """The installation's figures: how long unused is idle, and the least saving of a month worth saying."""

    idle_days: int
    least_saving: Decimal


@dataclass(frozen=True)
class Proposal:
    """Advice that holds for a machine now; `held_until` and `held_because` where it is not to be acted on yet."""

    machine: WorkSpace
    kind: str
    action: str
    saving: Decimal
    confidence: Confidence
    price_ids: list[uuid.UUID]
    evidence: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    possible_at: datetime | None = None
    best_at: datetime | None = None
    held_because: str = ""
    held_until: datetime | None = None


@dataclass(frozen=True)
class _Case:
    """A machine with what its month costs as it is; `hours` None = not observed, and then none are reckoned."""

    facts: Facts
    terms: Terms
    now: datetime
    hours: Hours | None
    as_is: Rates

    @property
    def machine(self) -> WorkSpace:
        return self.facts.machine

    @property
    def kind(self) -> tuple[str, str]:
        return self.machine.bundle_type, self.machine.running_mode

    def month_of(self, rates: Rates) -> Decimal:
        return rates.month(self.hours.mean if self.hours else Decimal(0))


def judge(facts: Facts, *, terms: Terms, now: datetime) -> list[Proposal]:
    """What is advised for the machine now: nothing for one without a price, in quarantine, or not at rest.

    A machine that nobody uses is advised to end and nothing else.
    """
    machine = facts.machine
    as_is = facts.rates(machine.bundle_type, machine.running_mode)
    at_rest = machine.state in (State.AVAILABLE, State.STOPPED) and machine.launched_at is not None
    if as_is is None or not at_rest or machine.quarantined_at is not None:
        return []
    observed = len(facts.hours_by_day) >= LEAST_MODE_DAYS
    hours = modes.foreseen(facts.hours_by_day) if observed else None
    case = _Case(facts, terms, now, hours, as_is)
    unused = _unused(case)
    if unused is not None:
        return [unused]
    return [one for one in (_right_size(case), _running_mode(case), _unattended(case)) if one is not None]


# -- Right-sizing ----------------------------------------------------------------------------------------------------


def _right_size(case: _Case) -> Proposal | None:
    machine, load = case.machine, case.facts.load
    if load is None:
        return None
    sizes = sizing.sizes_for(machine.bundle_type, load, _offered(case))
    if sizes is None:
        return None
    before = case.month_of(case.as_is)
    for bundle_type in sizes.fitting:
        wanted = bundle_type, machine.running_mode
        rates = case.facts.rates(*wanted)
        saving = before - case.month_of(rates) if rates else Decimal(0)
        if rates is None or (not sizes.is_larger and saving < case.terms.least_saving):
            continue
        changes = {"bundle_type": bundle_type}
        is_possible, possible_at = _possible(case, changes)
        if not is_possible:
            continue
        return Proposal(
            machine=machine,
            kind="RIGHT_SIZE",
            action="MODIFY",
            changes=changes,
            saving=saving,
            confidence=sizing.confidence(load, sizes),
            price_ids=case.facts.price_ids(case.kind, wanted),
            possible_at=possible_at,
            evidence={
                "window_days": sizing.DAYS,
                "days_covered_share": round(load.days / sizing.DAYS, 4),
                "because": sizes.because,
                **load.as_json(),
                "cost_now": str(before),
                "cost_then": str(case.month_of(rates)),
                "hours": _hours(case.hours),
            },
        )
    return None


def _offered(case: _Case) -> Sequence[str]:
    mode = case.machine.running_mode
    return [bundle for bundle in case.facts.allowed if (bundle, mode) in case.facts.prices]


def _possible(case: _Case, changes: dict[str, Any]) -> tuple[bool, datetime | None]:
    """Whether AWS makes the change at all, and from when on; None = at once."""
    before, past = Configuration.of(case.machine), case.facts.past
    if past is None:
        return False, None
    try:
        check(before, before.changed(changes), past=past, now=case.now)
    except TooSoon as refusal:
        return True, refusal.extra["possible_at"]
    except ConversionImpossible:
        return False, None
    return True, None


# -- Running mode ----------------------------------------------------------------------------------------------------


def _running_mode(case: _Case) -> Proposal | None:
    machine, hours = case.machine, case.hours
    auto_stop = case.facts.rates(machine.bundle_type, AUTO_STOP)
    always_on = case.facts.rates(machine.bundle_type, ALWAYS_ON)
    if hours is None or auto_stop is None or always_on is None or not machine.capabilities.has_running_modes:
        return None
    break_even = modes.break_even_hours(auto_stop, always_on)
    if break_even is None:
        return None
    to_always_on = machine.running_mode == AUTO_STOP
    now, then = (auto_stop, always_on) if to_always_on else (always_on, auto_stop)
    saving = now.month(hours.mean) - then.month(hours.mean)
    if saving < case.terms.least_saving:
        return None
    by_weekday = modes.daily(case.facts.hours_by_day)
    switch = modes.best_switch(
        to_always_on=to_always_on, now=case.now, auto_stop=auto_stop, always_on=always_on, hours=by_weekday
    )
    return Proposal(
        machine=machine,
        kind="RUNNING_MODE",
        action="MODIFY",
        changes={"running_mode": ALWAYS_ON if to_always_on else AUTO_STOP},
        saving=saving,
        confidence=modes.confidence(hours, break_even, full=MODE_DAYS),
        price_ids=case.facts.price_ids((machine.bundle_type, AUTO_STOP), (machine.bundle_type, ALWAYS_ON)),
        best_at=switch.at,
        evidence={
            "window_days": MODE_DAYS,
            "days_covered_share": round(hours.days / MODE_DAYS, 4),
            "break_even_hours": str(break_even),
            "hours": _hours(hours),
            "hours_are": "billed" if to_always_on else "those of the connections and the time after them",
            "stop_tail_hours": int(tail_of(machine) / timedelta(hours=1)),
            "hours_by_weekday": [str(each) for each in by_weekday],
            "cost_auto_stop": {name: str(auto_stop.month(getattr(hours, name))) for name in ("p10", "p50", "p90")},
            "cost_always_on": str(always_on.month(hours.mean)),
            "switch_from": switch.at.isoformat(),
            "switch_until": switch.until.isoformat(),
            "switch_cost": str(switch.cost),
            "switch_cost_until": switch.end.isoformat(),
        },
    )


def _hours(hours: Hours | None) -> dict[str, Any] | None:
    if hours is None:
        return None
    said = {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(hours).items()}
    return said | {"p50": str(hours.p50)}


# -- Not used --------------------------------------------------------------------------------------------------------


def _unused(case: _Case) -> Proposal | None:
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
            "hours": _hours(case.hours),
        },
    )


def _idle_confidence(case: _Case, is_stopped: bool, unused: timedelta) -> Confidence:
    """HIGH: stopped, or sampled nearly always, twice as long as it takes; MEDIUM otherwise: nothing is guessed."""
    is_long = unused >= 2 * timedelta(days=case.terms.idle_days)
    return Confidence.HIGH if is_long and is_stopped else Confidence.MEDIUM


def _unattended(case: _Case) -> Proposal | None:
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


def _last_used(case: _Case) -> datetime:
    """The newest sign of use; the launch where there has been none."""
    return max(_signs(case))


def _signs(case: _Case) -> Iterator[datetime]:
    machine = case.machine
    yield machine.launched_at or machine.created_at
    for sign in (machine.last_connected_at, machine.last_activity_at, case.facts.activity.last_used_at):
        if sign is not None:
            yield sign


def _held(case: _Case) -> tuple[str, datetime | None]:
    """Why the machine is not to be ended, and until when: somebody keeps it alive, or has leased it for work."""
    machine, leased = case.machine, case.facts.leased_until
    if machine.is_kept_alive(case.now):
        until = machine.keep_alive_until
        when = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        return f"It is kept alive{when}", until
    if leased is not None:
        return f"A work lease holds it until {leased:%Y-%m-%d %H:%M} UTC", leased
    return "", None
