"""How often AWS is called, and when not at all: a token bucket that all processes share, and a circuit breaker.

The bucket is a row per account and region in PostgreSQL, so that any number of workers on any number of machines keep
the rate together. The breaker is each process's and service's own: it opens after FAILURES calls in a row that did not
reach AWS or had no clear answer, lets one at a time through after REST, and closes after SUCCESSES that went well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import connection
from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitBreakerListener

from forge.metrics.counters import AWS_CIRCUITS_OPENED, AWS_TURNS_REFUSED
from workspaces.aws.faults import Exists, Invalid, LimitReached, NotFound, NotReady, Throttled, Unavailable
from workspaces.aws.shapes import Place

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a call waits for its turn at most; it must end before the lease of an operation does."""

FAILURES, REST, SUCCESSES = 5, 30, 2
"""Failures in a row that open the circuit, seconds until one call is tried, successes that close it again."""

ANSWERED = (Throttled, LimitReached, Invalid, NotFound, NotReady, Exists)
"""Faults with which AWS says that it is there."""

# A place whose clock went back has a time in the future: its bucket is taken for full.
_TOKENS = """CASE WHEN bucket.refilled_at > clock_timestamp() THEN %(burst)s::float8
             ELSE least(%(burst)s, bucket.tokens
                        + %(rate)s * extract(epoch FROM clock_timestamp() - bucket.refilled_at)::float8) END - 1"""
_TAKE = f"""
    INSERT INTO workspaces_callallowance AS bucket (place, tokens, refilled_at)
    VALUES (%(place)s, %(burst)s - 1, clock_timestamp())
    ON CONFLICT (place) DO UPDATE SET tokens = {_TOKENS}, refilled_at = clock_timestamp()
     WHERE {_TOKENS} >= -%(rate)s::float8 * %(patience)s
    RETURNING tokens
"""  # noqa: S608  both parts stand above


def wait_for_turn(place: Place, service: str = "") -> None:
    """Return when the call may be made; raises Throttled when that would take longer than PATIENCE.

    Turns are handed out in order: each takes a token that will have been refilled by then. A `service` that AWS counts
    by itself has a bucket of its own.
    """
    rate, burst = settings.FORGE_AWS_CALLS_PER_SECOND, settings.FORGE_AWS_CALL_BURST
    if not rate:
        return
    name = "/".join(filter(None, (place.account, place.region, service)))
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"place": name, "rate": rate, "burst": burst, "patience": PATIENCE})
        taken = cursor.fetchone()
    if taken is None:
        AWS_TURNS_REFUSED.inc()
        raise Throttled("OwnRateLimit", f"{rate:g} calls a second to {name} are used up for the next {PATIENCE:g} s")
    time.sleep(max(0.0, -taken[0] / rate))


@contextmanager
def guarded(place: Place, service: str = "") -> Iterator[None]:
    """The one call inside counts for the circuit; raises Unavailable without calling while it is open."""
    circuit = circuit_of(place, service)
    try:
        with circuit.one_call():
            yield
    except CircuitBreakerError as error:
        detail = f"{FAILURES} calls in a row failed; none is made for {REST} s"
        raise Unavailable("CircuitOpen", f"{circuit.name}: {detail}") from error


class Circuit(CircuitBreaker):
    """One that is not closed tries one call at a time: pybreaker's own would let through all that come together."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trial = Lock()

    @contextmanager
    def one_call(self) -> Iterator[None]:
        """Count the call inside; uncalled, raises CircuitBreakerError while open and Unavailable while one is tried."""
        if self.current_state == STATE_CLOSED:
            with self.calling():
                yield
            return
        if not self._trial.acquire(blocking=False):
            raise Unavailable("CircuitOpen", f"{self.name}: one call is tried first")
        try:
            with self.calling():
                yield
        finally:
            self._trial.release()


@cache
def circuit_of(place: Place, service: str) -> Circuit:
    """The circuit of a service in a place, in this process: one that fails keeps no other from its calls."""
    return Circuit(
        fail_max=FAILURES,
        reset_timeout=REST,
        success_threshold=SUCCESSES,
        exclude=list(ANSWERED),
        throw_new_error_on_trip=False,
        listeners=[_Told()],
        name="/".join(filter(None, (place.account, place.region, service))),
    )


class _Told(CircuitBreakerListener):
    """Writes into the log what becomes of a circuit, and counts those that open."""

    def state_change(self, cb: CircuitBreaker, old_state: Any, new_state: Any) -> None:
        logger.warning("AWS %s: the circuit is %s", cb.name, new_state.name)
        if new_state.name == STATE_OPEN:
            AWS_CIRCUITS_OPENED.inc()
