"""Machines that a later bill of the month names no more: what was metered stands again, as it would stand by now.

While a record is BILLED neither metering nor a corrected price changes it. So what was metered before is put back, what
of the month has become known late is reckoned anew, and the prices that hold now are asked. The same is done before a
later bill takes the place of one after which a price was corrected: drift is from what would have been metered by now.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, TextField
from django.db.models.functions import Cast

from costs.bills import statements
from costs.bills.booking import CHUNK, Cause, bounds, change, lock
from costs.bills.models import Bill, BilledMachine, BillGap
from costs.charges import Charges
from costs.models import Basis, CostRecord, MeterMark
from forge.db import ports
from workspaces.models import WorkSpace

# Since when states of the month have become known after it was billed, by machine.
_LATE = """
    WITH late AS MATERIALIZED (
        SELECT w.id, w.terminated_at, min(s.occurred_at) AS since
          FROM workspaces_workspace w
          JOIN workspaces_statechange s ON s.workspace_id = w.id AND s.occurred_at < %(end)s
         CROSS JOIN LATERAL (
             SELECT max(v.recorded_at) AS at FROM costs_costrevision v
              WHERE v.workspace_id = w.id AND v.period_start >= %(start)s AND v.period_start < %(end)s
                AND v.old_basis <> 'BILLED' AND v.new_basis = 'BILLED'
         ) billed
         WHERE w.id = ANY (%(workspaces)s) AND s.recorded_at > billed.at
         GROUP BY w.id
    )
"""
_WAKE_LATE = """
    UPDATE costs_metermark mark
       SET dirty_from = least(mark.dirty_from, late.since), next_due_at = least(mark.next_due_at, late.since),
           updated_at = statement_timestamp()
      FROM late
     WHERE mark.workspace_id = late.id
       AND (mark.next_due_at IS NOT NULL OR coalesce(late.terminated_at <= %(end)s, true))
"""
_DONE_AND_LATE = """
    SELECT late.id, late.since FROM late JOIN costs_metermark mark ON mark.workspace_id = late.id
     WHERE mark.next_due_at IS NULL AND late.terminated_at > %(end)s
     ORDER BY late.id
"""
_WAKE = _LATE + _WAKE_LATE
"""A machine that is metered to its end for good, behind the month, is reckoned anew by itself: `_catch_up`."""
_DONE = _LATE + _DONE_AND_LATE
_BOOK = """
    SELECT cardinality(hours), workspace_ids::text, hours::text, amounts::text
      FROM costs_book(%s::uuid[], %s, %s, false, %s)
"""

# Of the machines that this import has put back, also before it was cut off and an operation took it over, and the
# prices of their hours of the month.
_RESTORED = """
    SELECT array_agg(DISTINCT workspace_id) FROM costs_costrevision
     WHERE operation_id = ANY (%(operations)s) AND workspace_id = ANY (%(workspaces)s)
       AND old_basis = 'BILLED' AND new_basis <> 'BILLED'
"""
_PRICES = """
    SELECT DISTINCT p.id
      FROM (
          SELECT DISTINCT r.organization_id, w.service_type, r.region, r.bundle_type, w.operating_system,
                 r.running_mode, r.currency, r.period_start
            FROM workspaces_workspace w JOIN costs_costrecord r ON r.workspace_id = w.id
             AND r.period_start >= %(start)s AND r.period_start < %(end)s
           WHERE w.id = ANY (%(workspaces)s)
      ) kind
     CROSS JOIN LATERAL costs_price_at(
         organization_id, service_type, region, bundle_type, operating_system, running_mode, currency, period_start
     ) p
     ORDER BY p.id
"""
# Machines of which an hour has another price by now: one that was billed, or was put back before this import was cut
# off. Prices are asked once for each kind and hour.
_OTHER_PRICE = """,
    billed AS MATERIALIZED (
        SELECT w.id, r.organization_id, w.service_type, r.region, r.bundle_type, w.operating_system, r.running_mode,
               r.currency, r.period_start, r.price_id
          FROM workspaces_workspace w
          JOIN costs_costrecord r ON r.workspace_id = w.id AND r.period_start >= %(start)s AND r.period_start < %(end)s
         WHERE w.id = ANY (%(workspaces)s)
    ),
    kind AS MATERIALIZED (
        SELECT DISTINCT organization_id, service_type, region, bundle_type, operating_system, running_mode, currency,
               period_start
          FROM billed
    ),
    price AS MATERIALIZED (
        SELECT kind.*, p.id AS now_price_id
          FROM kind
         CROSS JOIN LATERAL costs_price_at(
             organization_id, service_type, region, bundle_type, operating_system, running_mode, currency, period_start
         ) p
    )
    SELECT DISTINCT billed.id
      FROM billed
      JOIN price USING (
          organization_id, service_type, region, bundle_type, operating_system, running_mode, currency, period_start
      )
     WHERE now_price_id <> price_id AND NOT EXISTS (SELECT FROM late WHERE late.id = billed.id)
     ORDER BY billed.id
"""
_OUTDATED = _LATE + _OTHER_PRICE
_RERATE = """
    SELECT cardinality(hours), workspace_ids::text, hours::text, amounts::text
      FROM costs_rerate(%s, %s, %s, %s, %s, %s)
