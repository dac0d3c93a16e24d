"""From what is known of a machine to the advice that holds for it. No database; docs/advice.md has the rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from costs.advice import modes, sizing, unused
from costs.advice.cases import ALWAYS_ON, AUTO_STOP, Case, Proposal, Terms, hours_as_json
from costs.advice.facts import MODE_DAYS, Facts, tail_of
from workspaces.lifecycle import State
from workspaces.resizing import Configuration, ConversionImpossible, TooSoon, check

LEAST_MODE_DAYS = 7
"""Observed days without which nothing is said of the running mode."""


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
    case = Case(facts, terms, now, hours, as_is)
    ending = unused.to_end(case)
    if ending is not None:
        return [ending]
    return [one for one in (_right_size(case), _running_mode(case), unused.to_stop(case)) if one is not None]


# -- Right-sizing ----------------------------------------------------------------------------------------------------


def _right_size(case: Case) -> Proposal | None:
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
                "hours": hours_as_json(case.hours),
            },
        )
    return None


def _offered(case: Case) -> Sequence[str]:
    mode = case.machine.running_mode
    return [bundle for bundle in case.facts.allowed if (bundle, mode) in case.facts.prices]


def _possible(case: Case, changes: dict[str, Any]) -> tuple[bool, datetime | None]:
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


def _running_mode(case: Case) -> Proposal | None:
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
            "hours": hours_as_json(hours),
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
