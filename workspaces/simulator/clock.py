"""Simulated time: it runs `speed` times as fast as the real clock, at speed 0 only when it is told, and never back."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anchor:
    """The instant from which simulated time is counted: at real second `real` it was `simulated`."""

    real: float
    simulated: float
    speed: float

    def at(self, real: float) -> float:
        return self.simulated + max(0.0, real - self.real) * self.speed


class Clock:
    """Seconds since 1970 in the simulated world; not locked, the world's lock covers it."""

    def __init__(
        self,
        *,
        speed: float,
        before: Anchor | None = None,
        start: float | None = None,
        real: Callable[[], float] = time.time,
    ) -> None:
        """Go on from `before`, the anchor of an earlier run, so that time also passed while the simulator was off.

        Without an earlier run it is `start` now, or else what the real clock says.
        """
        self._real = real
        began = real()
        simulated = before.at(began) if before else (began if start is None else start)
        self.anchor = Anchor(real=began, simulated=simulated, speed=_checked(speed))
        self._latest = simulated

    def now(self) -> float:
        self._latest = max(self._latest, self.anchor.at(self._real()))
        return self._latest

    def advance(self, seconds: float) -> Anchor:
        """Move the simulated clock forward by that many simulated seconds; the new anchor is worth saving."""
        self.anchor = Anchor(real=self._real(), simulated=self.now() + seconds, speed=self.anchor.speed)
        return self.anchor

    def set_speed(self, speed: float) -> Anchor:
        """Run at another speed from now on; the new anchor is worth saving."""
        self.anchor = Anchor(real=self._real(), simulated=self.now(), speed=_checked(speed))
        return self.anchor


def _checked(speed: float) -> float:
    if not 0 <= speed < math.inf:
        raise ValueError(f"The speed of simulated time must be 0 or more, not {speed}.")
    return speed
