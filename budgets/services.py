"""Every change that people make to budgets: set one, change its terms, switch it off and on again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import record
from budgets import actions, permissions, thresholds
from budgets.adoption import take_over
from budgets.figures import instant, money
from budgets.models import FRACTIONS, Budget, BudgetThreshold
from budgets.periods import MONTHS, is_month_start, is_whole_hour, months_later
from budgets.scopes import FACTS
from forge.accounts.locks import lock_scope_for_adoption
from forge.accounts.models import Organization, User
from forge.api.errors import Conflict, Refused
from forge.db.integrity import refusing

MOST = Decimal("999999999999.999999")
LONGEST = timedelta(days=3660)


class UnknownScope(Refused):
    code = "unknown_scope"
    title = "There is no such person, team, project or organization"


class UnknownOwner(Refused):
    code = "unknown_owner"
    title = "There is nobody with this email"


class AmountOutOfRange(Refused):
    code = "amount_out_of_range"
    title = "The amount does not fit"


class PeriodEndsBeforeItStarts(Refused):
    code = "period_ends_before_it_starts"
    title = "The period ends before it starts"


class PeriodNotWholeHours(Refused):
    code = "period_not_whole_hours"
    title = "A period begins and ends with a UTC hour"


class PeriodTooLong(Refused):
    code = "period_too_long"
    title = "The period is too long"


class PeriodIsOver(Refused):
    code = "period_is_over"
    title = "The period is over"


class PeriodDoesNotRecur(Refused):
    code = "period_does_not_recur"
    title = "A budget that recurs ends with a UTC month"


class PeriodsOverlap(Conflict):
    code = "periods_overlap"
    title = "The scope has a budget in this period already"
    suggested_action = "Change that budget's amount, or switch it off first."


def create(
    *,
    actor: Actor,
    organization: Organization,
    scope: str,
    scope_id: uuid.UUID,
    amount: Decimal,
    period_start: datetime,
    period_end: datetime,
    now: datetime,
    owner: User | None = None,
    recurs: str = Budget.Recurs.NONE,
    on_limit: str = Budget.OnLimit.BLOCK_LAUNCHES,
) -> Budget:
    """Set a budget; one whose period has begun takes over at once what the scope has spent and runs.

    Raises UnknownScope, AmountOutOfRange, PeriodEndsBeforeItStarts, PeriodNotWholeHours, PeriodTooLong, PeriodIsOver,
    PeriodDoesNotRecur, PeriodsOverlap, UnknownOwner, and what budgets.permissions refuses.
    """
    check_amount(amount)
    check_period(period_start=period_start, period_end=period_end, recurs=recurs, now=now)
    if owner is not None and owner.organization_id != organization.id:
        raise UnknownOwner("The owner must be somebody of the organization.")
    budget = Budget(
        organization=organization,
        scope=scope,
        scope_id=scope_id,
        owner=owner,
        set_by=actor.user if isinstance(actor.user, User) else None,
        amount=amount,
        period_start=period_start,
        period_end=period_end,
        recurs=recurs,
        on_limit=on_limit,
    )
    with transaction.atomic():
        permissions.require_role(actor, budget)
        lock_scope(budget)
        permissions.require_set(actor, budget)
        write(budget)
        take_over(budget_id=budget.id, now=now)
        record_created(actor=actor, budget=budget, now=now)
    budget.refresh_from_db()
    return budget


def change(
    *,
    actor: Actor,
    budget_id: uuid.UUID,
    now: datetime,
    amount: Decimal | None = None,
    is_active: bool | None = None,
    on_limit: str | None = None,
    recurs: str | None = None,
) -> Budget:
    """Change what is given. A raise lets the thresholds that it puts out of reach fire again.

    Switched off, a budget binds nobody and holds nothing; switched on again it is adopted anew. Raises
    AmountOutOfRange, PeriodDoesNotRecur, PeriodsOverlap, PeriodIsOver, and what budgets.permissions refuses.
    """
    given = {"amount": amount, "is_active": is_active, "on_limit": on_limit, "recurs": recurs}
    if amount is not None:
        check_amount(amount)
    with transaction.atomic():
        budget = Budget.objects.get(pk=budget_id)
        permissions.require_role(actor, budget)
        if is_active is not None:
            lock_scope(budget)
        budget = _locked(budget_id)
        wanted = {name: value for name, value in given.items() if value is not None and value != getattr(budget, name)}
        permissions.require_change(actor, budget, wanted)
        if not wanted:
            return budget
        before = {name: getattr(budget, name) for name in wanted}
        _apply(budget, wanted, now)
        record(
            actor=actor.in_organization(budget.organization_id),
            action=actions.BUDGET_UPDATE,
            resource_type="Budget",
            resource_id=str(budget.id),
            description=f"Changed {', '.join(sorted(wanted))} of budget {budget.id}",
            changes={"before": _plain(before), "after": _plain(wanted)},
            occurred_at=now,
        )
    budget.refresh_from_db()
    return budget


def write(budget: Budget) -> None:
    """Write a budget with its thresholds, not adopted and not yet recorded; raises PeriodsOverlap."""
    overlap = PeriodsOverlap(
        "Periods of one scope do not overlap.", extra={"scope": budget.scope, "scope_id": str(budget.scope_id)}
    )
    with refusing(dict.fromkeys(("budgets_budget_periods_do_not_overlap", _UNIQUE_START), overlap)):
        budget.save(force_insert=True)
        BudgetThreshold.objects.bulk_create(
            BudgetThreshold(organization_id=budget.organization_id, budget=budget, fraction=fraction)
            for fraction in FRACTIONS
        )


def record_created(*, actor: Actor, budget: Budget, now: datetime, context: Mapping[str, Any] | None = None) -> None:
    """The audit entry of a budget that was written: once all locks on budgets are taken, for its lane is the last."""
    record(
        actor=actor.in_organization(budget.organization_id),
        action=actions.BUDGET_CREATE,
        resource_type="Budget",
        resource_id=str(budget.id),
        description=f"Set budget {budget.id} for {budget.scope.lower()} {budget.scope_id}",
        changes={"before": None, "after": _terms(budget)},
        context=context,
        occurred_at=now,
    )


_UNIQUE_START = "budgets_budget_one_per_scope_and_start"


def organization_of(actor: Actor) -> Organization:
    """The acting person's organization; raises MayNotSetBudget for operators, who have none."""
    organization = getattr(actor.user, "organization", None)
    if organization is None:
        raise permissions.MayNotSetBudget("Operators of the installation belong to no organization.")
    return organization


