"""What lies ahead of a machine and why, in figures that the API, the console and mail can show."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from workspaces.lifecycle import State
from workspaces.models import WorkLease, WorkSpace
from workspaces.rules.deadlines import STOP, Ceiling, Facts, Plan, Rule, Step, end_of_lifetime, lifetime_bound, plan
from workspaces.rules.early import Announced, announced
from workspaces.rules.evidence import Evidence, evidence_of
from workspaces.rules.pausing import Pause, pause_of
from workspaces.rules.price import monthly_price
from workspaces.rules.reckoning import facts_of
from workspaces.rules.settings import terms

SHOWN_DECISIONS = 20


def why(*, workspace: WorkSpace, now: datetime) -> dict[str, Any]:
    """The next deadline and what follows it, the reasons, the last sign of use, ceilings, leases and decisions.

    It is reckoned at `now` from the same facts as the rules', so it is right also before the next sweep has run.
    """
    facts = facts_of([workspace], now=now)[workspace.id]
    runs = facts.is_auto_stop and facts.state == State.AVAILABLE
    early = announced(workspace, now=now) if runs else None
    ahead = _with_early_stop(plan(facts, terms()), early)
    evidence = evidence_of([workspace], now=now)[workspace.id] if runs else None
    waits_until = workspace.stop_put_off_until if runs else None
    pause = pause_of(workspace.organization_id)
    return {
        "workspace": workspace.id,
        "state": workspace.state,
        "now": now,
        "next": _shown(ahead.next, facts, early, now) if ahead.next else None,
        "steps": [_shown(step, facts, early, now) for step in ahead.steps],
        "paused": asdict(pause) if pause else None,
        "reasons": reasons(facts, ahead, early, evidence, pause, now=now),
        "last_signal": {"at": facts.active_at, "signal": _signal(workspace, facts)},
        "hard_deadline": facts.hard_deadline if runs else None,
        "evidence": evidence.as_json() if evidence else None,
        "ceilings": ceilings(facts),
        "lifetime_end": end_of_lifetime(facts, terms()),
        "leased_until": facts.leased_until,
        "keep_alive_until": facts.keep_alive_until,
        "monthly_price": monthly_price(workspace, now=now),
        "stop_warned_at": early.told_at if early else workspace.stop_warned_at,
        "end_warned_at": workspace.end_warned_at,
        "stale_notified_at": workspace.stale_notified_at,
        "put_off_until": workspace.put_off_until if _ahead(workspace.put_off_until, now) else None,
        "stop_put_off_until": waits_until if _ahead(waits_until, now) else None,
        "decisions": list(workspace.decisions.order_by("-decided_at", "-id")[:SHOWN_DECISIONS]),
    }


def leases_of(workspace: WorkSpace) -> list[WorkLease]:
    """The leases of a machine, the one that ends last first; the last thousand."""
    return list(workspace.leases.select_related("created_by").order_by("-until", "-id")[:1000])


def _with_early_stop(ahead: Plan, early: Announced | None) -> Plan:
    """A machine is stopped once: early, or by its own plan if that comes sooner."""
    own = next((step for step in ahead.steps if step.action == STOP), None)
    if early is None or own is None or own.at <= early.step.at:
        return ahead
    others = [step for step in ahead.steps if step is not own]
    return replace(ahead, steps=tuple(sorted([*others, early.step], key=lambda step: step.at)))


def reasons(
    facts: Facts,
    ahead: Plan,
    early: Announced | None,
    evidence: Evidence | None,
    pause: Pause | None,
    *,
    now: datetime,
) -> list[str]:
    """Why it is so, in sentences: what the next step follows from, and what holds it up."""
    said = []
    step = ahead.next
    if pause is not None:
        said.append(f"{pause}: {'whatever is due waits until they go on' if step else 'they do nothing meanwhile'}.")
    if step is None:
        said.append(_nothing_ahead(facts))
    else:
        said.append(_because(step, facts, early))
    if _ahead(facts.leased_until, now) and facts.state == State.AVAILABLE and facts.is_auto_stop:
        leased = facts.leased_until
        until = min(leased, facts.hard_deadline) if leased else None
        said.append(f"A work lease keeps it from being stopped for idleness until {_time(until)}.")
        if leased and leased > facts.hard_deadline:
            said.append(f"The lease is longer than the longest run, which ends at {_time(facts.hard_deadline)}.")
    if facts.keep_alive and (facts.keep_alive_until is None or facts.keep_alive_until > now):
        until_words = f" until {_time(facts.keep_alive_until)}" if facts.keep_alive_until else ""
        said.append(f"It is kept alive{until_words}: no rule ends it, but an idle machine is still stopped.")
    if evidence is not None and not evidence.is_idle:
        said.append(f"An idle stop waits for samples: {evidence.reason}.")
    if _ahead(facts.put_off_until, now):
        said.append(f"What failed is tried again at {_time(facts.put_off_until)}: no rule flags or ends it before.")
    if _ahead(facts.stop_put_off_until, now) and facts.state == State.AVAILABLE and facts.is_auto_stop:
        said.append(f"No rule stops it before {_time(facts.stop_put_off_until)}: a stop failed, or waits for samples.")
    return said


def ceilings(facts: Facts) -> dict[str, Any]:
    """Each ceiling in force with whoever set it, beside what the machine has of its own."""
    bound = facts.ceilings
    return {
        "idle_minutes": _ceiling(bound.idle, timedelta(minutes=1), own=facts.idle_timeout),
        "session_hours": _ceiling(bound.session, timedelta(hours=1)),
        "lifetime_days": _ceiling(bound.lifetime, timedelta(days=1), own=facts.lifetime),
        "lease_hours": _ceiling(bound.lease, timedelta(hours=1)),
        "keep_alive_days": _ceiling(bound.keep_alive, timedelta(days=1)),
    }


def _ceiling(ceiling: Ceiling | None, unit: timedelta, own: timedelta | None = None) -> dict[str, Any]:
    """`in_force` is the smaller of the machine's own figure and the ceiling, `source` whose that is."""
    at_most = ceiling.value // unit if ceiling else None
    mine = own // unit if own is not None else None
    binds = at_most is not None and (mine is None or at_most < mine)
    return {
        "own": mine,
        "at_most": at_most,
        "ceiling": ceiling.source if ceiling else None,
        "in_force": at_most if binds else mine,
        "source": (ceiling.source if ceiling else "") if binds else "machine",
    }


