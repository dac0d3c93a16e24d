"""Faults of the books: opened when they are found, resolved when they are found no more; each with its audit entry."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.proof.days import Difference
from costs.proof.models import BookFault
from forge.db.locks import advisory_lock

LOCK = "costs_bookfaults"


def keep(
    *,
    kind: str,
    day: date | None,
    found: Iterable[Difference],
    actor: Actor,
    now: datetime,
    proved: QuerySet[Any] | None = None,
) -> tuple[int, int]:
    """Bring the faults of this kind and day to what was found there; (opened, resolved).

    `proved` are the subjects that were looked at, where those are not all.
    """
    with transaction.atomic():
        advisory_lock(LOCK)
        there = BookFault.objects.open().filter(kind=kind, day=day)
        if proved is not None:
            there = there.filter(subject__in=proved)
        standing = {(fault.organization_id, fault.subject): fault for fault in there}
        opened = 0
        for one in found:
            figures = {"expected": one.expected, "found": one.found, "groups": one.groups, "last_seen_at": now}
            fault = standing.pop((one.organization_id, one.subject), None)
            if fault is not None:
                BookFault.objects.filter(pk=fault.pk).update(**figures)
                continue
            identity = {"organization_id": one.organization_id, "kind": kind, "day": day, "subject": one.subject}
            fault = BookFault.objects.create(seen_at=now, **identity, **figures)
            _record(fault, actions.BOOKS_DIFFER, actor, now)
            opened += 1
        for fault in standing.values():
            BookFault.objects.filter(pk=fault.pk).update(resolved_at=now)
            _record(fault, actions.BOOKS_AGREE, actor, now)
    return opened, len(standing)


def problems() -> list[str]:
    """What stands, for /readyz, which everybody may read: how many faults of each kind."""
    counts = dict(BookFault.objects.open().values_list("kind").annotate(Count("id")))
    return [f"{kind.label.lower()} differ: {counts[kind]}" for kind in BookFault.Kind if kind in counts]


def _record(fault: BookFault, action: str, actor: Actor, now: datetime) -> None:
    """Either is a success of the proof, as with findings; what differs is told by the action itself."""
    record(
        actor=actor.in_organization(fault.organization_id),
        action=action,
        resource_type="BookFault",
        resource_id=str(fault.pk),
        description=f"{fault}: {'differ' if action == actions.BOOKS_DIFFER else 'agree again'}",
        organization_id=fault.organization_id,
        context={
            "kind": fault.kind,
            "day": str(fault.day) if fault.day else None,
            "subject": fault.subject,
            "expected": str(fault.expected),
            "found": str(fault.found),
        },
        occurred_at=now,
    )
