"""The kinds of people and machines that the year is walked with; each declares one seat's machines, one after another.

Ceilings: the organization allows 75 idle minutes, team `short` 30 of them; the family `brief` runs of seven hours, the
family `mute` of two, the family `lab` a lifetime of fourteen days; team `bound` gets one of ten days in the middle of
the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.workspaces.rules.lives import DAY, HOUR, MINUTE, Ask, Life, Use, days, wall

ZONES = tuple(ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
"""Both hemispheres, and one where summer time is half an hour."""

IDLE_OF_ORGANIZATION, IDLE_OF_SHORT, RUN_OF_BRIEF, RUN_OF_MUTE, LIFE_OF_BOUND, LIFE_OF_LAB = 75, 30, 7, 2, 10, 14
MON, TUE, WED, THU, FRI, SAT, SUN = range(7)


@dataclass(frozen=True)
class Seat:
    """Whose machine it is: a time zone, the walk's first day and end, and when team `bound` gets its ceiling."""

    number: int
    zone: ZoneInfo
    first: date
    until: datetime
    bound_at: datetime

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        return wall(self.zone, day, hour, minute)

    def life(self, kind: str, first: date | None = None, **facts: Any) -> Life:
        """A machine that is launched half past midnight by the clock on the wall, so that summer time moves its day."""
        return Life(kind, self.zone, self.at(first or self.first, 0, 30), **facts)

    def used(
        self, first: date, weekdays: tuple[int, ...], begins: tuple[int, int], hours: float, *, every: int = 1
    ) -> list[Use]:
        """Uses of so many hours by the clock on the wall, on weekdays from the day after `first` on."""
        starts = days(first + DAY, self.until, *weekdays, every=every)
        return [Use(self.at(day, *begins), self._later_on_the_wall(day, begins, hours)) for day in starts]

    def _later_on_the_wall(self, day: date, begins: tuple[int, int], hours: float) -> datetime:
        local = datetime.combine(day, datetime.min.time()) + timedelta(hours=begins[0] + hours, minutes=begins[1])
        return wall(self.zone, local.date(), local.hour, local.minute)

    def again(self, ended_at: datetime) -> date:
        """The day on which whoever lost a machine launches the next."""
        return ended_at.astimezone(self.zone).date() + 2 * DAY


def successive(make: Callable[[Seat, date, int], Life]) -> Callable[[Seat], Iterator[Life]]:
    """Machine after machine of a kind whose machines end."""

    def lives(seat: Seat) -> Iterator[Life]:
        first, number = seat.first, seat.number
        while seat.at(first, 0, 30) < seat.until:
            life = make(seat, first, number).reckon(seat.until)
            yield life
            if life.ended_at is None:
                return
            first, number = seat.again(life.ended_at), number + 1

    return lives


def used_kind(
    weekdays: tuple[int, ...], begins: tuple[int, int], hours: float, *, every: int = 1, **facts: Any
) -> Callable[[Seat, date, int], Life]:
    """A kind that does the same on the same days."""

    def make(seat: Seat, first: date, number: int) -> Life:
        life = seat.life("used", first, **facts)
        life.uses = seat.used(first, weekdays, begins, hours, every=every)
        return life

    return make


BRIEF: dict[str, Any] = {"family": "brief", "longest_run": RUN_OF_BRIEF * HOUR}


def interrupted(seat: Seat, first: date, number: int) -> Life:
    """Back five minutes after having been warned, which voids the warning."""
    life = seat.life("interrupted", first)
    for use in seat.used(first, (FRI,), (9, 0), 0.5):
        back = use.ends + 45 * MINUTE
        life.uses += [use, Use(back, back + 35 * MINUTE)]
    return life


def interrupted_under_the_ceiling(seat: Seat, first: date, number: int) -> Life:
    """The same with an own idle time of two days, of which the organization allows 75 minutes."""
    life = seat.life("interrupted under the ceiling", first, idle_minutes=2880, idle_in_force=IDLE_OF_ORGANIZATION)
    for use in seat.used(first, (MON,), (14, 0), 1.5):
        back = use.ends + 70 * MINUTE
        life.uses += [use, Use(back, back + 35 * MINUTE)]
    return life


def batch(seat: Seat, first: date, number: int) -> Life:
    """A computation that goes on by itself after the person has left, and a time of AWS's own that lets it."""
    most = IDLE_OF_ORGANIZATION
    life = seat.life("batch", first, idle_minutes=300, idle_in_force=most, job=("thu", "09:30", "12:30"))
    for use in seat.used(first, (THU,), (9, 0), 0.5, every=2):
        life.uses += [use, Use(use.ends, use.ends + 3 * HOUR, is_connected=False)]
    return life


def _leased(seat: Seat, first: date, hours: int, **facts: Any) -> Life:
    life = seat.life("leased", first, **facts)
    life.uses = seat.used(first, (MON,), (9, 0), 0.5)
    life.asks = [Ask(use.begins + 15 * MINUTE, "lease", use.begins + hours * HOUR) for use in life.uses]
    return life


def leased(seat: Seat, first: date, number: int) -> Life:
    """A training over night."""
    return _leased(seat, first, 20)


def leased_too_long(seat: Seat, first: date, number: int) -> Life:
    """A lease that the longest run cuts off."""
    return _leased(seat, first, 10, **BRIEF)


def silent(seat: Seat, first: date, number: int) -> Life:
    """Nothing shows it idle: it runs as long as a machine may, and rests from then on."""
    return seat.life("silent", first, is_silent=True, family="mute", longest_run=RUN_OF_MUTE * HOUR)


def lifetime(seat: Seat, first: date, number: int) -> Life:
    return seat.life("lifetime", first, lifetime_days=30, is_always_on=True)


