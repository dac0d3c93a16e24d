"""Measuring, and keeping what came out: two ways of doing the same work in turns, or one thing by itself.

A figure of one machine on one day says little; the ratio of two things measured within seconds of each other says what
one costs beside the other. So both sides of a `Benchmark` run alternately, each pair gives one ratio, and the value is
the median. Where nothing does the same work, a `Figure` is the median of several runs in a unit of its own.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

TIMES = 7
MOST_TIMES = 15
"""Pairs of a Benchmark, samples of a Figure."""
WILD = 0.25
"""Where the middle half of the values spreads over more than this share of the median, more are measured."""
PATIENCE = 75.0
"""Seconds after which no more than `TIMES` are measured, however wild they are."""
LEAST_TIMES = 3
LONG = 600.0
"""Seconds after which `LEAST_TIMES` are enough: where one takes minutes, it is a mean over so many by itself."""


class UnequalWork(Exception):
    """The two sides did not do the same work, so their times say nothing."""


@dataclass(frozen=True)
class Run:
    """One go of one side: its seconds, how much it did, and what it wrote (rows by table; counted, not claimed)."""

    seconds: float
    work: int
    wrote: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """The two sides, ready to run as often as one likes, and a check of all that they left behind.

    `verify` raises UnequalWork where what lies in the database is not what both sides should have written, and answers
    what it counted.
    """

    mine: Callable[[], Run]
    bare: Callable[[], Run]
    verify: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True)
class Subject:
    """The one side of a Figure, ready to run as often as one likes; `verify` as in Sides."""

    run: Callable[[], Run]
    verify: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True)
class Benchmark:
    """A comparison with its goal, if there is one: a share of the bare side's rate, or a multiple of its time."""

    name: str
    goal: float | None
    prepare: Callable[[str], AbstractContextManager[Sides]]
    is_rate: bool

    @property
    def unit(self) -> str:
        return "per second" if self.is_rate else "seconds"

    def ratio(self, mine: Run, bare: Run) -> float:
        """Mine over bare, of rates or of seconds."""
        return bare.seconds / mine.seconds if self.is_rate else mine.seconds / bare.seconds

    def figure(self, run: Run) -> float:
        """The run in the benchmark's unit."""
        return run.work / run.seconds if self.is_rate else run.seconds


@dataclass(frozen=True)
class Figure:
    """A rate (work per second) or the milliseconds that one piece of work takes, with its goal, None where there is
    none. `unit` is what the table says behind it: `rows/s`, `ms`.

    With `counted` it is neither, but what was counted in a run: the same each time, so it runs once.
    """

    name: str
    goal: float | None
    unit: str
    prepare: Callable[[str], AbstractContextManager[Subject]]
    is_rate: bool
    counted: Callable[[Run], float] | None = None

    def figure(self, run: Run) -> float:
        """The run in the figure's unit."""
        if self.counted is not None:
            return self.counted(run)
        return run.work / run.seconds if self.is_rate else 1000 * run.seconds / run.work


