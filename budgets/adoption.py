"""Taking over what a scope has spent and runs: for a budget made late, and for the next period of a recurring one."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from budgets import leaving
from budgets.binding import Rate, Scopes
from budgets.models import EXPIRES_AFTER, Budget, Reservation
from budgets.rates import rates_or_nothing
from budgets.scopes import FACTS
from costs.dues import MODES, Dues
from costs.pricing import hour_up, month_of
from forge.accounts.locks import lock_scope_for_adoption, lock_scopes
from forge.db.ids import uuid7
from workspaces.lifecycle import LIVE_STATES

# Of months whose records were archived the daily sums are left: a period that begins within a day takes all of it.
_SPENT = """
    WITH archived AS (SELECT month FROM db_archivedmonth WHERE "table" = 'costs_costrecord')
    SELECT (
        SELECT coalesce(sum(total_cost), 0) FROM costs_costrecord
         WHERE organization_id = %(organization)s AND {record_column} = %(scope_id)s
           AND period_start >= %(period_start)s AND period_start < %(period_end)s
           AND NOT EXISTS (
               SELECT FROM archived WHERE month = date_trunc('month', period_start AT TIME ZONE 'UTC')::date)
    ) + (
        SELECT coalesce(sum(total_cost), 0) FROM costs_dailycost
         WHERE organization_id = %(organization)s AND {record_column} = %(scope_id)s
           AND day >= (%(period_start)s::timestamptz AT TIME ZONE 'UTC')::date
           AND day < %(period_end)s::timestamptz AT TIME ZONE 'UTC'
           AND date_trunc('month', day)::date IN (SELECT month FROM archived)
    )
"""

_MODES = MODES.format(id="w.id", launched_at="w.launched_at", mode="w.running_mode", at="%(now)s")

_KINDS = """
    SELECT DISTINCT service_type, region, bundle_type, operating_system, running_mode, root_volume_gb + user_volume_gb,
           {modes}
      FROM workspaces_workspace w
     WHERE organization_id = %(organization)s AND {machine_column} = %(scope_id)s AND state = ANY (%(live)s)
"""

# Fees of the hours that are in no record yet, and the running ahead: what every live machine must hold. To the end of
# the month (`turn`) it owes them by the modes that it has had in it, as costs.dues has it. One that is TERMINATING owes
# the month's fees whatever the period, if it was ever launched, and no running. The fees are reckoned once
# for all machines of a rate that owe the same hours. These are kept together in arrays and not joined to: PostgreSQL
# takes them for few, and would compare each machine with each sum.
_CLAIMS = """
    WITH rate (
        service_type, region, bundle_type, operating_system, running_mode, storage_gb, modes,
        fee, beside, storage_fee, later_fee, later_storage_fee, hourly, runs_free, nr
    ) AS MATERIALIZED (
        SELECT * FROM unnest(
            %(service_types)s::text[], %(regions)s::text[], %(bundle_types)s::text[], %(operating_systems)s::text[],
            %(running_modes)s::text[], %(storage_gbs)s::integer[], %(modes)s::text[], %(fees)s::numeric[],
            %(besides)s::numeric[], %(storage_fees)s::numeric[], %(later_fees)s::numeric[],
            %(later_storage_fees)s::numeric[], %(hourlies)s::numeric[], %(runs_free)s::boolean[]
        ) WITH ORDINALITY
    ), machine AS MATERIALIZED (
        SELECT w.id, w.launched_at, w.service_type, w.region, w.bundle_type, w.operating_system, w.running_mode,
               w.root_volume_gb + w.user_volume_gb AS storage_gb, {modes} AS modes,
               w.state = 'TERMINATING' AS is_ending,
               CASE WHEN w.state <> 'TERMINATING'
                    THEN least(
                        %(period_end)s,
                        costs_lives_until(w.created_at, w.max_lifetime_days, w.keep_alive, w.keep_alive_until, %(now)s)
                    )
                    WHEN w.launched_at IS NULL THEN costs_hour_of(%(now)s)
                    ELSE %(turn)s
               END AS bound
          FROM workspaces_workspace w
         WHERE w.organization_id = %(organization)s AND w.{machine_column} = %(scope_id)s
           AND w.state = ANY (%(live)s) AND %(now)s < %(period_end)s
    ), owing AS MATERIALIZED (
        SELECT m.id, m.launched_at, m.is_ending, m.bound, rate.nr, since.hour AS first,
               costs_hour_of(m.bound + interval '1 hour' - interval '1 microsecond') AS past
          FROM machine m
          JOIN rate USING (service_type, region, bundle_type, operating_system, running_mode, storage_gb, modes)
         CROSS JOIN LATERAL (
             SELECT greatest(
                 %(period_start)s,
                 coalesce(
                     max(c.period_start) + interval '1 hour', costs_hour_of(coalesce(m.launched_at, %(now)s))
                 )
             ) AS hour
               FROM costs_costrecord c
              WHERE c.workspace_id = m.id
                AND c.period_start >= %(period_start)s AND c.period_start < %(period_end)s
         ) since
    ), alike AS MATERIALIZED (
        SELECT nr, first, past, is_ending, array_agg(id) AS ids, array_agg(launched_at) AS launches,
               array_agg(bound) AS bounds
          FROM owing GROUP BY nr, first, past, is_ending
    ), owed AS MATERIALIZED (
        SELECT alike.*, CASE WHEN is_ending THEN 0 ELSE rate.hourly END AS hourly,
               CASE WHEN rate.runs_free THEN %(turn)s ELSE %(now)s END AS runs_from,
               CASE WHEN first < least(past, %(turn)s)
                    THEN costs_accrued(fee, least(past, %(turn)s)) - costs_accrued(fee, first)
                         + costs_accrued(beside, least(past, %(turn)s)) - costs_accrued(beside, first)
                         + costs_accrued(storage_fee, least(past, %(turn)s)) - costs_accrued(storage_fee, first)
                    ELSE 0
               END
               + CASE WHEN greatest(first, %(turn)s) < past
                      THEN costs_accrued(later_fee, past) - costs_accrued(later_fee, greatest(first, %(turn)s))
                           + costs_accrued(later_storage_fee, past)
                           - costs_accrued(later_storage_fee, greatest(first, %(turn)s))
                      ELSE 0
                 END
               AS fees
          FROM alike JOIN rate USING (nr)
    ), claim AS (
        SELECT one.workspace_id, one.launched_at,
               owed.fees + owed.hourly * greatest(
                   0, least(%(hours)s, ceil(extract(epoch FROM one.bound - owed.runs_from) / 3600))
               ) AS amount
          FROM owed
         CROSS JOIN LATERAL unnest(owed.ids, owed.launches, owed.bounds) AS one (workspace_id, launched_at, bound)
    ), kept AS (
        SELECT * FROM unnest(%(kept_for)s::uuid[], %(kept_amounts)s::numeric[]) AS kept (workspace_id, amount)
    ), needed AS (
        SELECT workspace_id, greatest(claim.amount, kept.amount) AS amount,
               CASE WHEN claim.amount IS NOT NULL AND launched_at IS NULL THEN %(expires_at)s::timestamptz END
                   AS expires_at,
               CASE WHEN kept.amount IS NOT NULL THEN %(hour_end)s::timestamptz END AS kept_until
          FROM claim FULL JOIN kept USING (workspace_id)
    )