def lock_scope(budget: Budget) -> None:
    """Lock the scope's row FOR UPDATE, the first lock; raises UnknownScope when it is not the organization's."""
    facts = FACTS[budget.scope]
    column = "id" if budget.scope == Budget.Scope.ORGANIZATION else "organization_id"
    ours = facts.model._default_manager.filter(pk=budget.scope_id, **{column: budget.organization_id})
    if not ours.exists() or not lock_scope_for_adoption(table=facts.table, scope_id=budget.scope_id):
        raise UnknownScope(f"Your organization has no {budget.scope.lower()} {budget.scope_id}.")


def check_amount(amount: Decimal) -> None:
    """Raises AmountOutOfRange unless the amount is a number from 0 on that can be kept exactly."""
    if not amount.is_finite() or not 0 <= amount <= MOST or amount != round(amount, 6):
        raise AmountOutOfRange(f"An amount is from 0 to {MOST}, with at most 6 places.")


def check_period(*, period_start: datetime, period_end: datetime, recurs: str, now: datetime) -> None:
    """Raises the refusal of a period that cannot be, or that would change nothing any more."""
    if period_end <= period_start:
        raise PeriodEndsBeforeItStarts("`period_end` must lie after `period_start`.")
    if not (is_whole_hour(period_start) and is_whole_hour(period_end)):
        raise PeriodNotWholeHours("`period_start` and `period_end` must be whole UTC hours.")
    if period_end - period_start > LONGEST:
        raise PeriodTooLong(f"A period has at most {LONGEST.days} days.")
    if period_end <= now:
        raise PeriodIsOver("A budget for a period that is over would change nothing.")
    check_recurrence(period_start=period_start, period_end=period_end, recurs=recurs)


def check_recurrence(*, period_start: datetime, period_end: datetime, recurs: str) -> None:
    """Raises PeriodDoesNotRecur unless the period ends with a UTC month and is no longer than its recurrence."""
    months = MONTHS.get(recurs)
    if months is None:
        return
    if not is_month_start(period_end) or period_start < months_later(period_end, -months):
        raise PeriodDoesNotRecur(
            f"{recurs}: the period must end at 00:00 UTC on the 1st of a month and have at most {months} month(s)."
        )


def _locked(budget_id: uuid.UUID) -> Budget:
    rows = Budget.objects.select_for_update(no_key=True, of=("self",)).select_related("organization")
    return rows.get(pk=budget_id)


def _apply(budget: Budget, wanted: Mapping[str, Any], now: datetime) -> None:
    """Write the changed fields of a locked budget and what follows from them."""
    if "recurs" in wanted:
        check_recurrence(period_start=budget.period_start, period_end=budget.period_end, recurs=wanted["recurs"])
    if wanted.get("is_active") and budget.period_end <= now:
        raise PeriodIsOver("Its period is over; set a new budget.")
    for name, value in wanted.items():
        setattr(budget, name, value)
    if "is_active" in wanted:
        _empty(budget, now)
    overlap = PeriodsOverlap("Another budget of the scope holds part of this period now.")
    with refusing(dict.fromkeys(("budgets_budget_periods_do_not_overlap", _UNIQUE_START), overlap)):
        budget.save(update_fields=[*wanted, "adopted_at", "updated_at"])
    if wanted.get("is_active"):
        take_over(budget_id=budget.id, now=now)
        budget.refresh_from_db()
    if "amount" in wanted or "is_active" in wanted:
        thresholds.rearm(budget)


def _empty(budget: Budget, now: datetime) -> None:
    """Nobody holds anything in a budget that is switched off; switched on, it counts anew."""
    budget.adopted_at = None
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_empty(%s, %s)", [[budget.id], now])


def _terms(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope,
        "scope_id": str(budget.scope_id),
        "amount": money(budget.amount),
        "period_start": instant(budget.period_start),
        "period_end": instant(budget.period_end),
        "recurs": budget.recurs,
        "on_limit": budget.on_limit,
        "owner_id": str(budget.owner_id) if budget.owner_id else None,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: money(value) if isinstance(value, Decimal) else value for name, value in values.items()}