def extended(seat: Seat, first: date, number: int) -> Life:
    """Longer by 15 days, asked before the warning of the end and (every second time) after it."""
    life = seat.life("extended", first, lifetime_days=30, is_always_on=True)
    life.asks = [Ask(life.launched_at + (20 + 5 * (number % 2)) * DAY + 8 * HOUR, "extend", 15)]
    return life


def kept_on(seat: Seat, first: date, number: int) -> Life:
    """Kept alive past the end of its lifetime."""
    life = seat.life("kept on", first, lifetime_days=30, is_always_on=True)
    life.asks = [Ask(life.launched_at + 10 * DAY, "keep", life.launched_at + 45 * DAY)]
    return life


def contractor(seat: Seat, first: date, number: int) -> Life:
    """Used each Monday, and over after 25 days."""
    life = seat.life("contractor", first, lifetime_days=25)
    life.uses = seat.used(first, (MON,), (10, 0), 1)
    return life


def lab(seat: Seat, first: date, number: int) -> Life:
    """Of a family of blueprints with a ceiling."""
    return seat.life("lab", first, lifetime_days=90, lifetime_most=LIFE_OF_LAB, is_always_on=True, family="lab")


def bound(seat: Seat, first: date, number: int) -> Life:
    """Of a team that gets a ceiling while its machines are older than that."""
    is_early = seat.at(first, 0, 30) < seat.bound_at
    most = {} if is_early else {"lifetime_most": LIFE_OF_BOUND}
    life = seat.life("bound", first, team="bound", is_always_on=True, **most)
    life.asks = [Ask(seat.bound_at, "bind", LIFE_OF_BOUND)] if is_early else []
    return life


def stale(seat: Seat, first: date, number: int) -> Life:
    """Launched and forgotten."""
    return seat.life("stale", first)


def rescued(seat: Seat, first: date, number: int) -> Life:
    """Used again three days after each flag."""
    life = seat.life("rescued", first)
    day = first + 33 * DAY
    while seat.at(day, 9) < seat.until:
        life.uses.append(Use(seat.at(day, 9), seat.at(day, 10)))
        day += 33 * DAY
    return life


def kept(seat: Seat, first: date, number: int) -> Life:
    """Kept alive before the flag, until after it would have come."""
    life = seat.life("kept", first)
    life.asks = [Ask(seat.at(first + 5 * DAY, 12), "keep", seat.at(first + 45 * DAY, 12))]
    return life


def kept_after(seat: Seat, first: date, number: int) -> Life:
    """Kept alive after the flag: it is flagged anew when that is over."""
    life = seat.life("kept after", first)
    life.asks = [Ask(seat.at(first + 32 * DAY, 12), "keep", seat.at(first + 44 * DAY, 12))]
    return life


def withdrawn(seat: Seat, first: date, number: int) -> Life:
    """Kept alive for long, and no longer after forty days."""
    life = seat.life("withdrawn", first)
    life.asks = [
        Ask(seat.at(first + 2 * DAY, 12), "keep", seat.at(first + 200 * DAY, 12)),
        Ask(seat.at(first + 40 * DAY, 12), "keep", None),
    ]
    return life


KINDS: dict[str, Callable[[Seat, date, int], Life]] = {
    "daily": used_kind((MON, TUE, WED, THU, FRI), (9, 0), 1.5),
    "left to AWS": used_kind((TUE, FRI), (10, 0), 1, idle_minutes=60, idle_in_force=60, is_left_to_aws=True),
    "bound by the organization": used_kind((TUE, THU), (9, 0), 1, idle_minutes=90, idle_in_force=IDLE_OF_ORGANIZATION),
    "bound by the team": used_kind((MON, WED), (13, 0), 1, idle_minutes=90, idle_in_force=IDLE_OF_SHORT, team="short"),
    "night": used_kind((SAT,), (22, 0), 6, idle_minutes=45, idle_in_force=45, **BRIEF),
    "overtime": used_kind((WED,), (8, 0), 8.5, every=4, **BRIEF),
    "interrupted": interrupted,
    "batch": batch,
    "leased": leased,
    "leased too long": leased_too_long,
    "silent": silent,
    "lifetime": lifetime,
    "extended": extended,
    "kept on": kept_on,
    "contractor": contractor,
    "lab": lab,
    "bound": bound,
    "stale": stale,
    "rescued": rescued,
    "kept": kept,
    "kept after": kept_after,
    "withdrawn": withdrawn,
    "far above the ceiling": used_kind((MON, WED), (9, 0), 1.5, idle_minutes=2880, idle_in_force=IDLE_OF_ORGANIZATION),
    "interrupted under the ceiling": interrupted_under_the_ceiling,
}

SHARE_A_ZONE = frozenset(
    {
        "daily", "left to AWS", "bound by the organization", "bound by the team", "overtime", "interrupted", "batch",
        "leased", "leased too long", "silent", "contractor", "far above the ceiling", "interrupted under the ceiling",
    }
)  # fmt: skip
"""Kinds of which three seats each share a time zone: each zone's have moments of their own."""


def seats(count: int, *, first: date, until: datetime, bound_at: datetime) -> list[list[Life]]:
    """The machines of `count` seats, as many of each kind, over all time zones."""
    made = []
    for number in range(count):
        turn, place = divmod(number, len(KINDS))
        kind, make = list(KINDS.items())[place]
        zone = ZONES[(place + (turn // 3 if kind in SHARE_A_ZONE else turn)) % len(ZONES)]
        lives = list(successive(make)(Seat(turn, zone, first, until, bound_at)))
        made.append([replace(life, kind=kind) for life in lives])
    return made
