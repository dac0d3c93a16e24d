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

from django.db import connection

from budgets.models import Budget
from budgets.rates import rate_or_nothing
from budgets.scopes import FACTS
from costs.pricing import HOUR, MILLIONTH, fees_to_come
from forge.accounts.models import User
from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace

PACE_DAYS = 7
_SECONDS = Decimal(3600)

_MACHINES = """
    SELECT service_type, region, bundle_type, operating_system, running_mode, root_volume_gb + user_volume_gb,
           costs_hour_of(
               least(%(period_end)s, created_at + max_lifetime_days * interval '24 hours')
               + interval '1 hour' - interval '1 microsecond'
           ),
           count(*)
      FROM workspaces_workspace
     WHERE organization_id = %(organization)s AND {machine_column} = %(scope_id)s AND state = ANY (%(live)s)
     GROUP BY 1, 2, 3, 4, 5, 6, 7
"""

# A kind of Applications has no blueprint and so no operating system here: the dearest price stands for it.
_RUNNING = """
    SELECT coalesce(sum(d.hours * p.hourly_amount), 0), min(d.first_day)
      FROM (
          SELECT region, bundle_type, running_mode, blueprint_id, sum(billed_hours) AS hours, min(day) AS first_day
            FROM costs_dailycost
           WHERE organization_id = %(organization)s AND {record_column} = %(scope_id)s
             AND day >= %(first_day)s AND day <= %(today)s
           GROUP BY region, bundle_type, running_mode, blueprint_id
      ) d
      LEFT JOIN blueprints_blueprint b ON b.id = d.blueprint_id
      LEFT JOIN LATERAL (
          SELECT hourly_amount FROM costs_price
           WHERE service_type = CASE WHEN b.id IS NULL THEN 'WORKSPACES_APPLICATIONS' ELSE 'WORKSPACES_PERSONAL' END
             AND region = d.region AND bundle_type = d.bundle_type AND running_mode = d.running_mode
             AND (b.id IS NULL OR operating_system = b.operating_system) AND currency = %(currency)s
             AND (organization_id = %(organization)s OR organization_id IS NULL)
             AND valid_from <= %(now)s AND (valid_to IS NULL OR valid_to > %(now)s)
           ORDER BY organization_id NULLS LAST, hourly_amount DESC
           LIMIT 1
      ) p ON true
"""


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
    """The machines that hold most of the budget: id, state, what they hold, and the name where the person sees them."""
    held = budget.reservations.live().select_related("workspace").order_by("-remaining", "id")[:most]
    found = [(one.workspace, one.remaining) for one in held]
    seen = WorkSpace.objects.visible_to(user).filter(id__in=[machine.id for machine, _ in found])
    names = dict(seen.values_list("id", "name"))
    return [
        {
            "workspace": machine.id,
            "name": names.get(machine.id),
            "state": machine.state,
            "remaining": remaining,
        }
        for machine, remaining in found
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
    """The fees to come, reckoned once for all machines of one kind that are bound by the same hour."""
    fees = Decimal(0)
    for *kind, bound, count in _rows(budget, _MACHINES, {"live": [str(state) for state in LIVE_STATES]}):
        rate = rate_or_nothing(budget.organization, tuple(kind), now=now)
        one = fees_to_come(rate.fee, now, bound) + fees_to_come(rate.storage_fee, now, bound)
        fees += one * count
    return fees


def _pace(budget: Budget, now: datetime) -> Decimal:
    """What the running of the last days has cost per hour."""
    today = now.astimezone(UTC).date()
    days = {"first_day": today - timedelta(days=PACE_DAYS - 1), "today": today, "now": now}
    [(cost, first_day)] = _rows(budget, _RUNNING, days)
    if first_day is None:
        return Decimal(0)
    elapsed = max(now - datetime.combine(first_day, time(), tzinfo=UTC), HOUR)
    return cost * _SECONDS / Decimal(elapsed // timedelta(seconds=1))


def _rows(budget: Budget, statement: str, more: dict[str, Any]) -> list[tuple[Any, ...]]:
    facts = FACTS[budget.scope]
    known: dict[str, Any] = {
        "organization": budget.organization_id,
        "currency": budget.organization.currency,
        "scope_id": budget.scope_id,
        "period_end": budget.period_end,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            statement.format(machine_column=facts.machine_column, record_column=facts.record_column), known | more
        )
        return cursor.fetchall()
