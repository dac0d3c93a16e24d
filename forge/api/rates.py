"""How a rate of requests is written: `100/minute`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

_SECONDS = {
    "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400,
}  # fmt: skip
_RATE = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(_SECONDS)})")


@dataclass(frozen=True)
class Rate:
    """So many requests in so many seconds."""

    limit: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """The rate in `text`, None for an empty one; raises ImproperlyConfigured for anything else."""
        if not text:
            return None
        match = _RATE.fullmatch(text)
        if match is None:
            raise ImproperlyConfigured(
                f"A rate is a number per second, minute, hour or day, like 100/minute, not {text!r}."
            )
        return cls(limit=int(match[1]), seconds=_SECONDS[match[2]])

    def __str__(self) -> str:
        return f"{self.limit} requests in {self.seconds} s"
