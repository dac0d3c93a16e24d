"""From staged lines to billed records: a few machines in a transaction, whose end is that their lines are gone.

So what is staged is what is left to do: whoever is cut off goes on where the last transaction ended, and a machine that
is booked twice, by the same bill or by a later one, comes out the same. The order of the locks is that of every charge
(docs/money.md): scope rows, operation and bill, machines, records, daily sums, budgets.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from costs.bills import statements
from costs.bills.models import Bill, BillGap
from costs.charges import Charges
from costs.models import CostRecord, MeterMark
from forge.accounts.locks import lock_scopes
from forge.db import ports, scope
from workspaces.models import WorkSpace

CHUNK = 100
"""Machines per transaction, at most: a month of each is 744 records."""

Reason = BillGap.Reason

# Whom the machines and their records of the month belong to: budgets of either may move.
_SCOPES = """
    SELECT array_agg(DISTINCT user_id), array_agg(DISTINCT team_id), array_agg(DISTINCT project_id),
           array_agg(DISTINCT organization_id)
      FROM (
          SELECT owner_id AS user_id, team_id, project_id, organization_id FROM workspaces_workspace
           WHERE id = ANY (%(workspaces)s)
          UNION
          SELECT r.user_id, r.team_id, r.project_id, r.organization_id
            FROM unnest(%(workspaces)s::uuid[]) AS m (workspace_id)
            JOIN costs_costrecord r ON r.workspace_id = m.workspace_id
             AND r.period_start >= %(start)s AND r.period_start < %(end)s
      ) payer
"""
_LOCK = "SELECT id, owner_id, team_id FROM workspaces_workspace WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE"


@dataclass(frozen=True)
class Cause:
    """Why records change, as their revisions say it."""

    reason: str
    actor_id: uuid.UUID | None
    operation_id: uuid.UUID


@dataclass
class Progress:
    """What booking came to: machines, records that are other than before, lines that are done with."""

    machines: int = 0
    records: int = 0
    lines: int = 0
    after: str = field(default="", repr=False)


def bounds(bill: Bill) -> tuple[datetime, datetime]:
    """The bill's month, which is known, as [start, end)."""
    first, last = bill.month, bill.following_month
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time.min, UTC)  # type: ignore[arg-type]


def book_next(
    *,
    bill: Bill,
    cause: Cause,
    now: datetime,
    fence: Callable[[], Any],
    progress: Progress,
    dry_run: bool = False,
    look: Callable[[], None] = lambda: None,
) -> bool:
    """Book the next machines of the bill; False when there are none left.

    `fence` is called after the scope rows are locked: it locks whatever says that the caller still may. A dry run
    takes its transaction back, after calling `look`, and goes on behind it.
    """
    resources = _resources(bill, progress.after if dry_run else "")
    if not resources:
        return False
    machines, reasons = _known(bill, resources)
    with transaction.atomic():
        if machines:
            lock(bill, list(machines), fence)
            if _resources(bill, progress.after if dry_run else "") != resources:
                return True  # another command with the same file was quicker
            recorded = _with_records(bill, list(machines))
            waiting = {machines[one] for one in _not_metered(bill, list(machines))}
            without = set(machines.values()) - waiting - {machines[one] for one in recorded}
            reasons |= dict.fromkeys(waiting, Reason.NOT_METERED) | dict.fromkeys(without, Reason.NO_RECORDS)
            ready = {one: resource for one, resource in machines.items() if one in recorded and resource not in waiting}
            progress.records += change(statements.BOOK, bill, ready, cause, now)
            _execute(statements.CREDITS, {**_bill(bill), "resources": list(ready.values())})
            progress.machines += len(ready)
        else:
            fence()
        elsewhere = [resource for resource, reason in reasons.items() if reason is None]
        gaps = {resource: str(reason) for resource, reason in reasons.items() if reason is not None}
        _execute(
            statements.GAPS, {**_bill(bill), "resources": list(gaps), "reasons": [str(one) for one in gaps.values()]}
        )
        foreign = _one(statements.SETTLED, {**_bill(bill), "resources": elsewhere})
        settled = _one(statements.SETTLED, {**_bill(bill), "resources": resources}) + foreign
        Bill.objects.filter(pk=bill.pk).update(
            settled_lines=F("settled_lines") + settled - foreign,
            machine_lines=F("machine_lines") - foreign,
            elsewhere_lines=F("elsewhere_lines") + foreign,
            updated_at=now,
        )
        look()
        transaction.set_rollback(dry_run)
    progress.lines += settled
    progress.after = resources[-1]
    return True