@dataclass(frozen=True)
class Result:
    """What was measured: the values (ratios of pairs, or samples) and the median figures of each side, if there are
    two."""

    benchmark: Benchmark | Figure
    size: str
    values: list[float]
    mine: float
    bare: float | None
    counts: dict[str, Any]

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def missed_by(self) -> float:
        """By which share of the goal the value misses it; 0 when it is met or there is none."""
        goal = self.benchmark.goal
        if goal is None:
            return 0.0
        return max(0.0, (goal - self.value if self.benchmark.is_rate else self.value - goal) / goal)

    def line(self) -> str:
        """One row of the table."""
        low, high = _quartiles(self.values)
        sides = _shown(self.mine) if self.bare is None else f"{_shown(self.mine)} / {_shown(self.bare)}"
        return (
            f"{self.benchmark.name:<36}{_shown(self.value):>8}  {self._verdict():<26}"
            f"{f'{_shown(low)} .. {_shown(high)}':>18}"
            f"{f'{_shown(min(self.values))} .. {_shown(max(self.values))}':>18}"
            f"{f'{sides} {self.benchmark.unit}':>30}{len(self.values):>4} {self._times}"
        )

    def table(self) -> list[str]:
        """What stands below the line where more than two were compared: the figures that `counts` holds as `table`."""
        return [f"    {name:<32}{_shown(value):>8}" for name, value in self.counts.get("table", {}).items()]

    def as_json(self) -> dict[str, Any]:
        """The entry of `.forge/bench.json`; `bare` is null where there is no second side."""
        return {
            "value": round(self.value, 4),
            "goal": self.benchmark.goal,
            "mine": round(self.mine, 6),
            "bare": None if self.bare is None else round(self.bare, 6),
            "counts": {
                **self.counts,
                self._times: len(self.values),
                "quartiles": [round(value, 4) for value in _quartiles(self.values)],
                "least": round(min(self.values), 4),
                "greatest": round(max(self.values), 4),
                "unit": self.benchmark.unit,
            },
            "scale": self.size,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @property
    def _times(self) -> str:
        return "samples" if self.bare is None else "pairs"

    def _verdict(self) -> str:
        if self.benchmark.goal is None:
            return "no goal"
        sign = "≥" if self.benchmark.is_rate else "≤"
        verdict = f"MISSED by {self.missed_by:.1%}" if self.missed_by else "met"
        return f"{sign} {_shown(self.benchmark.goal)} {verdict}"


HEADER = (
    f"{'':<36}{'value':>8}  {'goal':<26}{'middle half':>18}{'all':>18}{'mine / bare (medians)':>30}{'measured':>10}"
)


def measure(benchmark: Benchmark | Figure, size: str, *, times: int = TIMES, most: int = MOST_TIMES) -> Result:
    """Run the benchmark `times` times, and on while its values spread wildly; raises UnequalWork.

    The first time warms up and does not count.
    """
    of_kind = compare if isinstance(benchmark, Benchmark) else sample
    return of_kind(benchmark, size, times=times, most=most)


def compare(benchmark: Benchmark, size: str, *, times: int = TIMES, most: int = MOST_TIMES) -> Result:
    """Both sides in turns; every second pair begins with the other side."""
    with benchmark.prepare(size) as sides:
        runs = _repeat(
            lambda number: _pair(sides, mine_first=number % 2 == 0),
            lambda pair: benchmark.ratio(*pair),
            times=times,
            most=most,
        )
        counted = sides.verify()
    mine, bare = zip(*runs, strict=True)
    return Result(
        benchmark=benchmark,
        size=size,
        values=[benchmark.ratio(*pair) for pair in runs],
        mine=statistics.median(map(benchmark.figure, mine)),
        bare=statistics.median(map(benchmark.figure, bare)),
        counts=_work(mine[0]) | counted,
    )


def sample(figure: Figure, size: str, *, times: int = TIMES, most: int = MOST_TIMES) -> Result:
    """One thing by itself, again and again; once where something is counted."""
    with figure.prepare(size) as subject:
        if figure.counted is not None:
            runs = [subject.run()]
        else:
            runs = _repeat(lambda number: subject.run(), figure.figure, times=times, most=most)
        counted = subject.verify()
    values = [figure.figure(run) for run in runs]
    return Result(figure, size, values, statistics.median(values), None, _work(runs[0]) | counted)


def merge(results: Mapping[str, dict[str, Any]], file: Path) -> None:
    """Put the results into the file beside those that it holds of other benchmarks."""
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        known = {}
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({**known, **results}, indent=2) + "\n")
    fresh.replace(file)


def of_size(size: str, sizes: Mapping[str, int]) -> int:
    """The count for `tiny`, `quick` or `full`; raises ValueError for another word."""
    if size not in sizes:
        raise ValueError(f"SCALE is {size!r}; known: {', '.join(sizes)}.")
    return sizes[size]


def _repeat(once: Callable[[int], T], value: Callable[[T], float], *, times: int, most: int) -> list[T]:
    """What `once` gave, at least `times` times after one that does not count, given how often it ran before."""
    once(0)
    done: list[T] = []
    began = time.monotonic()

    def goes_on() -> bool:
        taken = time.monotonic() - began
        has_time = len(done) < most and taken < PATIENCE
        enough = min(times, LEAST_TIMES) if taken > LONG else times
        return len(done) < enough or (has_time and _is_wild([value(one) for one in done]))

    while goes_on():
        done.append(once(len(done)))
    return done


def _pair(sides: Sides, *, mine_first: bool) -> tuple[Run, Run]:
    if mine_first:
        mine, bare = sides.mine(), sides.bare()
    else:
        bare, mine = sides.bare(), sides.mine()
    if mine.work != bare.work or mine.wrote != bare.wrote:
        raise UnequalWork(f"mine: {mine.work} with {dict(mine.wrote)}; bare: {bare.work} with {dict(bare.wrote)}")
    return mine, bare


def _work(run: Run) -> dict[str, Any]:
    return {"work_per_run": run.work, "rows_per_run": dict(run.wrote)}


def _is_wild(values: list[float]) -> bool:
    low, high = _quartiles(values)
    return high - low > WILD * statistics.median(values)


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 0.1 else f"{value:.2f}"
