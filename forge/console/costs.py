"""Which daily sums the console's pages read for whoever looks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from costs.models import DailyCost, DailyTotal
from costs.pricing import cents
from forge.accounts.models import Membership


def costs_of(user: Any) -> QuerySet[Any]:
    """The daily sums of what the person sees: those without people where all of the organization is seen."""
    if user.is_operator or user.has_role(*Membership.ORGANIZATION_WIDE):
        return DailyTotal.objects.visible_to(user)
    return DailyCost.objects.visible_to(user)


def in_currency(amount: Decimal, currency: str) -> str:
    """Money rounded to cents, such as `1,234.50 USD`."""
    return f"{cents(amount):,} {currency}"
