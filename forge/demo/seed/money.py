"""The demo's budgets: three teams at 35, 82 and 100 per cent of what they have really spent."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import ROUND_UP, Decimal

from django.db.models import Sum

from audit.actors import Actor
from budgets import services
from budgets.models import Budget
from budgets.periods import months_later
from costs.models import CostRecord
from forge.demo.seed.organization import Seeded

SHARES = {"platform": Decimal("0.35"), "data": Decimal("0.82"), "devices": Decimal("1.00")}
ORGANIZATION_MONTH = Decimal(20000)
CONTRACTOR_MONTH = Decimal(250)
CENT_FRACTION = Decimal("0.000001")


def seed_budgets(*, actor: Actor, seeded: Seeded, now: datetime) -> None:
    """Budgets from the last month to the end of the next, sized by the teams' own records; once."""
    actor = actor.in_organization(seeded.organization.id)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start, end = months_later(month, -1), months_later(month, 2)
    for slug, share in SHARES.items():
        team = seeded.teams[slug]
        if _missing(Budget.Scope.TEAM, team.id):
            services.create(
                actor=actor,
                organization=seeded.organization,
                scope=Budget.Scope.TEAM,
                scope_id=team.id,
                amount=(_spent(team.id, start, end) / share).quantize(CENT_FRACTION, rounding=ROUND_UP),
                period_start=start,
                period_end=end,
                now=now,
            )
    monthly = [(Budget.Scope.ORGANIZATION, seeded.organization.id, ORGANIZATION_MONTH)]
    contractor = next(person for person in seeded.people if person.role == "contractor" and person.has_sign_in)
    monthly.append((Budget.Scope.USER, seeded.users[contractor.email].id, CONTRACTOR_MONTH))
    for scope, scope_id, amount in monthly:
        if _missing(scope, scope_id):
            services.create(
                actor=actor,
                organization=seeded.organization,
                scope=scope,
                scope_id=scope_id,
                amount=amount,
                period_start=month,
                period_end=months_later(month, 1),
                recurs=Budget.Recurs.MONTHLY,
                now=now,
            )


def _missing(scope: str, scope_id: uuid.UUID) -> bool:
    return not Budget.objects.filter(scope=scope, scope_id=scope_id).exists()


def _spent(team_id: uuid.UUID, start: datetime, end: datetime) -> Decimal:
    records = CostRecord.objects.filter(team_id=team_id, period_start__gte=start, period_start__lt=end)
    return records.aggregate(total=Sum("total_cost"))["total"] or Decimal(0)
