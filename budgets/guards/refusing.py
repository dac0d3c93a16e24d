"""The refusal of the budgets: which of them have no room, with the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from functools import partial
from typing import Any

from budgets.binding import Bound, Scopes
from budgets.figures import bound_figures, money
from budgets.making_room import suggestions
from forge.accounts.models import User
from forge.api.errors import Refused
from workspaces.intents import Intent


class BudgetExceeded(Refused):
    code = "budget_exceeded"
    are_figures_told = True
    title = "A budget has no room for this"
    suggested_action = (
        "Choose a smaller bundle, end machines that you do not need, or ask the budget's owner to raise it."
    )

    def __init__(self, detail: str, *, extra: Mapping[str, Any], room: Callable[[], list[dict[str, Any]]]) -> None:
        super().__init__(detail, extra=extra)
        self.room = room

    def document(self, *, instance: str = "", request_id: str | None = None) -> dict[str, Any]:
        """With `make_room`, looked up only now: the budgets' locks are gone, so nobody waits for it."""
        return super().document(instance=instance, request_id=request_id) | {"make_room": self.room()}


def refuse_without_room(bound: Sequence[Bound], *, scopes: Scopes, intent: Intent) -> None:
    """Raise BudgetExceeded with the figures of the first budget that has no room, and of all such in `budgets`.

    Its document also says in `make_room` which machines would make room in the first.
    """
    lacking = [budget for budget in bound if not budget.has_room]
    if not lacking:
        return
    first, currency = lacking[0], intent.organization.currency
    figures = bound_figures(first, scopes)
    raise BudgetExceeded(
        f"The {first.scope.lower()} budget of {figures['name']} has {_told(first.amount)} {currency} until "
        f"{first.period_end.astimezone(UTC):%Y-%m-%d %H:%M} UTC, of which {_told(first.spent)} are spent and "
        f"{_told(first.reserved)} reserved; this needs {_told(first.needed)}.",
        extra={
            "budget": figures["id"],
            "scope": figures["scope"],
            "name": figures["name"],
            "limit": figures["limit"],
            "spent": figures["spent"],
            "reserved": figures["reserved"],
            "needed": money(first.needed),
            "currency": currency,
            "period_end": figures["period_end"],
            "budgets": [bound_figures(budget, scopes) for budget in lacking],
        },
        room=partial(suggestions, budget_id=first.id, user=_person(intent), now=intent.now),
    )


def _told(amount: Decimal) -> str:
    """An amount as people read it: in cents, or with all the places that tell it from a limit."""
    return f"{amount:,.2f}" if amount == round(amount, 2) else f"{amount.normalize():,f}"


def _person(intent: Intent) -> User | None:
    return intent.actor.user if isinstance(intent.actor.user, User) else None
