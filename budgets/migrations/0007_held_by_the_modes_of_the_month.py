"""Metering holds for a switched machine what costs.dues says: by the modes of the month, then by the mode of now.

Until now the price of the last charged hour stood for every month to a budget's end, so that a machine which had left
AlwaysOn was topped up to AlwaysOn's fee of the months in which it is charged as AutoStop. Now that price, or what the
month is charged by where it is another, counts to the month's end, and the price of the machine's own mode after it;
AlwaysOn charges no started hours before that end. Only machines that were changed within the month cost a look-up more:
their changes are read by workspaces_reconfigured, and the prices of their other modes by costs_price_at.

And what a machine holds reaches to the end of its keep-alive, or of the budget's period where it lives past the end
that was agreed (`costs_lives_until`): until now nothing was topped up past its lifetime.

`budgets_reckon` is otherwise that of migration 0006, written out.
"""

from importlib import import_module

from django.db import migrations

BESIDE = import_module("budgets.migrations.0006_fee_beside_is_topped_up")

RECKON_FORWARD = """
CREATE OR REPLACE FUNCTION budgets_reckon(
    workspaces uuid[], hours timestamptz[], amounts numeric[], prices uuid[],
    users uuid[], teams uuid[], projects uuid[], organizations uuid[], budgets uuid[],
    at timestamptz, hours_low integer, hours_ahead integer,
    OUT settled integer, OUT topped_up integer, OUT short integer,
    OUT places tid[], OUT takes numeric[], OUT additions numeric[],
    OUT booked uuid[], OUT spendings numeric[], OUT reservings numeric[]
) LANGUAGE plpgsql VOLATILE
SET jit = off SET enable_seqscan = off SET enable_nestloop = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    next_hour timestamptz := costs_hour_of(at + interval '1 hour' - interval '1 microsecond');
    month_start timestamptz := date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    month_end timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    WITH budget AS MATERIALIZED (
        SELECT b.id, b.scope_id,
               b.amount + b.transferred + CASE WHEN b.raised = 0 THEN 0 ELSE (
                   SELECT coalesce(sum(r.amount), 0) FROM budgets_budgetraise r
                    WHERE r.budget_id = b.id AND r.ended_at IS NULL AND r.ends_at > budgets_reckon.at
               ) END AS amount,
               b.spent, b.reserved, b.period_start, b.period_end
          FROM budgets_budget b
         WHERE b.id = ANY (budgets) AND b.is_active AND b.adopted_at IS NOT NULL
    ), charge AS MATERIALIZED (
        SELECT c.*
          FROM unnest(workspaces, hours, amounts, prices, users, teams, projects, organizations)
            AS c (workspace_id, hour, amount, price_id, user_id, team_id, project_id, organization_id)
    ), pair AS MATERIALIZED (
        SELECT c.workspace_id, b.id AS budget_id, sum(c.amount) AS amount
          FROM (
              SELECT workspace_id, hour, amount,
                     unnest(ARRAY[user_id, team_id, project_id, organization_id]) AS scope_id
                FROM charge
          ) c
          JOIN budget b ON b.scope_id = c.scope_id AND b.period_start <= c.hour AND b.period_end > c.hour
         GROUP BY c.workspace_id, b.id
    ), switched AS MATERIALIZED (
        SELECT c.workspace_id, bool_and(c.before_running_mode = 'AUTO_STOP') AS was_never_on,
               (array_agg(c.before_running_mode ORDER BY c.occurred_at, c.id))[1] AS first_mode
          FROM workspaces_configurationchange c
          JOIN workspaces_workspace w ON w.id = c.workspace_id
         WHERE c.workspace_id = ANY (workspaces) AND w.id = ANY (workspaces)
           AND c.occurred_at > month_start AND c.occurred_at > costs_hour_of(w.launched_at)
         GROUP BY c.workspace_id
    ), live AS MATERIALIZED (
        SELECT w.id, w.organization_id, w.running_mode, w.root_volume_gb + w.user_volume_gb AS storage_gb,
               costs_lives_until(w.created_at, w.max_lifetime_days, w.keep_alive, w.keep_alive_until, at)
                   AS lifetime_end,
               p AS price,
               CASE WHEN w.running_mode = 'AUTO_STOP' AND coalesce(s.was_never_on, true) THEN 'AUTO_STOP'
                    ELSE 'ALWAYS_ON'
               END AS charged_mode,
               CASE WHEN w.running_mode = 'AUTO_STOP' AND coalesce(s.was_never_on, true) THEN false
                    ELSE coalesce(s.first_mode = 'AUTO_STOP', false)
               END AS has_both
          FROM workspaces_workspace w
          JOIN (SELECT DISTINCT ON (workspace_id) workspace_id, price_id FROM charge ORDER BY workspace_id, hour DESC) c
            ON c.workspace_id = w.id
          JOIN costs_price p ON p.id = c.price_id
          LEFT JOIN switched s ON s.workspace_id = w.id
         WHERE w.id = ANY (workspaces) AND w.state NOT IN ('TERMINATED', 'FAILED')
    ), priced AS MATERIALIZED (
        -- The price of the hours to the end of the month, of those after it, and AutoStop's fee beside.
        SELECT l.id, l.storage_gb, l.lifetime_end, l.charged_mode = 'ALWAYS_ON' AS runs_free,
               CASE WHEN (l.price).running_mode = l.charged_mode THEN l.price
                    ELSE coalesce((
                        SELECT other
                          FROM costs_price_at(
                              l.organization_id, (l.price).service_type, (l.price).region, (l.price).bundle_type,
                              (l.price).operating_system, l.charged_mode, (l.price).currency, costs_hour_of(at)
                          ) other
                    ), l.price)
               END AS price,
               CASE WHEN (l.price).running_mode = l.running_mode THEN l.price
                    ELSE coalesce((
                        SELECT other
                          FROM costs_price_at(
                              l.organization_id, (l.price).service_type, (l.price).region, (l.price).bundle_type,
                              (l.price).operating_system, l.running_mode, (l.price).currency, costs_hour_of(at)
                          ) other
                    ), l.price)
               END AS later,
               coalesce(CASE WHEN l.has_both THEN (
                   SELECT other.monthly_amount
                     FROM costs_price_at(
                         l.organization_id, (l.price).service_type, (l.price).region, (l.price).bundle_type,
                         (l.price).operating_system, 'AUTO_STOP', (l.price).currency, costs_hour_of(at)
                     ) other
               ) END, 0) AS beside
          FROM live l
    ), machine AS MATERIALIZED (
        SELECT id, runs_free, beside, lifetime_end, (price).monthly_amount AS fee,
               greatest(0, storage_gb - (price).included_storage_gb) * (price).storage_gb_month_amount AS storage_fee,
               (later).monthly_amount AS later_fee, (later).hourly_amount AS hourly,
               greatest(0, storage_gb - (later).included_storage_gb) * (later).storage_gb_month_amount
                   AS later_storage_fee
          FROM priced
    ), held AS MATERIALIZED (
        SELECT r.ctid AS place, r.id, r.budget_id, r.remaining, r.expires_at,
               least(r.remaining, greatest(c.amount, 0)) AS take,
               m.fee, m.beside, m.storage_fee, m.later_fee, m.later_storage_fee, m.hourly, m.runs_free,
               CASE WHEN b.period_end > at THEN least(b.period_end, m.lifetime_end) END AS bound
          FROM budgets_reservation r
          JOIN pair c ON c.workspace_id = r.workspace_id AND c.budget_id = r.budget_id
          JOIN budget b ON b.id = r.budget_id
          LEFT JOIN machine m ON m.id = r.workspace_id
         WHERE r.workspace_id = ANY (workspaces) AND r.released_at IS NULL
    ), kind AS MATERIALIZED (
        -- The fees to come are reckoned once for all machines of one kind and bound.
        SELECT k.*,
               greatest(0, ceil(extract(epoch FROM k.bound - CASE WHEN k.runs_free THEN month_end ELSE at END) / 3600))
                   AS hours_left,
               CASE WHEN next_hour < least(k.hour, month_end)
                    THEN costs_accrued(k.fee, least(k.hour, month_end)) - costs_accrued(k.fee, next_hour)
                         + costs_accrued(k.beside, least(k.hour, month_end)) - costs_accrued(k.beside, next_hour)
                         + costs_accrued(k.storage_fee, least(k.hour, month_end))
                         - costs_accrued(k.storage_fee, next_hour)
                    ELSE 0
               END
               + CASE WHEN month_end < k.hour
                      THEN costs_accrued(k.later_fee, k.hour) - costs_accrued(k.later_fee, month_end)
                           + costs_accrued(k.later_storage_fee, k.hour)
                           - costs_accrued(k.later_storage_fee, month_end)
                      ELSE 0
                 END AS fees
          FROM (
              SELECT DISTINCT fee, beside, storage_fee, later_fee, later_storage_fee, hourly, runs_free, bound,
                     costs_hour_of(bound + interval '1 hour' - interval '1 microsecond') AS hour
                FROM held WHERE bound > at
          ) k
    ), total AS MATERIALIZED (
        SELECT b.id, b.amount AS allowed, b.spent, b.reserved, sum(x.amount) AS amount, sum(x.take) AS take
          FROM (
              SELECT budget_id, amount, 0 AS take FROM pair
              UNION ALL
              SELECT budget_id, 0, take FROM held
          ) x
          JOIN budget b ON b.id = x.budget_id
         GROUP BY b.id, b.amount, b.spent, b.reserved
    ), low AS MATERIALIZED (
        SELECT h.id, h.budget_id,
               k.fees + k.hourly * least(hours_ahead, k.hours_left) - h.remaining + h.take AS addition
          FROM held h
          JOIN kind k USING (fee, beside, storage_fee, later_fee, later_storage_fee, hourly, runs_free, bound)
         WHERE h.remaining - h.take < k.fees + k.hourly * least(hours_low, k.hours_left)
    ), granted AS MATERIALIZED (
        SELECT l.id, l.budget_id, l.addition
          FROM (
              SELECT low.*, sum(low.addition) OVER (PARTITION BY low.budget_id ORDER BY low.addition, low.id) AS so_far
                FROM low
          ) l
          JOIN total t ON t.id = l.budget_id
         WHERE greatest(t.spent + t.amount, 0) + t.reserved - t.take + l.so_far <= t.allowed
    ), change AS (
        SELECT array_agg(h.place) AS places, array_agg(h.take) AS takes, array_agg(coalesce(g.addition, 0)) AS additions
          FROM held h
          LEFT JOIN granted g ON g.id = h.id
         WHERE h.take > 0 OR g.addition > 0 OR h.expires_at IS NOT NULL
    ), booking AS (
        SELECT array_agg(t.id) AS booked, array_agg(t.amount) AS spendings,
               array_agg(coalesce(g.addition, 0) - t.take) AS reservings
          FROM total t
          LEFT JOIN (SELECT budget_id, sum(addition) AS addition FROM granted GROUP BY budget_id) g
            ON g.budget_id = t.id
    )
    SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM granted),
           (SELECT count(*) FROM low) - (SELECT count(*) FROM granted), change.*, booking.*
      INTO settled, topped_up, short, places, takes, additions, booked, spendings, reservings
      FROM change CROSS JOIN booking;
END
$body$;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0006_fee_beside_is_topped_up"), ("costs", "0019_until_when_a_machine_lives")]

    operations = [migrations.RunSQL(RECKON_FORWARD, BESIDE.RECKON_FORWARD)]
