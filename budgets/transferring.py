"""Moving money from one team's budget to another's, for the period that runs."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from audit.actors import Actor
from budgets import actions, permissions, thresholds
from budgets.figures import money
from budgets.models import Budget
from budgets.rows import record_changed
from budgets.terms import MOST_REASON, check_amount, check_limit
from forge.api.errors import Refused
from forge.api.etags import require_version


class TransferRefused(Refused):
    code = "transfer_refused"
    title = "Money does not move between these budgets"


class NothingToGive(Refused):
    code = "nothing_to_give"
    title = "The giving budget has not so much that is neither spent nor held"
    suggested_action = "Move less, or end machines that the team does not need."


def transfer(
    *,
    actor: Actor,
    giver_id: uuid.UUID,
    receiver_id: uuid.UUID,
    amount: Decimal,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> tuple[Budget, Budget]:
    """Move `amount` between two teams' budgets in force: the giver and the receiver as they are then.

    Both rows are locked in the order of their ids and change in one transaction, with an entry each under one
    correlation id. The amounts that were set stay, so the next periods begin with these. What is given was neither
    spent nor held, and is not what was raised for a time. Raises TransferRefused, NothingToGive, AmountOutOfRange,
    MayNotSetBudget, MayNotRaisePastLimit, PreconditionFailed (of the giver).
    """
    check_amount(amount)
    if not amount:
        raise TransferRefused("What is moved is above 0.")
    if not reason.strip() or len(reason) > MOST_REASON:
        raise TransferRefused(f"Say why in `reason`, in at most {MOST_REASON} characters.")
    if giver_id == receiver_id:
        raise TransferRefused("A budget gives nothing to itself.")
    with transaction.atomic():
        rows = Budget.objects.filter(id__in=[giver_id, receiver_id]).order_by("id")
        for budget in rows:
            permissions.require_raise(actor, budget)
        held = rows.select_for_update(no_key=True, of=("self",)).select_related("organization")
        by_id = {budget.id: budget for budget in held}
        giver, receiver = by_id[giver_id], by_id[receiver_id]
        require_version(giver, if_match)
        _require_fitting(giver, receiver, now)
        free = giver.amount + giver.transferred - giver.spent - giver.reserved
        if amount > free:
            raise NothingToGive(
                f"{money(max(free, Decimal(0)))} of it is free.",
                extra={"budget": str(giver.id), "free": money(max(free, Decimal(0))), "asked": money(amount)},
            )
        befores = [giver.transferred, receiver.transferred]
        for budget, by in ((giver, -amount), (receiver, amount)):
            budget.transferred += by
            check_limit(budget)
            budget.version += 1
            budget.save(update_fields=["transferred", "version", "updated_at"])
        thresholds.rearm(receiver)
        for budget, other, before in ((giver, receiver, befores[0]), (receiver, giver, befores[1])):
            record_changed(
                actor=actor,
                budget=budget,
                before={"transferred": before},
                after={"transferred": budget.transferred},
                now=now,
                action=actions.BUDGET_TRANSFER,
                context=_context(other, amount, reason, is_giver=budget is giver),
            )
    return giver, receiver


def _require_fitting(giver: Budget, receiver: Budget, now: datetime) -> None:
    for budget in (giver, receiver):
        if budget.scope != Budget.Scope.TEAM:
            raise TransferRefused("Money moves between budgets of teams.", extra={"budget": str(budget.id)})
        in_force = budget.period_start <= now < budget.period_end
        if not (budget.is_active and budget.adopted_at is not None and in_force):
            raise TransferRefused("Both budgets must be in force.", extra={"budget": str(budget.id)})
    if giver.organization_id != receiver.organization_id:
        raise TransferRefused("Both budgets must be of one organization.")


def _context(other: Budget, amount: Decimal, reason: str, *, is_giver: bool) -> dict[str, Any]:
    return {
        ("to" if is_giver else "from"): str(other.id),
        "amount": money(amount),
        "currency": other.organization.currency,
        "reason": reason,
    }
