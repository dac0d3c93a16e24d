"""How many calls come, and how many AWS would take: a token bucket per account, region and operation."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workspaces.simulator.faults import Call, throttled


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second in the long run, and how many at once after a pause."""

    per_second: float
    burst: int


# After AWS's pages of service quotas; RULES.md says how sure that is.
PUBLISHED: Mapping[str, Rate] = {
    "GetMetricData": Rate(50, 50),
    "GetResources": Rate(15, 15),
    "AssumeRole": Rate(600, 600),
    "GetCallerIdentity": Rate(600, 600),
}
OTHERS = Rate(2, 5)
KEPT = 20_000
"""So many of the latest calls of each account and region are kept with their times."""


@dataclass(slots=True)
class _Counter:
    calls: int = 0
    throttled: int = 0
    peak: int = 0
    recent: deque[float] = field(default_factory=deque)
    tokens: float | None = None
    filled_at: float = 0.0


@dataclass(slots=True)
class _Log:
    """What came to one account and region."""

    count: int = 0
    latest: deque[tuple[float, Call]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, at: float, call: Call) -> None:
        self.count += 1
        self.latest.append((at, call))


class Traffic:
    """Counts every call; where limits are on it refuses those that the bucket has no token for.

    Seconds are real ones, or simulated ones where `is_simulated`: on a clock that stands still nothing refills.
    """

    def __init__(self, *, real: Callable[[], float] = time.monotonic) -> None:
        self.is_limited = False
        self.is_simulated = False
        self._real = real
        self._rates: dict[str, Rate] = {}
        self._counters: dict[Call, _Counter] = {}
        self._places: defaultdict[tuple[str, str], _Log] = defaultdict(_Log)

    def configure(self, *, is_limited: bool, is_simulated: bool, rates: Mapping[str, Rate]) -> None:
        """Switch limits; `rates` replace those of AWS by operation, "*" those of all operations not named."""
        self.is_limited, self.is_simulated, self._rates = is_limited, is_simulated, dict(rates)
        for counter in self._counters.values():
            counter.tokens = None

    def rate_of(self, operation: str) -> Rate:
        own = self._rates.get(operation)
        return own or self._rates.get("*") or PUBLISHED.get(operation, OTHERS)

    def take(self, call: Call, simulated: float) -> None:
        """Count a call, and raise its refusal if it comes too soon."""
        now = simulated if self.is_simulated else self._real()
        self._places[call.account, call.region].add(self._real(), call)
        counter = self._counters.setdefault(call, _Counter())
        counter.calls += 1
        counter.recent.append(now)
        while counter.recent[0] <= now - 1:
            counter.recent.popleft()
        counter.peak = max(counter.peak, len(counter.recent))
        if self.is_limited and not _has_token(counter, self.rate_of(call.operation), now):
            counter.throttled += 1
            raise throttled(call)

    def forget(self) -> None:
        """Begin to count anew, with full buckets."""
        self._counters.clear()
        self._places.clear()

    def calls(self, account: str, region: str) -> dict[str, Any]:
        """The latest calls of a place, refused ones too, by when they came: seconds of the machine's steady clock.

        `forgotten` counts those before them.
        """
        log = self._places.get((account, region), _Log())
        return {
            "calls": [{"at": at, "service": call.service, "operation": call.operation} for at, call in log.latest],
            "forgotten": log.count - len(log.latest),
        }

    def show(self) -> list[dict[str, Any]]:
        """Per account, region and operation: calls, the most within one second, and how many were refused here."""
        return [
            {
                "account": call.account,
                "region": call.region,
                "service": call.service,
                "operation": call.operation,
                "calls": counter.calls,
                "peak_per_second": counter.peak,
                "throttled": counter.throttled,
            }
            for call, counter in self._counters.items()
        ]


def read_rates(document: Any) -> dict[str, Rate]:
    """`{"DescribeWorkspaces": {"per_second": 2, "burst": 5}}`; ValueError."""
    rates = {}
    if not isinstance(document, Mapping):
        raise ValueError("The rates are a JSON object by operation.")
    for operation, rate in document.items():
        if not isinstance(rate, Mapping) or set(rate) != {"per_second", "burst"}:
            raise ValueError(f"The rate of {operation} needs per_second and burst.")
        per_second, burst = rate["per_second"], rate["burst"]
        if type(burst) is not int or burst < 1 or type(per_second) not in (int, float) or not per_second > 0:
            raise ValueError(f"The rate of {operation} must be above 0, its burst a whole number of at least 1.")
        rates[operation] = Rate(per_second, burst)
    return rates


def _has_token(counter: _Counter, rate: Rate, now: float) -> bool:
    tokens = rate.burst if counter.tokens is None else counter.tokens + (now - counter.filled_at) * rate.per_second
    tokens = min(tokens, rate.burst)
    counter.filled_at = now
    counter.tokens = tokens - 1 if tokens >= 1 else tokens
    return tokens >= 1
