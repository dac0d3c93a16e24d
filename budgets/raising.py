"""Raises for a time: approved by finance or an admin, ended at their hour by themselves, or early by one of these."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from budgets import actions, permissions, thresholds
from budgets.figures import instant, money
from budgets.models import Budget, BudgetRaise
from budgets.periods import is_whole_hour
from budgets.services import locked
from budgets.terms import MOST_REASON, PeriodIsOver, check_amount, check_limit
from forge.accounts.models import User
from forge.api.errors import Conflict, Refused
from forge.api.etags import require_version

MOST_OPEN = 100
"""So many raises of one budget may be open at once."""


class RaiseRefused(Refused):
    code = "raise_refused"
    title = "This is no raise"


class RaiseHasEnded(Conflict):
    code = "raise_has_ended"
    title = "The raise does not count any more"


def raise_limit(
    *,
    actor: Actor,
    budget_id: uuid.UUID,
    amount: Decimal,
    ends_at: datetime,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> BudgetRaise:
    """Let a budget hold `amount` more from now until `ends_at`, a whole UTC hour within its period.

    Thresholds that it puts out of reach fire again. Raises RaiseRefused, AmountOutOfRange, PeriodIsOver,
    MayNotSetBudget, MayNotRaisePastLimit, and PreconditionFailed unless the budget has one of the versions `if_match`
    (None = any).
    """
    check_amount(amount)
    if not amount:
        raise RaiseRefused("A raise is above 0.")
    if not reason.strip() or len(reason) > MOST_REASON:
        raise RaiseRefused(f"Say why in `reason`, in at most {MOST_REASON} characters.")
    if not is_whole_hour(ends_at) or ends_at <= now:
        raise RaiseRefused("`ends_at` is a whole UTC hour that is still to come.")
    with transaction.atomic():
        permissions.require_raise(actor, Budget.objects.get(pk=budget_id))
        budget = locked(budget_id)
        require_version(budget, if_match)
        if not budget.is_active or budget.period_end <= now:
            raise PeriodIsOver("It is switched off, or its period is over.")
        if ends_at > budget.period_end:
            raise RaiseRefused("A raise ends with the budget's period at the latest.", extra=_until(budget))
        if budget.raises.open().count() >= MOST_OPEN:
            raise RaiseRefused(f"A budget has at most {MOST_OPEN} raises at once.")
        made = BudgetRaise.objects.create(
            organization_id=budget.organization_id,
            budget=budget,
            amount=amount,
            ends_at=ends_at,
            reason=reason,
            approved_by=_person(actor),
            created_at=now,
        )
        budget.raised += amount
        check_limit(budget)
        budget.version += 1
        budget.save(update_fields=["raised", "version", "updated_at"])
        thresholds.rearm(budget)
        _record(actor, actions.BUDGET_RAISE, made, budget, budget.raised - amount, now)
    return made


def end_raise(*, actor: Actor, raise_id: uuid.UUID, now: datetime) -> BudgetRaise:
    """End a raise before its time. Raises RaiseHasEnded, MayNotSetBudget, MayNotRaisePastLimit."""
    with transaction.atomic():
        budget_id = BudgetRaise.objects.values_list("budget_id", flat=True).get(pk=raise_id)
        permissions.require_raise(actor, Budget.objects.get(pk=budget_id))
        budget = locked(budget_id)
        one = BudgetRaise.objects.get(pk=raise_id)
        if one.ended_at is not None or one.ends_at <= now:
            raise RaiseHasEnded(f"It ended at {instant(one.ended_at or one.ends_at)}.")
        one.ended_by = _person(actor)
        _end([one], budget, actor=actor, at=now, now=now)
        budget.version += 1
        budget.save(update_fields=["version", "updated_at"])
    return one


def to_end(*, now: datetime) -> list[uuid.UUID]:
    """Ids of the budgets with raises whose time is over, in the order of ids."""
    return sorted(set(BudgetRaise.objects.over(now).values_list("budget_id", flat=True)))


def end_over(*, budget_id: uuid.UUID, actor: Actor, now: datetime) -> int:
    """Take what is over out of one budget's `raised`, in a transaction of its own; returns how many raises that were.

    It admits nothing since `ends_at` in any case: this keeps the books.
    """
    with transaction.atomic():
        budget = locked(budget_id)
        over = list(budget.raises.over(now).order_by("ends_at", "id"))
        if over:
            _end(over, budget, actor=actor.for_one_of(budget.organization_id), at=None, now=now)
    return len(over)


def _end(raises: Sequence[BudgetRaise], budget: Budget, *, actor: Actor, at: datetime | None, now: datetime) -> None:
    """Mark raises of a locked budget as ended, `at` None = each at its own time, then record them."""
    befores = []
    for one in raises:
        one.ended_at = at or one.ends_at
        one.save(update_fields=["ended_at", "ended_by", "updated_at"])
        befores.append(budget.raised)
        budget.raised -= one.amount
    budget.save(update_fields=["raised", "updated_at"])
    for one, before in zip(raises, befores, strict=True):
        _record(actor, actions.BUDGET_RAISE_END, one, budget, before, now)


def _person(actor: Actor) -> User | None:
    return actor.user if isinstance(actor.user, User) else None


def _until(budget: Budget) -> dict[str, Any]:
    return {"budget": str(budget.id), "period_end": instant(budget.period_end)}


def _record(actor: Actor, action: str, one: BudgetRaise, budget: Budget, before: Decimal, now: datetime) -> None:
    made = action == actions.BUDGET_RAISE
    record(
        actor=actor.in_organization(budget.organization_id),
        action=action,
        resource_type="BudgetRaise",
        resource_id=str(one.id),
        description=f"{'Raised' if made else 'Ended a raise of'} budget {budget.id}",
        changes={
            "before": {"raised": money(before)},
            "after": {"raised": money(before + one.amount if made else before - one.amount)},
        },
        context={
            "budget": str(budget.id),
            "amount": money(one.amount),
            "currency": budget.organization.currency,
            "ends_at": instant(one.ends_at),
            "approved_by": str(one.approved_by_id) if one.approved_by_id else None,
            "reason": one.reason,
        },
        occurred_at=now,
    )