def _resources(bill: Bill, after: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statements.NEXT_RESOURCES, {**_bill(bill), "after": after, "limit": CHUNK})
        return [resource for (resource,) in cursor.fetchall()]


def _known(bill: Bill, resources: Sequence[str]) -> tuple[dict[uuid.UUID, str], dict[str, Any]]:
    """Our machines by id with the resource that names them, and why each other resource is none: None = elsewhere.

    Several of ours may have had the same id of AWS, one after the other: it names them all.
    """
    own_ids = {one: resource for resource in resources if (one := _as_uuid(resource))}
    named = Q(provider_id__in=[resource for resource in resources if resource.startswith("ws-")]) | Q(pk__in=own_ids)
    machines: dict[uuid.UUID, str] = {}
    reasons: dict[str, Any] = dict.fromkeys(resources, Reason.UNKNOWN)
    with scope.system():  # another organization's machine in the same AWS account is known too, to be passed over
        found = list(WorkSpace.objects.filter(named).order_by("pk").values_list("pk", "provider_id", "organization_id"))
    for pk, provider_id, organization_id in found:
        resource = own_ids.get(pk, provider_id)
        if organization_id == bill.organization_id:
            machines[pk] = resource
            reasons.pop(resource, None)
        elif resource in reasons:  # else a machine of ours has the same id: it stood with others before, or after
            reasons[resource] = None
    return machines, reasons


def _as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def lock(bill: Bill, workspaces: list[uuid.UUID], fence: Callable[[], Any]) -> None:
    """Lock whoever may be charged, what `fence` locks, and the machines, in this order."""
    start, end = bounds(bill)
    with connection.cursor() as cursor:
        cursor.execute(_SCOPES, {"workspaces": workspaces, "start": start, "end": end})
        users, teams, projects, organizations = cursor.fetchone()
        lock_scopes(user_ids=users, team_ids=teams, project_ids=projects, organization_ids=organizations)
        fence()
        cursor.execute(_LOCK, [workspaces])


def _not_metered(bill: Bill, workspaces: list[uuid.UUID]) -> set[uuid.UUID]:
    """Machines of which metering still has something to book within the month."""
    end = bounds(bill)[1]
    behind = MeterMark.objects.filter(workspace_id__in=workspaces, next_due_at__lt=end)
    return set(behind.values_list("workspace_id", flat=True))


def _with_records(bill: Bill, workspaces: list[uuid.UUID]) -> set[uuid.UUID]:
    start, end = bounds(bill)
    within = CostRecord.objects.filter(workspace_id__in=workspaces, period_start__gte=start, period_start__lt=end)
    return set(within.values_list("workspace_id", flat=True).distinct())


def change(statement: str, bill: Bill, machines: dict[uuid.UUID, str], cause: Cause, now: datetime) -> int:
    """Change the records of machines that are locked, and hand the differences to the budgets; how many changed."""
    if not machines:
        return 0
    start, end = bounds(bill)
    given = {
        **_bill(bill),
        "start": start,
        "end": end,
        "workspaces": list(machines),
        "resources": list(machines.values()),
        "reason": cause.reason,
        "actor": cause.actor_id,
        "operation": cause.operation_id,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL work_mem = '64MB'")
        cursor.execute(statement, given)
        count, empty, *arrays = cursor.fetchone()
        if empty:
            cursor.execute(statements.DROP_EMPTY_SUMS, [empty])
        cursor.execute("SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL work_mem TO DEFAULT")
    charges = Charges.of_arrays(*arrays)
    if len(charges):
        ports.call_all("FORGE_SPEND_HOOKS", charges=charges, now=now)
    return count


def _bill(bill: Bill) -> dict[str, Any]:
    return {"bill": bill.pk, "organization": bill.organization_id}


def _execute(statement: str, given: dict[str, Any]) -> None:
    if given["resources"]:
        with connection.cursor() as cursor:
            cursor.execute(statement, given)


def _one(statement: str, given: dict[str, Any]) -> int:
    if not given["resources"]:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchone()[0]
