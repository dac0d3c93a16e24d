"""Budgets in the console."""

from budgets.admin import budgets, reservations

__all__ = ["budgets", "reservations"]
