"""Every change that people make to budgets: set one, change its terms, switch it off and on again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from budgets import permissions, renewal, thresholds
from budgets.adoption import locked_with_earlier, take_over
from budgets.models import FRACTIONS, Budget
from budgets.periods import CUSTOM, hours_of
from budgets.rows import fractions_of, record_changed, record_created, refusing_overlap, write
from budgets.scopes import FACTS
from budgets.terms import (
    PeriodIsOver,
    UnknownOwner,
    check_amount,
    check_limit,
    check_owner,
    check_period,
    check_recurrence,
)
from forge.accounts.locks import lock_scope_for_adoption
from forge.accounts.models import Organization, User
from forge.api.errors import Refused
from forge.api.etags import require_version


class Unchanged(Enum):
    """Says that a term is not given, where None means something."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


class UnknownScope(Refused):
    code = "unknown_scope"
    title = "There is no such person, team, project or organization"


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
    fractions: Sequence[Decimal] = FRACTIONS,
) -> Budget:
    """Set a budget; one whose period has begun takes over at once what the scope has spent and runs.

    Raises UnknownScope, AmountOutOfRange, PeriodEndsBeforeItStarts, PeriodNotWholeHours, PeriodTooLong, PeriodIsOver,
    PeriodDoesNotRecur, PeriodsOverlap, UnknownOwner, ThresholdsRefused, and what budgets.permissions refuses.
    """
    check_amount(amount)
    check_period(period_start=period_start, period_end=period_end, recurs=recurs, now=now)
    check_owner(owner, organization.id)
    fractions = thresholds.check(fractions)
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
        recurs_hours=hours_of(period_start, period_end) if recurs == CUSTOM else None,
        on_limit=on_limit,
    )
    with transaction.atomic():
        permissions.require_role(actor, budget)
        lock_scope(budget)
        permissions.require_set(actor, budget)
        write(budget, fractions=fractions)
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
    fractions: Sequence[Decimal] | None = None,
    if_match: frozenset[str] | None = None,
) -> Budget:
    """Change what is given. A raise lets the thresholds that it puts out of reach fire again; `fractions` replace them.

    Switched off, a budget binds nobody and holds nothing; switched on again it is adopted anew. What changes reaches
    the rows of the next period that wait for their adoption. Raises AmountOutOfRange, PeriodDoesNotRecur,
    PeriodsOverlap, PeriodIsOver, UnknownOwner, ThresholdsRefused, what budgets.permissions refuses, and
    PreconditionFailed unless it has one of the versions `if_match` (None = any).
    """
    terms = {"amount": amount, "is_active": is_active, "on_limit": on_limit, "recurs": recurs}
    given: dict[str, Any] = {name: value for name, value in terms.items() if value is not None}
    if amount is not None:
        check_amount(amount)
    if fractions is not None:
        given["thresholds"] = thresholds.check(fractions)
    with transaction.atomic():
        budget = Budget.objects.get(pk=budget_id)
        permissions.require_role(actor, budget)
        if not isinstance(owner, Unchanged):
            check_owner(owner, budget.organization_id)
            given["owner_id"] = owner.id if owner else None
        if is_active is not None:
            lock_scope(budget)
        if is_active:
            locked_with_earlier(budget_id)  # what it takes over from is locked with it, in the order of ids
        budget = locked(budget_id)
        require_version(budget, if_match)
        before = {name: _term(budget, name) for name in given}
        wanted = {name: value for name, value in given.items() if value != before[name]}
        permissions.require_change(actor, budget, wanted)
        if not wanted:
            return budget
        changes = [(budget, {name: before[name] for name in wanted}, wanted)]
        _apply(budget, wanted, now)
        changes += _pass_on(budget, wanted)
        rows = renewal.carry_on(budget, now=now) if "recurs" in wanted else []
        for row, before, after in changes:
            record_changed(actor=actor, budget=row, before=before, after=after, now=now)
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
        raise UnknownScope(
            f"Your organization has no such {budget.scope.lower()}.", extra={"scope_id": str(budget.scope_id)}
        )


def owner_by(email: str | None, *, organization_id: uuid.UUID | None) -> User | None:
    """Who has this email in the organization, None without one; raises UnknownOwner."""
    if not email:
        return None
    owner = User.objects.filter(organization_id=organization_id, email__iexact=email).first()
    if owner is None:
        raise UnknownOwner("Nobody in your organization has this email.")
    return owner


def locked(budget_id: uuid.UUID) -> Budget:
    """The budget under its row lock."""
    rows = Budget.objects.select_for_update(no_key=True, of=("self",)).select_related("organization")
    return rows.get(pk=budget_id)


def _term(budget: Budget, name: str) -> Any:
    return fractions_of(budget) if name == "thresholds" else getattr(budget, name)


def _apply(budget: Budget, wanted: Mapping[str, Any], now: datetime) -> None:
    """Write the changed fields of a locked budget and what follows from them."""
    if "recurs" in wanted:
        check_recurrence(period_start=budget.period_start, period_end=budget.period_end, recurs=wanted["recurs"])
        if wanted["recurs"] != Budget.Recurs.NONE and budget.period_end <= now:
            raise PeriodIsOver("Its period is over; set a new budget that recurs.")
        budget.renewed_at = None
        is_custom = wanted["recurs"] == CUSTOM
        budget.recurs_hours = hours_of(budget.period_start, budget.period_end) if is_custom else None
    if wanted.get("is_active") and budget.period_end <= now:
        raise PeriodIsOver("Its period is over; set a new budget.")
    fields = _set(budget, wanted)
    check_limit(budget)
    if "is_active" in wanted:
        _empty(budget, now)
    with refusing_overlap(budget):
        budget.save(update_fields=[*fields, "recurs_hours", "adopted_at", "renewed_at"])
    if wanted.get("is_active"):
        take_over(budget_id=budget.id, now=now)
        budget.refresh_from_db()
    if "amount" in wanted or "is_active" in wanted:
        thresholds.rearm(budget)


def _set(budget: Budget, values: Mapping[str, Any]) -> list[str]:
    """Set terms of a locked budget, its thresholds at once; returns the columns to save, with the new version."""
    columns = [name for name in values if name != "thresholds"]
    for name in columns:
        setattr(budget, name, values[name])
    if "thresholds" in values:
        thresholds.replace(budget, values["thresholds"])
    budget.version += 1
    return [*columns, "version", "updated_at"]


def _pass_on(budget: Budget, wanted: Mapping[str, Any]) -> list[tuple[Budget, dict[str, Any], dict[str, Any]]]:
    """Give the change to the rows that the locked budget wrote and that are not adopted: (row, before, after) of each.

    Another recurrence ends them, and they are written anew if there is to be a next period.
    """
    changes: list[tuple[Budget, dict[str, Any], dict[str, Any]]] = []
    passed_on = ("amount", "on_limit", "owner_id", "thresholds")
    after: dict[str, Any] = {name: wanted[name] for name in passed_on if name in wanted}
    if "recurs" in wanted:
        after = {"is_active": False, "renews_id": None}
    if not after:
        return changes
    for row in budget.renewals.filter(is_active=True, adopted_at=None).order_by("id").select_for_update(no_key=True):
        before = {name: _term(row, name) for name in after}
        row.save(update_fields=_set(row, after))
        changes.append((row, before, after))
    return changes


def _empty(budget: Budget, now: datetime) -> None:
    """Nobody holds anything in a budget that is switched off; switched on, it counts anew."""
    budget.adopted_at = None
    with connection.cursor() as cursor:
        cursor.execute("SELECT budgets_empty(%s, %s)", [[budget.id], now])
