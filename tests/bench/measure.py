"""Measuring two ways of doing the same work in turns, and keeping what came out.

A figure of one machine on one day says little; the ratio of two things measured within seconds of each other says what
one costs beside the other. So both sides run alternately, each pair gives one ratio, and the value is the median.
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
from typing import Any

PAIRS = 7
MOST_PAIRS = 15
WILD = 0.25
"""Where the middle half of the ratios spreads over more than this share of the median, more pairs are measured."""
PATIENCE = 75.0
"""Seconds after which no more pairs than `PAIRS` are measured, however wild they are."""


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
class Benchmark:
    """A comparison with its goal: a share of the bare side's rate, or a multiple of its time."""

    name: str
    goal: float
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

    def missed_by(self, value: float) -> float:
        """By which share of the goal the value misses it; 0 when it is met."""
        short = self.goal - value if self.is_rate else value - self.goal
        return max(0.0, short / self.goal)


@dataclass(frozen=True)
class Result:
    """What a benchmark came to: the median ratio, the least and greatest, the quartiles, and the median figures."""

    benchmark: Benchmark
    size: str
    ratios: list[float]
    mine: float
    bare: float
    counts: dict[str, Any]

    @property
    def value(self) -> float:
        return statistics.median(self.ratios)

    def line(self) -> str:
        """One row of the table."""
        sign = "≥" if self.benchmark.is_rate else "≤"
        missed = self.benchmark.missed_by(self.value)
        verdict = f"MISSED by {missed:.1%}" if missed else "met"
        low, high = _quartiles(self.ratios)
        return (
            f"{self.benchmark.name:<24}{self.value:>8.2f}  {sign} {self.benchmark.goal:<5.2f}{verdict:<16}"
            f"{low:>6.2f} .. {high:<6.2f}{min(self.ratios):>6.2f} .. {max(self.ratios):<6.2f}"
            f"{self.mine:>10.4g} / {self.bare:<10.4g}{self.benchmark.unit:<12}{len(self.ratios):>3} pairs"
        )

    def as_json(self) -> dict[str, Any]:
        """The entry of `.forge/bench.json`."""
        return {
            "value": round(self.value, 4),
            "goal": self.benchmark.goal,
            "mine": round(self.mine, 6),
            "bare": round(self.bare, 6),
            "counts": {
                **self.counts,
                "pairs": len(self.ratios),
                "quartiles": [round(ratio, 4) for ratio in _quartiles(self.ratios)],
                "least": round(min(self.ratios), 4),
                "greatest": round(max(self.ratios), 4),
                "unit": self.benchmark.unit,
            },
            "scale": self.size,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


HEADER = f"{'':<24}{'value':>8}  {'goal':<8}{'':<15}{'middle half':>15}{'all':>14}{'mine / bare (medians)':>30}"


def compare(benchmark: Benchmark, size: str, *, pairs: int = PAIRS, most: int = MOST_PAIRS) -> Result:
    """Run both sides `pairs` times in turns, and on while their ratios spread wildly; raises UnequalWork.

    The first pair warms both sides up and does not count. Every second pair begins with the other side.
    """
    runs: list[tuple[Run, Run]] = []
    began = time.monotonic()

    def goes_on() -> bool:
        has_time = len(runs) < most and time.monotonic() - began < PATIENCE
        return len(runs) < pairs or (has_time and _is_wild([benchmark.ratio(*pair) for pair in runs]))

    with benchmark.prepare(size) as sides:
        _pair(sides, mine_first=True)
        while goes_on():
            runs.append(_pair(sides, mine_first=len(runs) % 2 == 0))
        counted = sides.verify()
    work = {"work_per_run": runs[0][0].work, "rows_per_run": dict(runs[0][0].wrote)}
    return Result(
        benchmark=benchmark,
        size=size,
        ratios=[benchmark.ratio(*pair) for pair in runs],
        mine=statistics.median(benchmark.figure(mine) for mine, _ in runs),
        bare=statistics.median(benchmark.figure(bare) for _, bare in runs),
        counts={**work, **counted},
    )


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


def _pair(sides: Sides, *, mine_first: bool) -> tuple[Run, Run]:
    if mine_first:
        mine, bare = sides.mine(), sides.bare()
    else:
        bare, mine = sides.bare(), sides.mine()
    if mine.work != bare.work or mine.wrote != bare.wrote:
        raise UnequalWork(f"mine: {mine.work} with {dict(mine.wrote)}; bare: {bare.work} with {dict(bare.wrote)}")
    return mine, bare


def _is_wild(ratios: list[float]) -> bool:
    low, high = _quartiles(ratios)
    return high - low > WILD * statistics.median(ratios)


def _quartiles(ratios: list[float]) -> tuple[float, float]:
    if len(ratios) < 2:
        return ratios[0], ratios[0]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, high
