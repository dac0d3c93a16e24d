"""Requests per token, person, team, organization and in all, counted in Redis.

A rate that is not set is no limit, and without Redis nothing is refused. Counters are fixed windows, and one request
asks Redis once for all of its buckets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from forge.api.errors import TooMany
from forge.api.rates import Rate

logger = logging.getLogger(__name__)

_REST_SECONDS = 5.0  # how long Redis is left alone after it did not answer


class Bucket(NamedTuple):
    """What is counted together, for whom, and how much of it is let through."""

    key: str  # `user:<id>`
    whose: str
    rate: Rate


# Hits of each bucket, this one included. It is counted everywhere or, where one bucket is full, nowhere: who asks on
# and on after his own rate is used up does not use up that of his team.
_COUNT = """
local hits, full = {}, false
for i, key in ipairs(KEYS) do
    hits[i] = tonumber(redis.call('GET', key) or 0) + 1
    full = full or hits[i] > tonumber(ARGV[2 * i - 1])
end
if not full then
    for i, key in ipairs(KEYS) do
        redis.call('INCR', key)
        redis.call('EXPIRE', key, ARGV[2 * i])
    end
end
return hits
"""


class Counter:
    """Counts hits per bucket and window in Redis; None when Redis is away, which is then not asked for a while."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)
        self._count = self._redis.register_script(_COUNT)
        self._away_until = 0.0

    def hit(self, buckets: Sequence[Bucket], now: float) -> list[int] | None:
        """Hits so far in its window of each bucket, this one included."""
        if time.monotonic() < self._away_until:
            return None
        keys = [f"forge:rate:{key}:{rate.seconds}:{int(now // rate.seconds)}" for key, _, rate in buckets]
        bounds = [bound for _, _, rate in buckets for bound in (rate.limit, rate.seconds + 1)]
        try:
            return list(self._count(keys=keys, args=bounds))
        except redis.RedisError as exc:
            self._away_until = time.monotonic() + _REST_SECONDS
            logger.warning("Requests are not counted for a while: Redis does not answer (%s)", exc)
            return None


@cache
def counter(url: str) -> Counter:
    """The one counter per process and Redis."""
    return Counter(url)


class RateThrottle(BaseThrottle):
    """Counts a request of somebody who is signed in; the fullest of its buckets decides and shows in the headers."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or raises TooMany, which says whose rate is used up and for how long."""
        buckets = list(_buckets(request)) if request.user.is_authenticated else []
        now = time.time()
        hits = counter(settings.REDIS_URL).hit(buckets, now) if buckets else None
        if hits is None:
            return True
        left, wait, tightest = min(
            (bucket.rate.limit - count, -(bucket.rate.seconds - int(now) % bucket.rate.seconds), bucket)
            for bucket, count in zip(buckets, hits, strict=True)
        )
        _show(request, tightest.rate, left, -wait)
        if left < 0:
            raise TooMany(
                f"The {tightest.rate} of {tightest.whose} are used up.",
                retry_after=-wait,
                extra={"limit": tightest.rate.limit, "window_seconds": tightest.rate.seconds},
            )
        return True


def _buckets(request: Request) -> Iterator[Bucket]:
    """What a request counts for, of that which has a rate."""
    user: Any = request.user
    token: Any = request.auth
    counted = [("FORGE_RATE_USER", f"user:{user.pk}", "this person")]
    if settings.FORGE_RATE_TEAM:
        counted += [("FORGE_RATE_TEAM", f"team:{team}", "the team") for team in user.team_ids()]
    counted += [("FORGE_RATE_ORGANIZATION", f"organization:{user.organization_id}", "the organization")]
    counted += [("FORGE_RATE_ALL", "all", "everybody together")]
    if token is not None:
        counted += [("FORGE_RATE_TOKEN", f"token:{token.pk}", "this token")]
        if token.interface == "LUCY":
            counted += [("FORGE_RATE_LUCY", f"lucy:{user.pk}", "this person through Lucy")]
    for setting, key, whose in counted:
        rate = Rate.parse(getattr(settings, setting))
        if rate is not None:
            yield Bucket(key, whose, rate)


def _show(request: Request, rate: Rate, left: int, reset: int) -> None:
    """Leave the RateLimit headers on the request, for ProblemMiddleware."""
    http: Any = request._request
    http.rate_limit_headers = {
        "RateLimit-Limit": str(rate.limit),
        "RateLimit-Remaining": str(max(left, 0)),
        "RateLimit-Reset": str(reset),
    }
