"""What a job does for roll-ups, in small transactions: fold differences, sum up a tag's past, let dropped keys go.

The sums are right without it: a trigger writes down what each booking changes. A day of a key is summed up while its
key is locked, for which whoever books in that organization waits; from then on the trigger keeps it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from costs.models import CostRecord
from costs.tags.models import TagKey
from costs.totals import folding
from forge.db.locks import advisory_lock

CHUNK = 10_000
"""Rows of a transaction that takes away."""

STEPS = 50
"""Transactions of a run, at most: what is left waits for the next one."""

_DAY = timedelta(days=1)

_FILL = """
    INSERT INTO costs_tagcost (
        organization_id, key, day, value, basis, is_folded, records, billed_hours, compute_cost, storage_cost,
        data_transfer_cost, total_cost
    )
    SELECT organization_id, %(key)s, %(day)s, left(coalesce(tags ->> %(key)s, ''), 256), basis, true, count(*),
           sum(billed_hours), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost), sum(total_cost)
      FROM costs_costrecord
     WHERE organization_id = %(organization)s AND period_start >= %(start)s AND period_start < %(end)s
     GROUP BY 1, 4, 5
"""
_TAKE_AWAY = """
    DELETE FROM costs_tagcost
     WHERE id IN (SELECT id FROM costs_tagcost WHERE organization_id = %s AND key = %s LIMIT %s)
"""


def roll_up(*, steps: int = STEPS) -> dict[str, Any]:
    """Do at most about `steps` transactions' work; any number may do so at once. Returns what was done, as counts."""
    figures = {"folded": 0, "days": 0, "taken_away": 0, "waiting": False}
    figures["folded"], done = folding.fold(most=steps)
    left = max(1, steps - done)
    for key_id in TagKey.objects.exclude(state=TagKey.State.KEPT).order_by("id").values_list("id", flat=True):
        while left:
            left -= 1
            done = _step(key_id, figures)
            if done:
                break
        else:
            figures["waiting"] = True
    return figures


def _step(key_id: uuid.UUID, figures: dict[str, Any]) -> bool:
    """One step of a key that is being filled or is going; True when nothing of it is left to do."""
    with transaction.atomic():
        key = TagKey.objects.select_for_update(no_key=True).filter(pk=key_id).first()
        if key is None or key.state == TagKey.State.KEPT:
            return True
        if key.state == TagKey.State.DROPPING:
            return _take_away(key, figures)
        return _fill(key, figures)


def _take_away(key: TagKey, figures: dict[str, Any]) -> bool:
    advisory_lock(folding.TAGS.lock)  # or a sum that is just being folded would outlive its key
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_AWAY, [key.organization_id, key.key, CHUNK])
        figures["taken_away"] += cursor.rowcount
        if cursor.rowcount == CHUNK:
            return False
    key.delete()
    return True


def _fill(key: TagKey, figures: dict[str, Any]) -> bool:
    day = _latest_before(key.organization_id, key.fill_before) if key.fill_before else None
    if day is None:
        key.state, key.fill_before = TagKey.State.KEPT, None
        key.save(update_fields=["state", "fill_before", "updated_at"])
        return True
    given: dict[str, Any] = {"key": key.key, "organization": key.organization_id, "day": day, "start": _start(day)}
    with connection.cursor() as cursor:
        cursor.execute(_FILL, given | {"end": _start(day + _DAY)})
    key.fill_before = key.since = day
    key.save(update_fields=["fill_before", "since", "updated_at"])
    figures["days"] += 1
    return False


def _latest_before(organization_id: uuid.UUID, day: date) -> date | None:
    """The latest day with records before `day`."""
    records = CostRecord.objects.filter(organization_id=organization_id, period_start__lt=_start(day))
    latest = records.aggregate(latest=Max("period_start"))["latest"]
    return None if latest is None else latest.astimezone(UTC).date()


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
