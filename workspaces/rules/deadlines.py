"""When a machine is next stopped, flagged or ended, and by which rule: pure functions of what is known of it.

All times are instants in UTC, so neither the change to summer time nor the leap day moves a deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from workspaces.lifecycle import ACTIONS, State

SHARE_WORTH_WRITING = 20
"""Activity is written down when a twentieth (5 %) of the idle time in force has passed since what is written."""


class Rule(StrEnum):
    """Why a machine is stopped, flagged or ended."""

    IDLE = "idle"
    SESSION = "session"
    LIFETIME = "lifetime"
    STALE = "stale"


STOP, FLAG, TERMINATE = "stop", "flag", "terminate"


@dataclass(frozen=True)
class Ceiling:
    """The most that is allowed of something, who says so, and since when (None = always)."""

    value: timedelta
    source: str
    since: datetime | None = None


@dataclass(frozen=True)
class Ceilings:
    """The smallest ceilings that bind a machine; idle time alone may have none.

    `other_lifetimes` are the larger ones, of wider scopes or of before a policy was tightened: one that has held for
    longer may end a machine sooner than the smallest, which leaves the time of a warning.
    """

    idle: Ceiling | None
    session: Ceiling
    lifetime: Ceiling
    lease: Ceiling
    keep_alive: Ceiling
    other_lifetimes: tuple[Ceiling, ...] = ()


@dataclass(frozen=True)
class Terms:
    """How far ahead people are warned, and after how long a machine is stale."""

    stop_warning: timedelta
    end_warning: timedelta
    stale_after: timedelta
    stale_notice: timedelta


@dataclass(frozen=True)
class Facts:
    """What the rules know of a machine; `leased_until` is the end of its last lease.

    One that keeps nothing when it stops costs nothing while it rests, so it does not grow stale.
    """

    state: str
    is_auto_stop: bool
    created_at: datetime
    state_since: datetime
    idle_timeout: timedelta
    lifetime: timedelta
    ceilings: Ceilings
    keeps_state: bool = True
    mode_since: datetime | None = None
    last_activity_at: datetime | None = None
    leased_until: datetime | None = None
    keep_alive: bool = False
    keep_alive_until: datetime | None = None
    let_go_at: datetime | None = None
    stale_notified_at: datetime | None = None
    stop_warned_at: datetime | None = None
    end_warned_at: datetime | None = None
    put_off_until: datetime | None = None
    stop_put_off_until: datetime | None = None

    @property
    def active_at(self) -> datetime:
        """The last sign of use: coming into the present state is one."""
        return max(self.state_since, self.last_activity_at or self.state_since)

    @property
    def timeout(self) -> timedelta:
        """The idle time in force: the machine's own, or the ceiling if that is smaller."""
        return idle_time_in_force(self.idle_timeout, self.ceilings.idle)

    @property
    def runs_since(self) -> datetime:
        """When the run that the rules may stop began: with its state, or later with the switch to AutoStop."""
        return _later(self.state_since, self.mode_since)

    @property
    def hard_deadline(self) -> datetime:
        """A running machine is stopped then, used or not, leased or not."""
        return self.runs_since + self.ceilings.session.value


@dataclass(frozen=True)
class Step:
    """One thing that a rule will do: `at` the earliest, `warn_at` when people are to be told (None = they were).

    One that `waits` is not done before they were.
    """

    action: str
    rule: Rule
    at: datetime
    warn_at: datetime | None = None
    waits: bool = False


@dataclass(frozen=True)
class Plan:
    """What lies ahead of a machine, the next thing first, and the facts that it follows from."""

    steps: tuple[Step, ...]
    facts: Facts

    @property
    def next(self) -> Step | None:
        return self.steps[0] if self.steps else None

    @property
    def warn_at(self) -> datetime | None:
        """When the next warning falls due."""
        return min((step.warn_at for step in self.steps if step.warn_at is not None), default=None)

    def step_of(self, action: str, rule: str) -> Step | None:
        """The stop, or the end by `rule`: each rule ends a machine at a time of its own, and warns of that."""
        found = (step for step in self.steps if step.action == action and (action == STOP or step.rule == rule))
        return next(found, None)

    def due(self, now: datetime) -> Step | None:
        """The step that may be taken now, an end before a stop; one that waits is not, before people were told."""
        takeable = [step for step in self.steps if step.at <= now and not (step.waits and step.warn_at)]
        ends = [step for step in takeable if step.action == TERMINATE]
        return next(iter(ends or takeable), None)


