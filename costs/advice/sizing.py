"""Which bundle type the observed use asks for. No database, no clock; docs/advice.md has the figures' sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from blueprints.models import BundleType
from costs.advice.modes import Confidence
from workspaces.bundles import BUNDLES
from workspaces.resizing import CONVERTIBLE

DAYS = 14
SMALLER_BELOW = 20.0
"""Percent of CPU (95th percentile) under which a smaller bundle is looked for."""

LARGER_ABOVE = 80.0
"""Percent of CPU or memory (95th percentiles) over which a larger one is: AWS's headroom of 20 percent is used up."""

FITS_BELOW = 60.0
"""Percent of its CPU that a smaller bundle may come to: far enough from 80 that it is not at once too small."""

LEAST_SAMPLES = 144
"""Samples of five minutes with somebody at work, or the machine: twelve hours. Fewer say nothing."""

LEAST_DAYS = 3


@dataclass(frozen=True)
class Load:
    """What samples of fourteen days say, of those in which somebody was connected or the CPU was at work.

    Percentages; None where no sample told of memory. `days` are the UTC days that have such samples.
    """

    samples: int
    days: int
    cpu_p50: float
    cpu_p95: float
    memory_p95: float | None
    memory_most: float | None

    def as_json(self) -> dict[str, float | int | None]:
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Sizes:
    """The bundle types that would do, the smallest first, and why another one is asked for."""

    is_larger: bool
    fitting: tuple[str, ...]
    because: str


def sizes_for(bundle_type: str, load: Load, offered: Sequence[str]) -> Sizes | None:
    """What would fit better than `bundle_type`; None when it fits, or when too little is known.

    Only bundles in `offered` that AWS converts into each other. A smaller one needs the memory to have been observed,
    and holds the most of it that was; a larger one holds what is short.
    """
    sizes = [str(size) for size in CONVERTIBLE]
    if bundle_type not in sizes or load.samples < LEAST_SAMPLES or load.days < LEAST_DAYS:
        return None
    place = sizes.index(bundle_type)
    is_memory_short = load.memory_p95 is not None and load.memory_p95 > LARGER_ABOVE
    if load.cpu_p95 > LARGER_ABOVE or is_memory_short:
        larger = tuple(size for size in sizes[place + 1 :] if size in offered and _relieves(bundle_type, size, load))
        return Sizes(True, larger, "memory" if is_memory_short else "cpu") if larger else None
    if load.cpu_p95 >= SMALLER_BELOW or load.memory_most is None:
        return None
    smaller = tuple(size for size in sizes[:place] if size in offered and _holds(bundle_type, size, load))
    return Sizes(False, smaller, "cpu") if smaller else None


def confidence(load: Load, sizes: Sizes) -> Confidence:
    """By coverage (days in use of the fourteen) and by distance from the threshold.

    HIGH: eight days, which is two working weeks but two, and a quarter of the way beyond the threshold; MEDIUM: five.
    """
    peak = max(load.cpu_p95, load.memory_p95 or 0.0)
    is_far = (
        peak >= LARGER_ABOVE + (100 - LARGER_ABOVE) / 4 if sizes.is_larger else load.cpu_p95 <= SMALLER_BELOW * 0.75
    )
    if load.days >= 8 and is_far:
        return Confidence.HIGH
    return Confidence.MEDIUM if load.days >= 5 else Confidence.LOW


def _relieves(now: str, other: str, load: Load) -> bool:
    memory_fits = load.memory_p95 is None or _memory(now, other, load.memory_p95) <= LARGER_ABOVE
    return memory_fits and _cpu(now, other, load.cpu_p95) <= LARGER_ABOVE


def _holds(now: str, other: str, load: Load) -> bool:
    most = load.memory_most
    memory_fits = most is not None and _memory(now, other, most) <= LARGER_ABOVE
    return memory_fits and _cpu(now, other, load.cpu_p95) <= FITS_BELOW


def _cpu(now: str, other: str, percent: float) -> float:
    return percent * BUNDLES[BundleType(now)].vcpus / BUNDLES[BundleType(other)].vcpus


def _memory(now: str, other: str, percent: float) -> float:
    return percent * BUNDLES[BundleType(now)].memory_gib / BUNDLES[BundleType(other)].memory_gib
