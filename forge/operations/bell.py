"""The bell: tells a worker that an operation is due. It carries no truth, so it may be lost, doubled or broken."""

import functools
import logging
import time
import uuid
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from celery import current_app
from django.db import transaction
from kombu import Connection, Producer
from kombu.exceptions import KombuError
from kombu.pools import producers
from redis.exceptions import RedisError

TASK = "operations.run_operation"
EXPIRES = timedelta(seconds=60)
LONGEST_COUNTDOWN = timedelta(seconds=60)
"""Later visits are left to the sweep: a message that is held back for long helps nobody."""
QUIET_SECONDS = 5.0
"""After a failure the bell stays quiet for so long, or each of many rings would wait for the broker in turn."""
LONGEST_WAIT_SECONDS = 2.0
"""For a free connection, for connecting and for an answer."""

# Celery's own producer connects again and again for four seconds, also with retry=False; a ring tries once.
_TRANSPORT = {
    "max_retries": 0,
    "socket_connect_timeout": LONGEST_WAIT_SECONDS,
    "socket_timeout": LONGEST_WAIT_SECONDS,
}

logger = logging.getLogger(__name__)


class Bell:
    """Rings workers; one per process. A failure is logged and answered False, never raised."""

    def __init__(self, broker_url: str | None = None) -> None:
        self._broker_url = broker_url
        self._quiet_until = 0.0

    def ring(self, operation_id: uuid.UUID, *, countdown: float = 0.0) -> bool:
        """Have a worker look at the operation in `countdown` seconds; False when the broker does not take it."""
        if time.monotonic() < self._quiet_until:
            return False
        try:
            with self._producer() as producer:
                current_app.send_task(
                    TASK,
                    kwargs={"operation_id": str(operation_id)},
                    countdown=countdown or None,
                    expires=countdown + EXPIRES.total_seconds(),
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )
        except (KombuError, RedisError, OSError) as fault:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logger.warning("The bell is broken (%s); operation %s waits for the sweep.", fault, operation_id)
            return False
        return True

    def forget(self) -> None:
        """Try the broker again at the next ring."""
        self._quiet_until = 0.0

    @functools.cached_property
    def _broker(self) -> Connection:
        options = current_app.conf.broker_transport_options | _TRANSPORT
        return current_app.connection_for_write(self._broker_url, transport_options=options)

    def _producer(self) -> AbstractContextManager[Producer]:
        return producers[self._broker].acquire(block=True, timeout=LONGEST_WAIT_SECONDS)


bell = Bell()
"""The bell of this process; without a URL of its own it rings at Celery's broker."""


def ring_on_commit(operation_id: uuid.UUID, *, at: datetime, now: datetime) -> None:
    """Ring for `at` once the current transaction has committed; what is due late is left to the sweep."""
    countdown = max((at - now).total_seconds(), 0.0)
    if countdown <= LONGEST_COUNTDOWN.total_seconds():
        transaction.on_commit(functools.partial(bell.ring, operation_id, countdown=countdown), robust=True)
