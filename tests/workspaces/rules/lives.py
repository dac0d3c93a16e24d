"""What people declare that they do with machines, and when each rule must fire then: by plain arithmetic of its own.

Nothing of `workspaces` is imported here. People live by the clock of their wall, so what they do is declared in local
time; what the rules count (idle minutes, days of a lifetime) are spans of real time. A `Life` is one machine from its
launch to its end, with its uses, what people ask for, and every decision that must come of it, to the minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

RUN_EVERY = 5 * MINUTE
"""How often the jobs run, at the minutes that are multiples of it: what falls due between them is done by the next."""
CARRIED_OUT = 2 * MINUTE
"""So long after having been asked for, a launch, a stop or an end has happened in AWS and is known."""
STOPPING = MINUTE
"""So long AWS takes to stop a machine; of what it does by itself the next run hears."""
SAMPLE = 5 * MINUTE
"""CloudWatch's figure of a busy CPU is filed under the start of its five minutes, which is the sign of use."""
STOP_WARNING, END_WARNING = 10 * MINUTE, 7 * DAY
STALE_AFTER, STALE_NOTICE = 30 * DAY, 7 * DAY
LONGEST_RUN = 168 * HOUR


@dataclass(frozen=True)
class Use:
    """A person is connected in [begins, ends), or (not `is_connected`) the CPU alone is busy."""

    begins: datetime
    ends: datetime
    is_connected: bool = True

    @property
    def last_sign(self) -> datetime:
        return self.ends if self.is_connected else self.ends - SAMPLE


@dataclass(frozen=True)
class Ask:
    """What somebody asks for: `verb` lease, extend, keep or bind (a ceiling of the team's), `value` what it takes."""

    at: datetime
    verb: str
    value: Any


@dataclass(frozen=True)
class Fired:
    """One decision: what was done, by which rule, when."""

    outcome: str
    rule: str
    at: datetime


@dataclass
class Life:
    """One machine. `lifetime_most` is a ceiling in days that stood before its launch."""

    kind: str
    zone: ZoneInfo
    launched_at: datetime
    idle_minutes: int = 50
    idle_in_force: int = 50
    lifetime_days: int = 3650
    lifetime_most: int = 3650
    longest_run: timedelta = LONGEST_RUN
    is_always_on: bool = False
    is_silent: bool = False
    """AWS has it in ERROR and CloudWatch no figures of it, so that nothing shows it idle."""
    is_left_to_aws: bool = False
    """AWS's own AutoStop comes at the minute at which the rules would stop it, and is seen first."""
    job: tuple[str, str, str] | None = None
    """A weekday and the times on the wall between which its CPU is busy, if it runs."""
    team: str = ""
    family: str = ""
    uses: list[Use] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    expected: list[Fired] = field(default_factory=list)
    ended_at: datetime | None = None

    def reckon(self, until: datetime) -> Life:
        """Fill in what must come of it up to `until`, and when it ends."""
        runs = [] if self.is_always_on else list(_runs(self))
        fired = [*_ends(self), *(one for run in runs for one in run.fired)]
        starts = [run.begins for run in runs[1:]]
        for place, run in enumerate(runs):
            fired += _stale(run.stopped_at, starts[place] if place < len(starts) else None, self.asks)
        ends = sorted(one.at for one in fired if one.outcome == "terminate")
        self.ended_at = ends[0] if ends and ends[0] <= until else None
        last = self.ended_at or until
        self.expected = sorted((one for one in fired if one.at <= last), key=lambda one: one.at)
        self.uses = [use for use in self.uses if use.begins < last]
        self.asks = [ask for ask in self.asks if ask.at < last]
        return self


@dataclass
class _Run:
    begins: datetime
    stopped_at: datetime
    fired: list[Fired]


