"""Budgets, their thresholds and raises, and what machines hold in them."""

from budgets.models.budgets import (
    FRACTIONS,
    LIMIT,
    MOST_FRACTION,
    MOST_THRESHOLDS,
    WARNING,
    Budget,
    BudgetQuerySet,
    BudgetThreshold,
)
from budgets.models.raises import BudgetRaise, RaiseQuerySet
from budgets.models.reservations import EXPIRES_AFTER, Reservation, ReservationQuerySet

__all__ = [
    "EXPIRES_AFTER",
    "FRACTIONS",
    "LIMIT",
    "MOST_FRACTION",
    "MOST_THRESHOLDS",
    "WARNING",
    "Budget",
    "BudgetQuerySet",
    "BudgetRaise",
    "BudgetThreshold",
    "RaiseQuerySet",
    "Reservation",
    "ReservationQuerySet",
]
