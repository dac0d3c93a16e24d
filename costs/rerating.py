"""What is booked follows a price that was corrected: records are reckoned anew, old and new figures are kept.

The work is one SQL function per chunk of machines (`costs_rerate`, migration 0007). Here are who is affected, the order
of the locks, which is metering's, and the hand-over to the budgets. A chunk is one transaction; whoever goes on after a
crash finds the records that are done at their new price, and passes them over.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum

from audit.actors import Actor
from audit.services import record
from costs import actions, permissions
from costs.charges import Charges
from costs.metering import CHUNK, MACHINE_HOURS
from costs.models import CostRevision, Price
from costs.pricing import HOUR
from costs.totals import folding
from forge.accounts.locks import lock_scopes
from forge.db import ports
from forge.db.ids import uuid7
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation
from forge.operations.services import enqueue
from workspaces.models import WorkSpace

KIND = "costs.rerate"


# Whom the records belong to, and whom the machine: a record keeps its owner when the machine has another one.
_SCOPES = """
    SELECT array_agg(DISTINCT user_id), array_agg(DISTINCT team_id),
           array_remove(array_agg(DISTINCT project_id), NULL), array_agg(DISTINCT organization_id)
      FROM (
          SELECT r.user_id, r.team_id, r.project_id, r.organization_id FROM costs_costrecord r
           WHERE r.workspace_id = ANY (%(ids)s) AND r.period_start >= %(since)s
             AND (%(until)s::timestamptz IS NULL OR r.period_start < %(until)s)
          UNION
          SELECT w.owner_id, w.team_id, w.project_id, w.organization_id FROM workspaces_workspace w
           WHERE w.id = ANY (%(ids)s)
      ) belonging
"""
_LOCK_MACHINES = "SELECT 1 FROM workspaces_workspace WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE"
_RERATE = """
    SELECT cardinality(hours), workspace_ids::text, hours::text, amounts::text
      FROM costs_rerate(%s, %s, %s, %s, %s, %s)
"""


def ask(*, actor: Actor, price: Price, reason: str, now: datetime) -> list[Operation]:
    """Queue the re-rating of what is booked in the price's period, in the caller's transaction: one operation for each
    organization that has had a machine which the price is for. None where there is no such machine.
    """
    return [
        enqueue(
            id=uuid7(),
            organization_id=organization_id,
            actor_id=actor.user_id,
            kind=KIND,
            target_type="Price",
            target_id=price.pk,
            spec={"reason": reason},
            correlation_id=actor.correlation_id,
            now=now,
        )
        for organization_id in _organizations(price)
    ]


def _organizations(price: Price) -> list[uuid.UUID]:
    there = _machines(price).filter(organization__currency=price.currency)
    if price.organization_id is not None:
        there = there.filter(organization_id=price.organization_id)
    return sorted(there.values_list("organization_id", flat=True).distinct())


def _machines(price: Price) -> Any:
    """Machines with hours in the price's period that may be of its kind; what they were then, their records say."""
    there = WorkSpace.objects.filter(
        Q(terminated_at__isnull=True) | Q(terminated_at__gt=price.valid_from),
        service_type=price.service_type,
        region=price.region,
        operating_system=price.operating_system,
        launched_at__isnull=False,
    )
    return there if price.valid_to is None else there.filter(launched_at__lt=price.valid_to)


class Rerate(Handler):
    """Walks the organization's machines by id; `steps` holds how far it has come."""

    def run(self, claim: Claim) -> None:
        operation = claim.operation
        price = Price.objects.get(pk=operation.target_id)
        after = next((step["detail"] for step in operation.steps if step["name"] == "rerate"), None)
        machines = _machines(price).filter(organization_id=operation.organization_id).order_by("id")
        size = _chunk(price, claim.now())
        while ids := list(_beyond(machines, after).values_list("id", flat=True)[:size]):
            self._chunk(claim, price, ids)
            after = str(ids[-1])
            claim.step("rerate", after)
        folding.fold()
        figures = _come_to(operation)
        with transaction.atomic():
            claim.lock()
            claim.succeed(figures)
            _record(operation, outcome="succeeded", result="SUCCESS", now=claim.now(), **figures)

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        _record(operation, outcome="cancelled", result="FAILURE", now=now, actor=actor)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        _record(operation, outcome="retry", result="SUCCESS", now=now, actor=actor)

    def cancellable(self, operations: Sequence[Operation]) -> set[uuid.UUID]:
        """None: half of it would leave two prices for one hour. Another correction undoes it."""
        return set()

    def may_control(self, user: Any, operation: Operation) -> bool:
        return permissions.may_price(user, operation.organization_id)

    @staticmethod
    def _chunk(claim: Claim, price: Price, ids: list[uuid.UUID]) -> None:
        """Re-rate the records of these machines in one transaction, locks first and in their order."""
        operation = claim.operation
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_SCOPES, {"ids": ids, "since": price.valid_from, "until": price.valid_to})
            users, teams, projects, organizations = cursor.fetchone()
            lock_scopes(user_ids=users, team_ids=teams, project_ids=projects, organization_ids=organizations)
            claim.lock()
            cursor.execute(_LOCK_MACHINES, [ids])
            asked = [ids, price.pk, settings.FORGE_PRICE_STALE_DAYS, operation.spec["reason"], operation.id]
            cursor.execute(_RERATE, [*asked, operation.actor_id])
            charges = Charges.of_arrays(*cursor.fetchone())
            if len(charges):
                ports.call_all("FORGE_SPEND_HOOKS", charges=charges, now=claim.now())


rerate = Rerate()


def _come_to(operation: Operation) -> dict[str, Any]:
    """Records that the operation has changed, whatever worker did it, and by how much in all."""
    total = Sum(F("new_total_cost") - F("old_total_cost"), default=Decimal(0))
    return CostRevision.objects.filter(operation_id=operation.id).aggregate(records=Count("id"), difference=total)


def _beyond(machines: Any, after: str | None) -> Any:
    return machines if after is None else machines.filter(id__gt=after)


def _chunk(price: Price, now: datetime) -> int:
    """Machines per transaction, so that it changes about MACHINE_HOURS records."""
    until = now if price.valid_to is None else min(price.valid_to, now)
    hours = max(1, (until - price.valid_from) // HOUR)
    return max(1, min(CHUNK, MACHINE_HOURS // hours))


def _record(
    operation: Operation,
    *,
    outcome: str,
    result: str,
    now: datetime,
    actor: Actor | None = None,
    **figures: Any,
) -> None:
    who = actor or Actor.of_operation(operation)
    record(
        actor=who.in_organization(operation.organization_id).with_correlation(operation.correlation_id),
        action=actions.COST_RERATE,
        resource_type="Price",
        resource_id=str(operation.target_id),
        result=result,
        description=f"{operation.kind} {operation.id}: {outcome}",
        context={
            "operation_id": operation.id,
            "outcome": outcome,
            "reason": operation.spec["reason"],
            **figures,
        },
        occurred_at=now,
    )
