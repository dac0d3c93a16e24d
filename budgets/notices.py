"""Mail about marks: owed in the transaction in which a threshold fires, one to each person whom it concerns."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from budgets.figures import fraction as shown_fraction
from budgets.figures import instant, money, percent
from budgets.models import LIMIT, Budget, BudgetThreshold
from costs.pricing import cents
from forge.accounts.models import Membership, User
from forge.outbox.letters import Letter, Reader
from forge.outbox.models import Mail
from forge.outbox.services import Owed, owe
from forge.outbox.webhooks.announcing import Event

KIND = "budget.mark"

Role = Membership.Role


def write(*, budget: Budget, threshold: BudgetThreshold, correlation_id: uuid.UUID | None, now: datetime) -> None:
    """Owe a mail about a fired threshold to everybody whom it concerns, with the figures as they are now.

    Webhooks are told whether or not there is anybody.
    """
    event = Event(
        organization_id=budget.organization_id,
        kind=KIND,
        target_type="Budget",
        target_id=budget.id,
        once=f"{threshold.id}:{now.timestamp():.6f}",
        facts={
            "threshold": str(threshold.id),
            "fraction": shown_fraction(threshold.fraction),
            "scope": budget.scope,
            "amount": money(budget.limit),
            "spent": money(budget.spent),
            "currency": budget.organization.currency,
            "period_start": instant(budget.period_start),
            "period_end": instant(budget.period_end),
            "on_limit": budget.on_limit,
            "fired_at": instant(now),
        },
        team_id=budget.scope_id if budget.scope == Budget.Scope.TEAM else None,
    )
    mails = [Owed.of(event, recipient_id=person.id, correlation_id=correlation_id) for person in recipients(budget)]
    owe(mails, now=now, events=[event])


def recipients(budget: Budget) -> Sequence[User]:
    """The budget's owner, the leads of its team or of its person's teams, and finance; the admins if there is none."""
    people = User.objects.filter(organization_id=budget.organization_id, is_active=True).order_by("id")
    told = Q(id=budget.owner_id) if budget.owner_id else Q()
    if budget.scope == Budget.Scope.TEAM:
        told |= _leads([budget.scope_id])
    if budget.scope == Budget.Scope.USER:
        told |= _leads(Membership.objects.filter(user_id=budget.scope_id, team__isnull=False).values("team_id"))
    found = list(people.filter(told | _with(Role.FINANCE)))
    return found or list(people.filter(_with(Role.ADMIN)))


def mark(mail: Mail, reader: Reader) -> Letter:
    """The letter about a mark, with the figures of the moment in which it was reached."""
    facts = mail.facts
    budget = Budget.objects.with_scope_name().get(pk=mail.target_id)
    fraction = Decimal(facts["fraction"])
    what = f"{Budget.Scope(facts['scope']).label.lower()} budget of {budget.scope_name}"  # type: ignore[attr-defined]
    reached = "is used up" if fraction == LIMIT else f"has passed {percent(fraction)}"
    return Letter(
        subject=f"Forge: the {what} {reached}",
        sentence=f"The {what} {reached}.",
        rows=(
            ("Amount", f"{cents(Decimal(facts['amount']))} {facts['currency']}"),
            ("Spent", f"{cents(Decimal(facts['spent']))} {facts['currency']}"),
            ("Period", f"{facts['period_start']} to {facts['period_end']}"),
            ("At", reader.time(datetime.fromisoformat(facts["fired_at"]))),
        ),
        paragraphs=[_consequence(fraction, facts["on_limit"])],
    )


def _consequence(fraction: Decimal, on_limit: str) -> str:
    if fraction < LIMIT:
        return "Nothing is blocked yet. At 100 % no launch is admitted any more."
    if on_limit == Budget.OnLimit.BLOCK_STARTS:
        return "Launches and starts are refused until the amount is raised or the period ends; machines go on running."
    if on_limit == Budget.OnLimit.STOP_IDLE:
        return (
            "Launches are refused until the amount is raised or the period ends; idle machines are stopped, their "
            "owners are told before."
        )
    return "Launches are refused until the amount is raised or the period ends; machines go on running."


def _leads(teams: object) -> Q:
    leads = Membership.objects.filter(role=Role.TEAM_LEAD, team_id__in=teams)  # type: ignore[misc]
    return Q(id__in=leads.values("user_id"))


def _with(role: str) -> Q:
    return Q(id__in=Membership.objects.filter(role=role, team=None).values("user_id"))
