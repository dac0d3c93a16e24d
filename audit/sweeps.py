"""What is written into the log by itself: the closing entries of answers that are counted."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit import actions
from audit.actors import Actor, Interface, Kind
from audit.capture import COUNTED
from audit.entries import DENIED, Entry
from audit.services import record_many
from forge.api import denials

CHUNK = 1000
JOB = "close_denial_counts"


def close_denial_counts(*, now: datetime) -> dict[str, int]:
    """One entry per address, credential and minute gone by of which more than one answer was counted.

    Returns {"entries", "answers"}. Counts and entries change hands in one transaction per chunk, so an interrupted run
    loses and doubles nothing.
    """
    entries = answers = 0
    while True:
        with transaction.atomic():
            removed, closed = denials.take_closed(now, limit=CHUNK)
            record_many(_closing(count) for count in closed)
        if not removed:
            return {"entries": entries, "answers": answers}
        entries += len(closed)
        answers += sum(count.count - 1 for count in closed)


def _closing(counted: denials.ClosedCount) -> Entry:
    further = counted.count - 1
    otherwise = actions.ACCESS_DENIED if counted.result == DENIED else actions.OTHER
    whose = "requests without a credential" if counted.result else "requests"
    return Entry(
        actor=Actor(kind=Kind.JOB, interface=Interface.JOB, name=JOB, source_ip=counted.source_ip or None),
        action=otherwise if counted.result else COUNTED[counted.status],
        result=counted.result or DENIED,
        description=f"{further} further {whose} within the minute were answered {counted.status}",
        context={
            "status": counted.status,
            "count": further,
            "minute": counted.minute,
            "credential_prefix": counted.credential_prefix or None,
        },
        occurred_at=counted.last_at,
    )
