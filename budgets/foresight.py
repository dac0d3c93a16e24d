"""Where a budget is going: what it will have spent at the period's end, and when nothing is left for launches.

forecast = spent + fees + running, where `fees` are the monthly fees of the live machines for the hours that begin from
now to the period's end or that of the machine's lifetime, and `running` is the pace times the hours that are left. The
pace is what the started hours of the last seven UTC days (today included) cost at today's prices, by the hours since
the first of these days on which the scope had a cost. The runway ends when the room that is left is gone at that pace:
fees are held already, so of what is held and spent together only running makes more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from budgets.models import Budget
from budgets.scopes import FACTS
from costs.forecasts import fees_ahead, running_by_day
from costs.models import DailyCost
from costs.pricing import HOUR, MILLIONTH
from forge.accounts.models import User
from workspaces.models import WorkSpace

PACE_DAYS = 7
_SECONDS = Decimal(3600)


@dataclass(frozen=True)
class Outlook:
    """What a budget will have spent when its period ends and of what that is made; when it is full (None = never).

    `pace` is money per hour of running.
    """

    spent: Decimal
    fees: Decimal
    running: Decimal
    pace: Decimal
    full_at: datetime | None

    @property
    def total(self) -> Decimal:
        """What will be spent in the whole period."""
        return self.spent + self.fees + self.running


def outlook(budget: Budget, *, now: datetime) -> Outlook | None:
    """What lies ahead of a budget in force; None of one that is switched off, not adopted, over or to come."""
    if not budget.is_active or budget.adopted_at is None or not budget.period_start <= now < budget.period_end:
        return None
    pace = _pace(budget, now)
    hours_left = Decimal((budget.period_end - now) // timedelta(seconds=1)) / _SECONDS
    return Outlook(
        spent=budget.spent,
        fees=_fees(budget, now),
        running=(pace * hours_left).quantize(MILLIONTH, ROUND_HALF_UP),
        pace=pace.quantize(MILLIONTH, ROUND_HALF_UP),
        full_at=_full_at(budget, pace, now),
    )


def says(full_at: datetime, now: datetime) -> str:
    """When launches are refused, in a sentence."""
    if full_at <= now:
        return "Launches are refused: no room is left."
    return f"Launches are refused from {full_at.astimezone(UTC):%-d %B %H:%M} UTC on at this pace."


def holders_of(budget: Budget, *, user: User, most: int = 10) -> list[dict[str, Any]]:
    """The machines that hold most of the budget: id, state, what they hold, and the name where the person sees them.

    `kept_until` is when what is held beyond need for one that has left the budget, or became cheaper, goes back.
    """
    held = budget.reservations.live().select_related("workspace").order_by("-remaining", "id")[:most]
    found = [(one.workspace, one.remaining, one.kept_until) for one in held]
    seen = WorkSpace.objects.visible_to(user).filter(id__in=[machine.id for machine, *_ in found])
    names = dict(seen.values_list("id", "name"))
    return [
        {
            "workspace": machine.id,
            "name": names.get(machine.id),
            "state": machine.state,
            "remaining": remaining,
            "kept_until": kept_until,
        }
        for machine, remaining, kept_until in found
    ]


def _full_at(budget: Budget, pace: Decimal, now: datetime) -> datetime | None:
    """When spent and reserved together reach the limit, to the second; None when not within the period."""
    room = budget.remaining
    if not room:
        return now
    if not pace:
        return None
    hours = room / pace
    if hours >= Decimal((budget.period_end - now) // timedelta(seconds=1)) / _SECONDS:
        return None
    return (now + timedelta(seconds=int(hours * _SECONDS))).replace(microsecond=0)


def _fees(budget: Budget, now: datetime) -> Decimal:
    """The fees of the scope's live machines that are still to come."""
    of_scope = {FACTS[budget.scope].machine_column: budget.scope_id}
    machines = WorkSpace.objects.live().filter(organization_id=budget.organization_id).filter(**of_scope)
    return fees_ahead(machines, organization=budget.organization, since=now, until=budget.period_end, now=now)


def _pace(budget: Budget, now: datetime) -> Decimal:
    """What the running of the last days has cost per hour."""
    today = now.astimezone(UTC).date()
    of_scope = {FACTS[budget.scope].record_column: budget.scope_id}
    costs = DailyCost.objects.filter(organization_id=budget.organization_id).filter(**of_scope)
    by_day = running_by_day(
        costs, organization=budget.organization, first=today - timedelta(days=PACE_DAYS - 1), last=today, now=now
    )
    if not by_day:
        return Decimal(0)
    elapsed = max(now - datetime.combine(min(by_day), time(), tzinfo=UTC), HOUR)
    return sum(by_day.values(), Decimal(0)) * _SECONDS / Decimal(elapsed // timedelta(seconds=1))