"""

_FORESEE = """
    SELECT coalesce(sum(amount), 0) FROM needed
"""

_HOLD = """
    , held AS (
        INSERT INTO budgets_reservation (
            id, organization_id, budget_id, workspace_id, operation_id, amount, remaining, expires_at, kept_until,
            correlation_id, created_at, updated_at
        )
        SELECT forge_uuid7(), %(organization)s, %(budget)s, workspace_id, NULL, amount, amount, expires_at, kept_until,
               %(correlation)s, statement_timestamp(), statement_timestamp()
          FROM needed
        RETURNING amount
    )
    SELECT coalesce(sum(amount), 0) FROM held
"""


def adopt(*, budget_id: uuid.UUID, now: datetime) -> bool:
    """Take the budget's scope over, in a transaction of its own; False when it needs none (any more).

    Locks the scope row FOR UPDATE: every admission, settlement and release of the scope is either done before or comes
    after. Two adopters at once are harmless: the second finds it done.
    """
    with transaction.atomic():
        budget = Budget.objects.get(pk=budget_id)
        lock_scope_for_adoption(table=FACTS[budget.scope].table, scope_id=budget.scope_id)
        return take_over(budget_id=budget_id, now=now)


def adopt_binding(*, scopes: Scopes, now: datetime) -> None:
    """Adopt every budget that binds the scopes at `now` and is not adopted yet: the guard's repair.

    Takes all the scope rows in the order in which an admission takes them, those to adopt FOR UPDATE, because inside a
    request that keeps its transaction open they stay locked until the admission that follows has ended.
    """
    with transaction.atomic():
        waiting: list[uuid.UUID] = []
        for scope, facts in FACTS.items():
            scope_id = scopes.id_of(scope)
            if scope_id is None:
                continue
            pending = Budget.objects.of(scope, scope_id).binding(now).filter(adopted_at__isnull=True)
            budget_id = pending.values_list("id", flat=True).first()
            if budget_id is None:
                lock_scopes(**{f"{scope.lower()}_ids": [scope_id]})
            else:
                lock_scope_for_adoption(table=facts.table, scope_id=scope_id)
                waiting.append(budget_id)
        for budget_id in sorted(waiting):
            take_over(budget_id=budget_id, now=now)


def take_over(*, budget_id: uuid.UUID, now: datetime) -> bool:
    """Adopt a budget whose scope row the caller has FOR UPDATE; False when it is adopted, switched off or to come.

    Spent becomes the sum of the scope's records in the period; each live machine gets a reservation, whether it fits
    or not, and so does one that has left the scope in the hour that has begun; of one that became cheaper in it the
    larger of both is held (budgets.leaving). What machines still hold in the scope's earlier periods ends with it.
    """
    budget, earlier = locked_with_earlier(budget_id)
    if budget.adopted_at is not None or not budget.is_active or now < budget.period_start:
        return False
    parameters = _parameters(budget, now)
    with connection.cursor() as cursor:
        if earlier:
            cursor.execute("SELECT budgets_empty(%s, %s)", [earlier, now])
        spent = _one(cursor, budget, parameters, _SPENT)
        reserved = _one(cursor, budget, parameters, _CLAIMS, _HOLD)
    budget.spent, budget.reserved, budget.adopted_at = spent, reserved, now
    budget.save(update_fields=["spent", "reserved", "adopted_at", "updated_at"])
    return True


def foresee(*, budget_id: uuid.UUID, now: datetime) -> tuple[Decimal, Decimal]:
    """(spent, reserved) as adoption would set them now; neither locks nor writes."""
    budget = Budget.objects.get(pk=budget_id)
    parameters = _parameters(budget, now)
    with connection.cursor() as cursor:
        spent = _one(cursor, budget, parameters, _SPENT)
        reserved = _one(cursor, budget, parameters, _CLAIMS, _FORESEE)
    return spent, reserved


def locked_with_earlier(budget_id: uuid.UUID) -> tuple[Budget, list[uuid.UUID]]:
    """The budget, and the ids of the scope's earlier ones that machines still hold, all locked in the order of ids.

    Whoever adopts a budget that stands takes its lock in this way, not before: the earlier ones often come first.
    """
    budget = Budget.objects.get(pk=budget_id)
    held = Exists(Reservation.objects.live().filter(budget=OuterRef("pk")))
    wanted = Budget.objects.of(budget.scope, budget.scope_id).filter(
        Q(pk=budget_id) | Q(held, period_end__lte=budget.period_start)
    )
    ids = list(wanted.values_list("id", flat=True))
    rows = Budget.objects.filter(id__in=ids).order_by("id").select_for_update(no_key=True, of=("self",))
    locked = {row.id: row for row in rows}
    return locked.pop(budget_id), list(locked)


def _parameters(budget: Budget, now: datetime) -> dict[str, Any]:
    common: dict[str, Any] = {
        "budget": budget.id,
        "organization": budget.organization_id,
        "scope_id": budget.scope_id,
        "period_start": budget.period_start,
        "period_end": budget.period_end,
        "now": now,
        "turn": month_of(now)[1],
        "expires_at": now + EXPIRES_AFTER,
        "hours": settings.FORGE_RESERVE_HOURS,
        "live": [str(state) for state in LIVE_STATES],
        "correlation": uuid7(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_KINDS.format(machine_column=FACTS[budget.scope].machine_column, modes=_MODES), common)
        kinds = cursor.fetchall()
    rates = rates_or_nothing(budget.organization, [(kind[:6], kind[6]) for kind in kinds], now=now)
    dues = [_dues(rate, common["turn"]) for rate in rates.values()]
    kept = leaving.claims(budget, now=now)
    service_types, regions, bundle_types, operating_systems, running_modes, storage_gbs, modes = (
        zip(*kinds, strict=True) if kinds else [()] * 7
    )
    return common | {
        "service_types": list(service_types),
        "regions": list(regions),
        "bundle_types": list(bundle_types),
        "operating_systems": list(operating_systems),
        "running_modes": list(running_modes),
        "storage_gbs": list(storage_gbs),
        "modes": list(modes),
        "fees": [one.fees[0] for one in dues],
        "besides": [sum(one.fees[1:-1], Decimal(0)) for one in dues],
        "storage_fees": [one.fees[-1] for one in dues],
        "later_fees": [one.later[0] for one in dues],
        "later_storage_fees": [one.later[1] for one in dues],
        "hourlies": [one.hourly for one in dues],
        "runs_free": [one.runs_free for one in dues],
        "hour_end": hour_up(now),
        "kept_for": list(kept),
        "kept_amounts": list(kept.values()),
    }


def _dues(rate: Rate, turn: datetime) -> Dues:
    """Those of a machine that was not switched are the same before and after."""
    fees = (rate.fee, rate.storage_fee)
    return rate.dues or Dues(turn=turn, fees=fees, later=fees, hourly=rate.hourly, runs_free=False)


def _one(cursor: Any, budget: Budget, parameters: dict[str, Any], *parts: str) -> Decimal:
    facts = FACTS[budget.scope]
    statement = "".join(parts).format(
        machine_column=facts.machine_column, record_column=facts.record_column, modes=_MODES
    )
    cursor.execute(statement, parameters)
    return cursor.fetchone()[0]