"""


def restore_next(
    *, bill: Bill, after: uuid.UUID, cause: Cause, now: datetime, fence: Callable[[], Any]
) -> uuid.UUID | None:
    """Look at the next machines of the bill's accounts that it does not name; the last one's id, None behind the last.

    They are listed with what was metered; what an earlier bill of the month had made BILLED is metered again.
    """
    start, end = bounds(bill)
    on_the_bill = BilledMachine.objects.filter(bill=bill, workspace=OuterRef("pk"), billed_cost__isnull=False)
    own_id = Cast(OuterRef("pk"), TextField())
    named = BillGap.objects.filter(Q(resource=OuterRef("provider_id")) | Q(resource=own_id), bill=bill)
    machines = WorkSpace.objects.filter(
        Q(terminated_at__isnull=True) | Q(terminated_at__gt=start),
        organization_id=bill.organization_id,
        provider_account__account__in=bill.accounts,
        launched_at__lt=end,
        pk__gt=after,
    ).order_by("pk")
    ids = list(machines.values_list("pk", flat=True)[:CHUNK])
    if not ids:
        return None
    absent = list(machines.filter(~Exists(on_the_bill), ~Exists(named), pk__lte=ids[-1]).values_list("pk", flat=True))
    if absent:
        _put_back(bill, absent, cause, now, fence)
    return ids[-1]


def put_back_outdated(*, bill: Bill, cause: Cause, now: datetime, fence: Callable[[], Any]) -> None:
    """Before a bill takes the place of another: meter machines again that were billed at prices corrected since.

    One of which states have become known since is left as it is: until it is metered its month could not be booked.
    Nothing is done once lines of this bill are booked: then it was done.
    """
    if bill.settled_lines:
        return
    start, end = bounds(bill)
    earlier = BilledMachine.objects.filter(
        bill__organization=bill.organization_id,
        bill__month=bill.month,
        billed_cost__isnull=False,
        workspace__provider_account__account__in=bill.accounts,
    ).exclude(bill=bill)
    after = uuid.UUID(int=0)
    while workspaces := list(
        earlier.filter(workspace__gt=after).order_by("workspace").values_list("workspace", flat=True).distinct()[:CHUNK]
    ):
        with connection.cursor() as cursor:
            cursor.execute(_OUTDATED, {"workspaces": workspaces, "start": start, "end": end})
            outdated = [workspace_id for (workspace_id,) in cursor.fetchall()]
        if outdated:
            _put_back(bill, outdated, cause, now, fence)
        after = workspaces[-1]


def _put_back(bill: Bill, workspaces: list[uuid.UUID], cause: Cause, now: datetime, fence: Callable[[], Any]) -> None:
    """What was metered stands again; then what has become known, and been corrected, meanwhile holds.

    Each step is a transaction of its own, because each locks daily sums in their order once. Done twice it comes to
    the same, so that whoever is cut off begins with the first again.
    """
    start, end = bounds(bill)
    with transaction.atomic(), connection.cursor() as cursor:
        lock(bill, workspaces, fence)
        billed = CostRecord.objects.filter(
            workspace__in=workspaces, period_start__gte=start, period_start__lt=end, basis=Basis.BILLED
        )
        woken = list(billed.values_list("workspace_id", flat=True).distinct())
        change(statements.RESTORE, bill, dict.fromkeys(workspaces, ""), cause, now)
        # Those alone: a machine that has ended and was put back before would owe the rest of its month once more.
        cursor.execute(_WAKE, {"workspaces": woken, "start": start, "end": end})
    with connection.cursor() as cursor:
        cursor.execute(_RESTORED, {"operations": [cause.operation_id, bill.pk], "workspaces": workspaces})
        (restored,) = cursor.fetchone()
    if restored:
        _catch_up(bill, restored, now, fence)
        _rerate(bill, restored, cause, now, fence)


def _catch_up(bill: Bill, restored: list[uuid.UUID], now: datetime, fence: Callable[[], Any]) -> None:
    """Reckon the month anew of machines that have ended after it and of which states of it became known meanwhile.

    Their marks are done and stay so: what they owed at their end is booked once. The hours behind the month were
    metered when the states became known, so the marks stand at its end meanwhile, as nothing is booked to before them.
    """
    start, end = bounds(bill)
    with transaction.atomic(), connection.cursor() as cursor:
        lock(bill, restored, fence)
        cursor.execute(_DONE, {"workspaces": restored, "start": start, "end": end})
        since = dict(cursor.fetchall())
        if not since:
            return
        marks = list(MeterMark.objects.filter(workspace__in=since))
        for mark in marks:
            MeterMark.objects.filter(pk=mark.pk).update(
                dirty_from=since[mark.workspace_id], next_due_at=since[mark.workspace_id], metered_through=end
            )
        asked: list[Any] = [list(since), end, end - start, settings.FORGE_PRICE_STALE_DAYS]
        cursor.execute(_BOOK, asked)
        _settle(cursor.fetchone(), now)
        for mark in marks:
            mark.save()


def _rerate(bill: Bill, restored: list[uuid.UUID], cause: Cause, now: datetime, fence: Callable[[], Any]) -> None:
    """Reckon what was put back by the prices that now hold for its hours; records that are at theirs are passed over.

    One transaction for each price, like the correction that passed the hours by.
    """
    start, end = bounds(bill)
    with connection.cursor() as cursor:
        cursor.execute(_PRICES, {"workspaces": restored, "start": start, "end": end})
        prices = [price_id for (price_id,) in cursor.fetchall()]
        for price_id in prices:
            with transaction.atomic():
                lock(bill, restored, fence)
                asked = [restored, price_id, settings.FORGE_PRICE_STALE_DAYS, cause.reason, cause.operation_id]
                cursor.execute(_RERATE, [*asked, cause.actor_id])
                _settle(cursor.fetchone(), now)


def _settle(arrays: tuple[int, str, str, str], now: datetime) -> None:
    charges = Charges.of_arrays(*arrays)
    if len(charges):
        ports.call_all("FORGE_SPEND_HOOKS", charges=charges, now=now)
