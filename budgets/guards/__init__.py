"""The last launch guard: a machine is admitted only if every budget that binds it has room for it."""

from budgets.guards.common import adopted
from budgets.guards.refusing import BudgetExceeded
from budgets.guards.reserving import reserve

__all__ = ["BudgetExceeded", "adopted", "reserve"]
