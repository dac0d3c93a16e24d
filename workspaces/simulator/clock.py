"""Simulated time: it runs `speed` times as fast as the real clock and can be moved forward, never back."""

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

    def __init__(self, *, speed: float, before: Anchor | None = None, real: Callable[[], float] = time.time) -> None:
        """Go on from `before`, the anchor of an earlier run, so that time also passed while the simulator was off."""
        if not speed > 0:
            raise ValueError(f"The speed of simulated time must be above 0, not {speed}.")
        self._real = real
        started = real()
        self.anchor = Anchor(real=started, simulated=before.at(started) if before else started, speed=speed)
        self._latest = self.anchor.simulated

    def now(self) -> float:
        self._latest = max(self._latest, self.anchor.at(self._real()))
        return self._latest

    def advance(self, seconds: float) -> Anchor:
        """Move the simulated clock forward by that many simulated seconds; the new anchor is worth saving."""
        self.anchor = Anchor(real=self._real(), simulated=self.now() + seconds, speed=self.anchor.speed)
        return self.anchor
