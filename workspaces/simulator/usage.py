"""How people use a machine: a declared weekly pattern, from which every session of every day can be computed.

A pattern says when its user may be logged on and when a job keeps the CPU busy. Whether a slot is used on a day, and
how much earlier or later it begins and ends, comes from a digest of seed, directory user, date and slot: the same
pattern gives the same year on every run. Times are wall clock in the pattern's time zone, so DST moves the instants.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

DAY = 86_400.0
LOOKAHEAD_DAYS = 14
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Slot:
    """A time of the day on some weekdays: `days` count from Monday = 0, minutes from midnight; ends may pass it."""

    days: tuple[int, ...]
    begins: int
    ends: int
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """A declared pattern; `jitter_minutes` moves each end of a session by up to that much."""

    seed: int
    time_zone: str
    sessions: tuple[Slot, ...]
    jobs: tuple[Slot, ...] = ()
    jitter_minutes: int = 0

    def session_after(self, person: str, instant: float) -> tuple[float, float] | None:
        """The first session that ends after `instant` and begins within LOOKAHEAD_DAYS, as two instants."""
        first = _local_day(self.time_zone, instant - DAY)
        for number in range(LOOKAHEAD_DAYS + 2):
            for begins, ends in _intervals(self, person, "session", first + timedelta(days=number)):
                if ends > instant and begins < instant + LOOKAHEAD_DAYS * DAY:
                    return begins, ends
        return None

    def is_busy(self, person: str, instant: float) -> bool:
        """Whether a job of the machine runs then."""
        first = _local_day(self.time_zone, instant - DAY)
        days = (first + timedelta(days=number) for number in range(3))
        return any(begins <= instant < ends for day in days for begins, ends in _intervals(self, person, "job", day))


def chance(*parts: object) -> float:
    """A number from 0 to 1, the same for the same parts for ever."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def read_usage(document: Any) -> Usage:
    """A pattern from its JSON form; ValueError says what is wrong with it.

    `{"seed": 1, "time_zone": "Europe/Berlin", "jitter_minutes": 20, "sessions": [{"days": ["mon", "tue"],
    "begins": "09:00", "ends": "17:30", "probability": 0.9}], "jobs": […]}`; all but the time zone may be left out.
    """
    if not isinstance(document, Mapping):
        raise ValueError("A usage pattern must be a JSON object.")
    unknown = sorted(set(document) - {"seed", "time_zone", "jitter_minutes", "sessions", "jobs"})
    if unknown:
        raise ValueError(f"A usage pattern has no {', '.join(unknown)}.")
    seed, jitter = document.get("seed", 0), document.get("jitter_minutes", 0)
    if type(seed) is not int or type(jitter) is not int or not 0 <= jitter <= 240:
        raise ValueError("seed must be a whole number, jitter_minutes one from 0 to 240.")
    zone = document.get("time_zone")
    try:
        ZoneInfo(zone)
    except (TypeError, ValueError, OSError, LookupError) as error:
        raise ValueError(f"There is no time zone {zone!r}.") from error
    sessions, jobs = (tuple(_slot(one) for one in _list(document.get(name, []))) for name in ("sessions", "jobs"))
    return Usage(seed=seed, time_zone=zone, sessions=sessions, jobs=jobs, jitter_minutes=jitter)


@lru_cache(maxsize=1024)
def usage_of(text: str) -> Usage:
    """The pattern in a JSON text, one object for all machines that have it."""
    return read_usage(json.loads(text))


def show_usage(usage: Usage) -> dict[str, Any]:
    """The JSON form of a pattern."""
    return {
        "seed": usage.seed,
        "time_zone": usage.time_zone,
        "jitter_minutes": usage.jitter_minutes,
        "sessions": [_show_slot(slot) for slot in usage.sessions],
        "jobs": [_show_slot(slot) for slot in usage.jobs],
    }


@lru_cache(maxsize=20_000)
def _intervals(usage: Usage, person: str, kind: str, day: date) -> tuple[tuple[float, float], ...]:
    return tuple(sorted(_begun_on(usage, person, kind, day)))


def _begun_on(usage: Usage, person: str, kind: str, day: date) -> Iterator[tuple[float, float]]:
    slots = usage.sessions if kind == "session" else usage.jobs
    for number, slot in enumerate(slots):
        parts = (usage.seed, person, kind, day, number)
        if day.weekday() not in slot.days or chance(*parts) >= slot.probability:
            continue
        begins = slot.begins + usage.jitter_minutes * (2 * chance(*parts, "begins") - 1)
        ends = slot.ends + usage.jitter_minutes * (2 * chance(*parts, "ends") - 1)
        if ends > begins:
            yield _instant(usage.time_zone, day, begins), _instant(usage.time_zone, day, ends)


def _instant(zone: str, day: date, minutes: float) -> float:
    """The instant at which the clocks of that zone show so many minutes after midnight of a day."""
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001
    return wall.replace(tzinfo=ZoneInfo(zone)).timestamp()


def _local_day(zone: str, instant: float) -> date:
    return datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(zone)).date()


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("sessions and jobs must be lists.")
    return value


def _slot(document: Any) -> Slot:
    if not isinstance(document, Mapping) or not {"begins", "ends"} <= set(document):
        raise ValueError('A slot needs "begins" and "ends" as "HH:MM".')
    unknown = sorted(set(document) - {"days", "begins", "ends", "probability"})
    if unknown:
        raise ValueError(f"A slot has no {', '.join(unknown)}.")
    days = document.get("days", list(WEEK))
    if not isinstance(days, list) or not days or not set(days) <= set(WEEK):
        raise ValueError(f"The days of a slot are some of {', '.join(WEEK)}.")
    probability = document.get("probability", 1.0)
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("The probability of a slot is a number from 0 to 1.")
    begins, ends = _minutes(document["begins"]), _minutes(document["ends"])
    ends += 0 if ends > begins else _DAY_MINUTES
    return Slot(tuple(sorted(WEEK.index(day) for day in set(days))), begins, ends, float(probability))


def _minutes(text: Any) -> int:
    hours, colon, minutes = str(text).partition(":")
    if not colon or not (hours.isdigit() and minutes.isdigit()) or int(hours) > 24 or int(minutes) > 59:
        raise ValueError(f"{text!r} is no time of the form HH:MM.")
    return int(hours) * 60 + int(minutes)


def _show_slot(slot: Slot) -> dict[str, Any]:
    ends = slot.ends - _DAY_MINUTES if slot.ends > _DAY_MINUTES else slot.ends
    return {
        "days": [WEEK[day] for day in slot.days],
        "begins": f"{slot.begins // 60:02}:{slot.begins % 60:02}",
        "ends": f"{ends // 60:02}:{ends % 60:02}",
        "probability": slot.probability,
    }
