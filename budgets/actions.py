"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

BUDGET_CREATE = register("BUDGET_CREATE", required=("resource_id",))
BUDGET_UPDATE = register("BUDGET_UPDATE", required=("resource_id",))
BUDGET_RAISE = register("BUDGET_RAISE", required=("resource_id", "context.reason"), personal=("reason",))
BUDGET_RAISE_END = register("BUDGET_RAISE_END", required=("resource_id",), personal=("reason",))
BUDGET_TRANSFER = register("BUDGET_TRANSFER", required=("resource_id", "context.reason"), personal=("reason",))
BUDGET_WARNING = register("BUDGET_WARNING", required=("resource_id",))
BUDGET_LIMIT_REACHED = register("BUDGET_LIMIT_REACHED", required=("resource_id",))

expect("budgets_budget", actions=[BUDGET_CREATE])
expect("budgets_budgetraise", actions=[BUDGET_RAISE])
