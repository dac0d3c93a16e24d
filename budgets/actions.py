"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

BUDGET_CREATE = register("BUDGET_CREATE", required=("resource_id",))
BUDGET_UPDATE = register("BUDGET_UPDATE", required=("resource_id",))
BUDGET_WARNING = register("BUDGET_WARNING", required=("resource_id",))
BUDGET_LIMIT_REACHED = register("BUDGET_LIMIT_REACHED", required=("resource_id",))

expect("budgets_budget", actions=[BUDGET_CREATE])