def _shown(step: Step, facts: Facts, early: Announced | None, now: datetime) -> dict[str, Any]:
    return {
        "action": step.action,
        "at": step.at,
        "in_seconds": max(0, int((step.at - now).total_seconds())),
        "rule": step.rule.value,
        "warn_at": step.warn_at,
        "reason": _because(step, facts, early),
    }


def _because(step: Step, facts: Facts, early: Announced | None) -> str:
    if early is None or step != early.step:
        return _BECAUSE[step.rule](facts, step)
    what = ", ".join(f"{name} {value}" for name, value in sorted(early.because.items()))
    return f"It stops before its idle time is over ({what}); its owner was told at {_time(early.told_at)}."


def _idle(facts: Facts, step: Step) -> str:
    minutes = int(facts.timeout.total_seconds() // 60)
    ceiling = facts.ceilings.idle
    by = f" ({ceiling.source})" if ceiling and ceiling.value < facts.idle_timeout else ""
    return f"It stops after {minutes} minutes without use{by}; it was last used at {_time(facts.active_at)}."


def _session(facts: Facts, step: Step) -> str:
    hours = int(facts.ceilings.session.value.total_seconds() // 3600)
    return f"It may run {hours} hours at most ({facts.ceilings.session.source}), since {_time(facts.runs_since)}."


def _lifetime(facts: Facts, step: Step) -> str:
    end, ceiling = lifetime_bound(facts.created_at, facts.lifetime, facts.ceilings, terms())
    by = f" ({ceiling.source})" if ceiling else ""
    said = f"Its lifetime ends at {_time(end)}{by}."
    if facts.let_go_at and step.at > end:
        days = terms().end_warning.days
        said += f" It was kept alive until {_time(facts.let_go_at)}, and ends {days} days after a warning."
    elif facts.end_warned_at and step.at == facts.end_warned_at + terms().end_warning > end:
        said += f" It ends later, because its owner was warned only at {_time(facts.end_warned_at)}."
    return said


def _stale(facts: Facts, step: Step) -> str:
    days = terms().stale_after.days
    said = f"It has been stopped since {_time(facts.state_since)}; after {days} days a machine is stale."
    if step.action == "terminate" and facts.stale_notified_at:
        said += f" Its owner was told at {_time(facts.stale_notified_at)}; starting it or keeping it alive saves it."
    return said


_BECAUSE = {Rule.IDLE: _idle, Rule.SESSION: _session, Rule.LIFETIME: _lifetime, Rule.STALE: _stale}


def _nothing_ahead(facts: Facts) -> str:
    if facts.keep_alive and facts.keep_alive_until is None:
        return "Nothing happens to it by itself: it is kept alive without an end."
    return f"Nothing happens to a machine that is {facts.state}."


def _signal(workspace: WorkSpace, facts: Facts) -> str:
    """What the last sign of use was; coming into its state when nothing newer is known."""
    newer = workspace.last_activity_at is not None and workspace.last_activity_at > workspace.state_since
    return str(workspace.last_signal) if newer else "state"


def _ahead(at: datetime | None, now: datetime) -> bool:
    return at is not None and at > now


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"
