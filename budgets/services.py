"""Every change that people make to budgets: set one, change its terms, switch it off and on again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import record
from budgets import actions, permissions, renewal, thresholds
from budgets.adoption import take_over
from budgets.figures import money
from budgets.models import Budget
from budgets.periods import MONTHS, is_month_start, is_whole_hour, months_later
from budgets.rows import record_created, refusing_overlap, write
from budgets.scopes import FACTS
from forge.accounts.locks import lock_scope_for_adoption
from forge.accounts.models import Organization, User
from forge.api.errors import Refused

MOST = Decimal("999999999999.999999")
LONGEST = timedelta(days=3660)


class Unchanged(Enum):
    """Says that a term is not given, where None means something."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


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
    check_owner(owner, organization.id)
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
    owner: User | Unchanged | None = UNCHANGED,
) -> Budget:
    """Change what is given. A raise lets the thresholds that it puts out of reach fire again.

    Switched off, a budget binds nobody and holds nothing; switched on again it is adopted anew. What changes reaches
    the rows of the next period that wait for their adoption. Raises AmountOutOfRange, PeriodDoesNotRecur,
    PeriodsOverlap, PeriodIsOver, UnknownOwner, and what budgets.permissions refuses.
    """
    terms = {"amount": amount, "is_active": is_active, "on_limit": on_limit, "recurs": recurs}
    given: dict[str, Any] = {name: value for name, value in terms.items() if value is not None}
    if amount is not None:
        check_amount(amount)
    with transaction.atomic():
        budget = Budget.objects.get(pk=budget_id)
        permissions.require_role(actor, budget)
        if not isinstance(owner, Unchanged):
            check_owner(owner, budget.organization_id)
            given["owner_id"] = owner.id if owner else None
        if is_active is not None:
            lock_scope(budget)
        budget = _locked(budget_id)
        wanted = {name: value for name, value in given.items() if value != getattr(budget, name)}
        permissions.require_change(actor, budget, wanted)
        if not wanted:
            return budget
        changes = [(budget, {name: getattr(budget, name) for name in wanted}, wanted)]
        _apply(budget, wanted, now)
        changes += _pass_on(budget, wanted)
        rows = renewal.carry_on(budget, now=now) if "recurs" in wanted else []
        for row, before, after in changes:
            _record_changed(actor, row, before, after, now)
        for row in rows:
            record_created(actor=actor, budget=row, now=now, context={"renews": str(budget.id)})
    budget.refresh_from_db()
    return budget


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


def owner_by(email: str | None, *, organization_id: uuid.UUID | None) -> User | None:
    """Who has this email in the organization, None without one; raises UnknownOwner."""
    if not email:
        return None
    owner = User.objects.filter(organization_id=organization_id, email__iexact=email).first()
    if owner is None:
        raise UnknownOwner("Nobody in your organization has this email.")
    return owner


def check_owner(owner: User | None, organization_id: uuid.UUID) -> None:
    """Raises UnknownOwner unless the owner is of the organization, or there is to be none."""
    if owner is not None and owner.organization_id != organization_id:
        raise UnknownOwner("The owner must be somebody of the organization.")


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
        if wanted["recurs"] != Budget.Recurs.NONE and budget.period_end <= now:
            raise PeriodIsOver("Its period is over; set a new budget that recurs.")
        budget.renewed_at = None
    if wanted.get("is_active") and budget.period_end <= now:
        raise PeriodIsOver("Its period is over; set a new budget.")
    for name, value in wanted.items():
        setattr(budget, name, value)
    if "is_active" in wanted:
        _empty(budget, now)
    with refusing_overlap(budget):
        budget.save(update_fields=[*wanted, "adopted_at", "renewed_at", "updated_at"])
    if wanted.get("is_active"):
        take_over(budget_id=budget.id, now=now)
        budget.refresh_from_db()
    if "amount" in wanted or "is_active" in wanted:
        thresholds.rearm(budget)


def _pass_on(budget: Budget, wanted: Mapping[str, Any]) -> list[tuple[Budget, dict[str, Any], dict[str, Any]]]:
    """Give the change to the rows that the locked budget wrote and that are not adopted: (row, before, after) of each.

    Another recurrence ends them, and they are written anew if there is to be a next period.
    """
    changes: list[tuple[Budget, dict[str, Any], dict[str, Any]]] = []
    after: dict[str, Any] = {name: wanted[name] for name in ("amount", "on_limit", "owner_id") if name in wanted}
    if "recurs" in wanted:
        after = {"is_active": False, "renews_id": None}
    if not after:
        return changes
    for row in budget.renewals.filter(is_active=True, adopted_at=None).order_by("id").select_for_update(no_key=True):
        before = {name: getattr(row, name) for name in after}
        for name, value in after.items():
            setattr(row, name, value)
        row.save(update_fields=[*after, "updated_at"])
        changes.append((row, before, after))
    return changes


def _empty(budget: Budget, now: datetime) -> None:
    """Nobody holds anything in a budget that is switched off; switched on, it counts anew."""
    budget.adopted_at = None
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_empty(%s, %s)", [[budget.id], now])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: money(value) if isinstance(value, Decimal) else str(value) if isinstance(value, uuid.UUID) else value
        for name, value in values.items()
    }


def _record_changed(
    actor: Actor, budget: Budget, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    record(
        actor=actor.in_organization(budget.organization_id),
        action=actions.BUDGET_UPDATE,
        resource_type="Budget",
        resource_id=str(budget.id),
        description=f"Changed {', '.join(sorted(after))} of budget {budget.id}",
        changes={"before": _plain(before), "after": _plain(after)},
        occurred_at=now,
    )
