"""Requests per person and per team, counted in Redis; unset rates are no limit, and without Redis nothing is refused.

Counters are fixed windows: one INCR per request and bucket.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from forge.api.rates import Rate

logger = logging.getLogger(__name__)

_REST_SECONDS = 5.0  # how long Redis is left alone after it did not answer


class Counter:
    """Counts hits per bucket and window in Redis; None when Redis is away, which is then not asked for a while."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)
        self._away_until = 0.0

    def hit(self, buckets: Iterable[str], seconds: int, now: float) -> list[int] | None:
        """Hits so far in this window of each bucket, this one counted."""
        if time.monotonic() < self._away_until:
            return None
        window = int(now // seconds)
        pipeline = self._redis.pipeline(transaction=False)
        for bucket in buckets:
            pipeline.incr(f"forge:rate:{bucket}:{window}")
            pipeline.expire(f"forge:rate:{bucket}:{window}", seconds + 1)
        try:
            return [int(count) for count in pipeline.execute()[::2]]
        except redis.RedisError as exc:
            self._away_until = time.monotonic() + _REST_SECONDS
            logger.warning("Requests are not counted for a while: Redis does not answer (%s)", exc)
            return None


@cache
def counter(url: str) -> Counter:
    """The one counter per process and Redis."""
    return Counter(url)


class ForgeThrottle(BaseThrottle):
    """One rate from settings over one or more buckets; the fullest bucket decides and shows in the headers."""

    setting = ""
    _wait: int | None = None

    def buckets(self, request: Request) -> list[str]:
        """Names of what is counted for this request."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:
        rate = Rate.parse(getattr(settings, self.setting))
        buckets = self.buckets(request) if rate is not None and request.user.is_authenticated else []
        if rate is None or not buckets:
            return True
        now = time.time()
        hits = counter(settings.REDIS_URL).hit(buckets, rate.seconds, now)
        if hits is None:
            return True
        left = rate.limit - max(hits)
        self._wait = rate.seconds - int(now) % rate.seconds
        _show(request, rate, left, self._wait)
        return left >= 0

    def wait(self) -> int | None:
        return self._wait


class UserRateThrottle(ForgeThrottle):
    """FORGE_RATE_USER, over all credentials of a person."""

    setting = "FORGE_RATE_USER"

    def buckets(self, request: Request) -> list[str]:
        return [f"user:{request.user.pk}"]


class TeamRateThrottle(ForgeThrottle):
    """FORGE_RATE_TEAM, over all people of each team that the person is in."""

    setting = "FORGE_RATE_TEAM"

    def buckets(self, request: Request) -> list[str]:
        user: Any = request.user
        return [f"team:{team_id}" for team_id in user.team_ids()]


def _show(request: Request, rate: Rate, left: int, reset: int) -> None:
    """Leave the RateLimit headers of the tightest throttle on the request, for ProblemMiddleware."""
    http: Any = request._request
    shown = getattr(http, "rate_limit_headers", None)
    if shown is None or max(left, 0) < int(shown["RateLimit-Remaining"]):
        http.rate_limit_headers = {
            "RateLimit-Limit": str(rate.limit),
            "RateLimit-Remaining": str(max(left, 0)),
            "RateLimit-Reset": str(reset),
        }