def extended(deadline: datetime, *, active_at: datetime, by: timedelta, hard: datetime) -> datetime:
    """The deadline after activity: later by at most `by` from then, never earlier, never past the hard one."""
    return min(max(deadline, active_at + by), hard)


def idle_time_in_force(own: timedelta, ceiling: Ceiling | None) -> timedelta:
    """A machine's own idle time, or the ceiling if that is smaller."""
    return own if ceiling is None else min(own, ceiling.value)


def gap_worth_writing(timeout: timedelta) -> timedelta:
    """How much newer than what is written down activity must be to be worth a write, by the idle time in force."""
    return timeout / SHARE_WORTH_WRITING


def lifetime_bound(
    created_at: datetime, lifetime: timedelta, ceilings: Ceilings, terms: Terms
) -> tuple[datetime, Ceiling | None]:
    """When a lifetime is over, the earliest by all ceilings, and by which of them; None = by the machine's own.

    A ceiling that came later than the machine leaves the time of a warning.
    """
    end, by = created_at + lifetime, None
    for ceiling in (ceilings.lifetime, *ceilings.other_lifetimes):
        bound = _later(created_at + ceiling.value, ceiling.since + terms.end_warning if ceiling.since else None)
        if bound < end:
            end, by = bound, ceiling
    return end, by


def end_of_lifetime(facts: Facts, terms: Terms) -> datetime:
    """When the lifetime in force is over."""
    return lifetime_bound(facts.created_at, facts.lifetime, facts.ceilings, terms)[0]


def plan(facts: Facts, terms: Terms) -> Plan:
    """Everything that the rules will do to a machine if nothing else happens, in the order of time."""
    return Plan(tuple(sorted(_steps(facts, terms), key=lambda step: (step.at, step.action))), facts)


def _steps(facts: Facts, terms: Terms) -> Iterator[Step]:
    if facts.is_auto_stop and facts.state == State.AVAILABLE:
        yield _stop(facts, terms)
    is_kept_for_ever = facts.keep_alive and facts.keep_alive_until is None
    if facts.state not in ACTIONS[TERMINATE] or is_kept_for_ever:
        return
    yield _end(facts, terms)
    if facts.state == State.STOPPED and facts.keeps_state:
        yield _stale(facts, terms)


def _stop(facts: Facts, terms: Terms) -> Step:
    hard = facts.hard_deadline
    idle = extended(facts.state_since, active_at=facts.active_at, by=facts.timeout, hard=hard)
    deadline = min(_later(idle, facts.leased_until), hard)
    at = _later(deadline, facts.stop_put_off_until)
    rule = Rule.SESSION if at >= hard else Rule.IDLE  # a stop that waited for samples waits no longer than that
    warn_at = at - terms.stop_warning
    warned_at = facts.stop_warned_at
    if warned_at is not None and warned_at >= max(warn_at, facts.runs_since):
        return Step(STOP, rule, max(at, warned_at + terms.stop_warning))
    return Step(STOP, rule, at, warn_at, waits=True)


def _end(facts: Facts, terms: Terms) -> Step:
    """The end of the lifetime: it waits for the warning, and for the whole time of it when that comes late.

    A keep-alive that is taken away is followed by a warning of its own. A machine that lives no longer than a warning
    takes is warned of from its launch on.
    """
    over = _later(end_of_lifetime(facts, terms), facts.keep_alive_until)
    deadline = _later(over, facts.let_go_at + terms.end_warning if facts.let_go_at else None)
    notice = min(terms.end_warning, deadline - facts.created_at)
    warn_at = deadline - notice
    warned_at = facts.end_warned_at
    at = _later(deadline, facts.put_off_until)
    if warned_at is None or warned_at < warn_at:
        return Step(TERMINATE, Rule.LIFETIME, at, warn_at, waits=True)
    return Step(TERMINATE, Rule.LIFETIME, _later(at, warned_at + notice))


def _stale(facts: Facts, terms: Terms) -> Step:
    """The flag, which is the warning too, then the end; a keep-alive that runs out is followed by a flag of its own."""
    flag_at = _later(facts.state_since + terms.stale_after, facts.keep_alive_until)
    notified_at = facts.stale_notified_at
    if notified_at is None or notified_at < flag_at:
        return Step(FLAG, Rule.STALE, _later(flag_at, facts.put_off_until))
    return Step(TERMINATE, Rule.STALE, _later(notified_at + terms.stale_notice, facts.put_off_until))


def _later(deadline: datetime, *others: datetime | None) -> datetime:
    return max([deadline, *(other for other in others if other is not None)])
