"""Machines that a later bill of the month names no more: what was metered stands again, as it would stand by now.

While a record is BILLED neither metering nor a corrected price changes it. So what was metered before is put back, the
machine's mark wakes where something of the month has become known late, and the prices that hold now are asked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from costs.bills import statements
from costs.bills.booking import CHUNK, Cause, bounds, change, lock
from costs.bills.models import Bill, BilledMachine, BillGap
from costs.charges import Charges
from forge.db import ports
from workspaces.models import WorkSpace

# A machine that has ended after the month is metered to its end for good: its late changes of the month stay unseen.
_WAKE = """
    UPDATE costs_metermark mark
       SET dirty_from = least(mark.dirty_from, late.since), next_due_at = least(mark.next_due_at, late.since),
           updated_at = statement_timestamp()
      FROM (
          SELECT w.id, min(s.occurred_at) AS since
            FROM workspaces_workspace w
            JOIN workspaces_statechange s ON s.workspace_id = w.id AND s.occurred_at < %(end)s
           CROSS JOIN LATERAL (
               SELECT max(v.recorded_at) AS at FROM costs_costrevision v
                WHERE v.workspace_id = w.id AND v.period_start >= %(start)s AND v.period_start < %(end)s
                  AND v.old_basis <> 'BILLED' AND v.new_basis = 'BILLED'
           ) billed
           WHERE w.id = ANY (%(workspaces)s) AND s.recorded_at > billed.at
             AND coalesce(w.terminated_at <= %(end)s, true)
           GROUP BY w.id
      ) late
     WHERE mark.workspace_id = late.id
"""

# Of the machines that this import has put back, also before it was cut off, and the prices of their hours of the month.
_RESTORED = """
    SELECT array_agg(DISTINCT workspace_id) FROM costs_costrevision
     WHERE operation_id = %(operation)s AND workspace_id = ANY (%(workspaces)s)
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
    named = BillGap.objects.filter(bill=bill, resource=OuterRef("provider_id"))
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
        with transaction.atomic(), connection.cursor() as cursor:
            lock(bill, absent, fence)
            change(statements.RESTORE, bill, dict.fromkeys(absent, ""), cause, now)
            cursor.execute(_WAKE, {"workspaces": absent, "start": start, "end": end})
        _rerate(bill, absent, cause, now, fence)
    return ids[-1]


def _rerate(bill: Bill, absent: list[uuid.UUID], cause: Cause, now: datetime, fence: Callable[[], Any]) -> None:
    """Reckon what was put back by the prices that now hold for its hours.

    One transaction for each price, like the correction that passed the hours by: daily sums are locked in their order
    once in each. Records that are at their price are passed over.
    """
    start, end = bounds(bill)
    with connection.cursor() as cursor:
        cursor.execute(_RESTORED, {"operation": cause.operation_id, "workspaces": absent})
        (restored,) = cursor.fetchone()
        if not restored:
            return
        cursor.execute(_PRICES, {"workspaces": restored, "start": start, "end": end})
        prices = [price_id for (price_id,) in cursor.fetchall()]
        for price_id in prices:
            with transaction.atomic():
                lock(bill, restored, fence)
                asked = [restored, price_id, settings.FORGE_PRICE_STALE_DAYS, cause.reason, cause.operation_id]
                cursor.execute(_RERATE, [*asked, cause.actor_id])
                charges = Charges.of_arrays(*cursor.fetchone())
                if len(charges):
                    ports.call_all("FORGE_SPEND_HOOKS", charges=charges, now=now)
