"""How much waits in the queues, asked of Redis; of another broker nothing is known here."""

from __future__ import annotations

import redis
from django.conf import settings

from forge.console.health import redis_at


def depths() -> dict[str, int] | None:
    """Messages that wait in each queue; None while Redis does not answer or is not the broker.

    What waits in the database is found by the sweeps, whatever Redis has lost: this is how far the bell is behind.
    """
    if not settings.CELERY_BROKER_URL.startswith("redis"):
        return None
    names = [queue.name for queue in settings.CELERY_TASK_QUEUES]
    try:
        pipe = redis_at(settings.CELERY_BROKER_URL).pipeline(transaction=False)
        for name in names:
            pipe.llen(name)
        return dict(zip(names, pipe.execute(), strict=True))
    except redis.RedisError:
        return None