def _runs(life: Life) -> Iterator[_Run]:
    """From each start to the stop that follows: idle time after the last sign or the end of a lease, or the longest
    run. The launch is a start and a sign of use; a machine that a log-in has woken is seen to run by the next job.
    """
    idle = life.idle_in_force * MINUTE
    launched = life.launched_at + CARRIED_OUT
    spans = [(launched, launched), *((use.begins, use.last_sign) for use in life.uses)]
    leases = [ask for ask in life.asks if ask.verb == "lease"]
    place = 0
    while place < len(spans):
        begins, last = spans[place]
        hard, fired = begins + (RUN_EVERY if place else 0 * MINUTE) + life.longest_run, []
        place += 1
        while True:
            leased = max((ask.value for ask in leases if begins <= ask.at <= last), default=begins)
            due = min(hard if life.is_silent else max(last + idle, leased), hard)
            stop = at_a_run(due)
            if place == len(spans) or spans[place][0] > stop:
                break
            if due == hard:
                raise ValueError(f"{life.kind}: used again before its longest run was over")
            if spans[place][0] > stop - STOP_WARNING:
                fired.append(Fired("warned", "idle", stop - STOP_WARNING))
            last = max(last, spans[place][1])
            place += 1
        rule = "session" if due == hard else "idle"
        fired.append(Fired("warned", rule, stop - STOP_WARNING))
        if life.is_left_to_aws:
            yield _Run(begins, at_a_run(due + STOPPING), fired)
        else:
            yield _Run(begins, stop + CARRIED_OUT, [*fired, Fired("stop", rule, stop)])


def _stale(stopped_at: datetime, used_at: datetime | None, asks: Sequence[Ask]) -> Iterator[Fired]:
    """The flag of a machine that rests, and its end a week later, unless it is used or kept alive before."""
    keeps = [ask for ask in asks if ask.verb == "keep"]
    now, flagged_at, kept_until = stopped_at, None, stopped_at
    while True:
        since = stopped_at + STALE_AFTER if flagged_at is None else flagged_at + STALE_NOTICE
        due = at_a_run(max(since, kept_until, now))
        if used_at is not None and used_at <= min([due, *(ask.at for ask in keeps)]):
            return
        if keeps and keeps[0].at <= due:
            ask = keeps.pop(0)
            if ask.value is not None:
                flagged_at = None
            now, kept_until = max(now, ask.at), ask.value or stopped_at
        elif flagged_at is None:
            yield Fired("flag", "stale", due)
            now = flagged_at = due
        else:
            yield Fired("terminate", "stale", due)
            return


def _ends(life: Life) -> Iterator[Fired]:
    """The warning of a lifetime's end and the end, which extensions, keep-alives and ceilings move."""
    asks = [ask for ask in life.asks if ask.verb in ("keep", "extend", "bind")]
    now, days, kept_until, told_at = life.launched_at, life.lifetime_days, life.launched_at, None
    bound, bound_at = life.lifetime_most, None
    while True:
        end = life.launched_at + days * DAY
        if bound < days:
            least = bound_at + END_WARNING if bound_at else life.launched_at
            end = min(end, max(life.launched_at + bound * DAY, least))
        deadline = max(end, kept_until)
        warn_at = deadline - END_WARNING
        is_told = told_at is not None and told_at >= warn_at
        due = max(deadline, told_at + END_WARNING, now) if is_told else max(warn_at, now)
        if asks and asks[0].at <= due:
            ask = asks.pop(0)
            now = ask.at
            if ask.verb == "keep":
                kept_until = ask.value or life.launched_at
            elif ask.verb == "extend":
                days += ask.value
            else:
                bound, bound_at = ask.value, ask.at
        elif not is_told:
            yield Fired("warned", "lifetime", due)
            now = told_at = due
        else:
            yield Fired("terminate", "lifetime", due)
            return


def at_a_run(due: datetime) -> datetime:
    """The first run of the jobs that is not before it."""
    return due + (datetime(1970, 1, 1, tzinfo=UTC) - due) % RUN_EVERY


def wall(zone: ZoneInfo, day: date, hour: int, minute: int = 0) -> datetime:
    """The instant at which clocks on the wall show that time of that day."""
    return datetime.combine(day, time(hour, minute), tzinfo=zone).astimezone(UTC)


def days(first: date, until: datetime, *weekdays: int, every: int = 1) -> Iterable[date]:
    """The days from `first` on that are one of the weekdays (Monday is 0), of every so many weeks."""
    found = (first + timedelta(days=number) for number in range((until.date() - first).days + 1))
    return [day for day in found if day.weekday() in weekdays and (day - first).days // 7 % every == 0]
