"""Book an hour without a price, or with a stale one, at the last that is known, and say so: its basis is ESTIMATED.

Until now a machine whose price had ended waited, unbooked. `costs_price_at` (0007) finds the price of an hour, in force
or not; where none is, or where nobody has read it for `stale_days`, the record is ESTIMATED. It is corrected to METERED
by `costs_rerate` when a price for its hour arrives or is confirmed. Only a machine of which there has never been a
price in the organization's currency, nor is one to come, still waits and is counted as unpriced.

Here the function stands in one piece, as it is: what 0002 wrote, with the changes of configuration of 0005 and the
services of 0006. `costs_book(ids, at, span, to_the_end, stale_days)` books what is due of the machines `ids`, whose
scope rows and own rows the caller has locked. A machine advances to `at`, or by `span` if it is further behind, so that
a transaction stays bounded. Its steps, from top to bottom:

- machine: what the machine is and how far its mark is; `to_the_end` also takes what is due at `at` itself;
- was, variant: what machines have been before they were modified, and the kinds of price that follow from it;
- steady: machines about which nothing new is known, which go on from their mark;
- event, run: for all others their whole history, in the order in which it was written, with times that never go back;
- reach: the hours to look at, and until when; behind changes that came late, and to the last hour of a stay that ended;
- stretch, usage: session hours and seconds by machine and UTC hour;
- slot: each hour to look at, with the kind by which it is priced (`also`: AutoStop's fee beside AlwaysOn's in the month
  of the switch), and what its record holds already;
- rate: one price for each kind and hour;
- wanted, priceless, changed: each hour as it must stand. An hour that has a record keeps the owner, mode and price
  that it was booked with, its fee is not booked twice, an hour behind the end of the stay falls to nothing, and the
  last hour of the stay gets what the fees still owe for the month; hours of the provider's bill (BILLED) stay;
- marked: the mark's next state;
- corrected, booked: the records, in the order of machine and hour; summed: the daily sums in the order of their key, in
  one pass of ON CONFLICT, so that two transactions never wait for each other crosswise; charged: cost_to_date.

The answer is one row: the changed amounts as three arrays (hours counted from 1970), and counts.
"""

from importlib import import_module

from django.db import migrations

GROW = "ALTER TYPE costs_change ADD ATTRIBUTE basis varchar(10);"
SHRINK = "ALTER TYPE costs_change DROP ATTRIBUTE basis;"

DROP_BEFORE = "DROP FUNCTION costs_book(uuid[], timestamptz, interval, boolean);"
DROP = "DROP FUNCTION costs_book(uuid[], timestamptz, interval, boolean, integer);"

BOOK = """
CREATE FUNCTION costs_book(
    ids uuid[], at timestamptz, span interval, to_the_end boolean, stale_days integer DEFAULT 90,
    OUT workspace_ids uuid[], OUT hours integer[], OUT amounts numeric[],
    OUT machines integer, OUT records integer, OUT unpriced integer
) LANGUAGE plpgsql VOLATILE
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $body$
#variable_conflict use_column
DECLARE
    changes costs_change[];
    first_hour timestamptz;
    last_hour timestamptz;
BEGIN
WITH machine AS MATERIALIZED (
    SELECT w.id, w.organization_id, o.currency, w.service_type, w.region, w.bundle_type, w.operating_system,
           w.running_mode,
           dense_rank() OVER (
               ORDER BY w.service_type, w.running_mode, w.operating_system, w.bundle_type, w.region, w.organization_id
           ) AS kind,
           w.state, w.state_since, w.launched_at, w.root_volume_gb + w.user_volume_gb AS storage_gb,
           w.state IN ('TERMINATED', 'FAILED') AS is_over,
           m.dirty_from, m.metered_through, m.running_since, m.paid_until,
           (m.dirty_from IS NOT NULL OR m.metered_through IS NULL) AS anew,
           CASE WHEN w.state = 'TERMINATED' THEN w.terminated_at END AS ended_at,
           CASE WHEN to_the_end THEN greatest(at, w.terminated_at) ELSE at END AS horizon
      FROM generate_subscripts(ids, 1) AS nr
     CROSS JOIN LATERAL (
         SELECT * FROM costs_metermark
          WHERE workspace_id = ids[nr] AND (next_due_at < at OR (to_the_end AND next_due_at IS NOT NULL))
         OFFSET 0
     ) m
     CROSS JOIN LATERAL (SELECT * FROM workspaces_workspace WHERE id = m.workspace_id OFFSET 0) w
      JOIN accounts_organization o ON o.id = w.organization_id
),
was AS MATERIALIZED (
    SELECT c.id AS nr, m.id, c.occurred_at AS ended, c.before_bundle_type AS bundle_type,
           c.before_running_mode AS running_mode, c.after_running_mode <> c.before_running_mode AS switched,
           c.before_root_volume_gb + c.before_user_volume_gb AS storage_gb
      FROM machine m JOIN workspaces_configurationchange c ON c.workspace_id = m.id
     WHERE m.anew
),
variant AS MATERIALIZED (
    SELECT id, bundle_type, mode.running_mode,
           - dense_rank() OVER (
               ORDER BY mode.running_mode, operating_system, bundle_type, region, organization_id, currency
           ) AS kind,
           organization_id, currency, region, operating_system
      FROM (
          SELECT w.id, w.bundle_type, m.organization_id, m.currency, m.region, m.operating_system
            FROM was w JOIN machine m ON m.id = w.id
          UNION
          SELECT m.id, m.bundle_type, m.organization_id, m.currency, m.region, m.operating_system
            FROM machine m WHERE m.id IN (SELECT id FROM was)
      ) known
     CROSS JOIN (VALUES ('AUTO_STOP'), ('ALWAYS_ON')) AS mode (running_mode)
),
steady AS MATERIALIZED (
    SELECT id, kind, running_mode, storage_gb, metered_through, running_since, until, first_hour,
           costs_hour_of(until - interval '1 microsecond') AS last_hour,
           CASE WHEN first_hour < until
                THEN first_hour + ceil(extract(epoch FROM until - first_hour) / 3600)::integer * interval '1 hour'
                ELSE paid_until
           END AS paid_until
      FROM (
          SELECT *, CASE WHEN running_since IS NOT NULL THEN greatest(running_since, paid_until) END AS first_hour,
                 CASE WHEN to_the_end THEN horizon ELSE least(horizon, metered_through + span) END AS until
            FROM machine
           WHERE NOT anew
      ) m
),
event AS MATERIALIZED (
    SELECT id, nr,
           to_state IN ('STARTING', 'AVAILABLE') AND bool_or(to_state = 'AVAILABLE') OVER history AS running,
           max(occurred_at) OVER history AS happened
      FROM (
          SELECT m.id, s.id AS nr, s.occurred_at, s.to_state
            FROM machine m JOIN workspaces_statechange s ON s.workspace_id = m.id
           WHERE m.anew
          UNION ALL
          SELECT m.id, 9223372036854775807, m.state_since, m.state FROM machine m WHERE m.anew
      ) change
    WINDOW history AS (PARTITION BY id ORDER BY nr)
),
run AS MATERIALIZED (
    SELECT id, happened AS started, ended
      FROM (
          SELECT id, happened, running, lead(happened) OVER history AS ended
            FROM (
                SELECT id, nr, happened, running, lag(running, 1, false) OVER history AS ran_before
                  FROM event WINDOW history AS (PARTITION BY id ORDER BY nr)
            ) step
           WHERE running <> ran_before
          WINDOW history AS (PARTITION BY id ORDER BY nr)
      ) flip
     WHERE running
),
reach AS MATERIALIZED (
    SELECT m.*,
           CASE WHEN m.ended_at > m.launched_at
                THEN costs_hour_of(m.ended_at - interval '1 microsecond')
           END AS last_hour,
           coalesce(m.ended_at <= m.until, false) AS closing,
           CASE WHEN m.ended_at <= m.until
                THEN least(costs_hour_of(m.since), costs_hour_of(m.ended_at - interval '1 microsecond'))
                ELSE costs_hour_of(m.since)
           END AS from_hour
      FROM (
          SELECT *, CASE WHEN to_the_end OR since IS NULL THEN horizon
                         ELSE least(horizon, greatest(since + span, metered_through))
                    END AS until
            FROM (
                SELECT m.*, CASE WHEN m.metered_through IS NULL THEN least(m.launched_at, first.started)
                                 ELSE least(m.dirty_from, m.metered_through)
                            END AS since
                  FROM machine m
                  LEFT JOIN (SELECT id, min(started) AS started FROM run GROUP BY id) first ON first.id = m.id
                 WHERE m.anew
            ) origin
      ) m
),
stretch AS MATERIALIZED (
    SELECT h.id, session.*, CASE WHEN session.ended >= h.until THEN session.started END AS running_since
      FROM (
          SELECT s.id, s.until, array_agg(r.started ORDER BY r.started) AS starts,
                 array_agg(least(r.ended, s.until) ORDER BY r.started) AS ends
            FROM run r JOIN reach s ON s.id = r.id
           WHERE r.started < s.until AND (r.ended IS NULL OR r.ended > r.started)
           GROUP BY s.id, s.until
      ) h
     CROSS JOIN LATERAL costs_session_hours(h.starts, h.ends) session
),
usage AS MATERIALIZED (
    SELECT i.id, piece.hour,
           sum(extract(epoch FROM least(i.ended, piece.hour + interval '1 hour') - greatest(i.started, piece.hour)))
               AS seconds,
           count(*) FILTER (
               WHERE piece.begins >= i.first_hour AND piece.begins < i.first_hour + i.hours * interval '1 hour'
           ) AS begun
      FROM stretch i
      JOIN reach s ON s.id = i.id
     CROSS JOIN LATERAL (
         SELECT hour, hour + (i.first_hour - costs_hour_of(i.first_hour)) AS begins
           FROM unnest(ARRAY(
               SELECT generate_series(
                   greatest(costs_hour_of(i.started), s.from_hour),
                   costs_hour_of(i.ended - interval '1 microsecond'),
                   interval '1 hour'
               )
           )) AS hour
     ) piece
     GROUP BY i.id, piece.hour
),
slot AS MATERIALIZED (
    SELECT s.id, s.kind, NULL::bigint AS also, s.running_mode, s.storage_gb, slot.hour,
           slot.hour >= s.metered_through AS is_new,
           false AS is_last, false AS is_beyond, NULL::uuid AS held_price_id, 0::numeric AS old_compute,
           0::numeric AS old_storage,
           CASE WHEN s.running_since IS NULL THEN 0
                ELSE extract(
                    epoch FROM least(s.until, slot.hour + interval '1 hour') - greatest(s.metered_through, slot.hour)
                )
           END AS seconds,
           CASE WHEN s.running_mode = 'AUTO_STOP' AND s.first_hour < s.until
                 AND slot.hour + (s.first_hour - costs_hour_of(s.first_hour)) >= s.first_hour
                 AND slot.hour + (s.first_hour - costs_hour_of(s.first_hour)) < s.until
                THEN 1::numeric ELSE 0
           END AS billed
      FROM steady s
     CROSS JOIN LATERAL unnest(ARRAY(
         SELECT generate_series(costs_hour_of(s.metered_through), s.last_hour, interval '1 hour')
     )) AS slot (hour)
    UNION ALL
    SELECT s.id, coalesce(v.kind, s.kind), also.kind, coalesce(r.running_mode, c.running_mode), c.storage_gb,
           slot.hour, r.workspace_id IS NULL,
           s.closing AND coalesce(slot.hour = s.last_hour, false), beyond.yes, r.price_id,
           coalesce(r.compute_cost, 0), coalesce(r.storage_cost, 0),
           CASE WHEN beyond.yes THEN 0 ELSE coalesce(u.seconds, 0) END - coalesce(r.running_seconds, 0),
           CASE WHEN beyond.yes OR coalesce(r.running_mode, c.running_mode) <> 'AUTO_STOP' THEN 0
                ELSE coalesce(u.begun, 0)
           END - coalesce(r.billed_hours, 0)
      FROM reach s
     CROSS JOIN LATERAL unnest(ARRAY(
         SELECT generate_series(
             greatest(s.from_hour, costs_hour_of(s.launched_at)),
             costs_hour_of(s.until - interval '1 microsecond'),
             interval '1 hour'
         )
     )) AS slot (hour)
     CROSS JOIN LATERAL (SELECT s.closing AND coalesce(slot.hour > s.last_hour, true) AS yes) beyond
     CROSS JOIN LATERAL (
         SELECT coalesce(past.bundle_type, s.bundle_type) AS bundle_type,
                coalesce(past.storage_gb, s.storage_gb) AS storage_gb,
                CASE WHEN coalesce(past.running_mode, s.running_mode) = 'ALWAYS_ON' OR EXISTS (
                              SELECT FROM was
                               WHERE id = s.id AND running_mode = 'ALWAYS_ON' AND ended > month.began
                                 AND ended <= slot.hour
                          )
                     THEN 'ALWAYS_ON' ELSE 'AUTO_STOP'
                END AS running_mode,
                coalesce(first.running_mode, s.running_mode) AS first_running_mode
           FROM (
               SELECT greatest(
                   date_trunc('month', slot.hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', costs_hour_of(s.launched_at)
               ) AS began
           ) month
           LEFT JOIN LATERAL (
               SELECT * FROM was WHERE id = s.id AND ended > slot.hour ORDER BY ended, nr LIMIT 1
           ) past ON true
           LEFT JOIN LATERAL (
               SELECT running_mode FROM was WHERE id = s.id AND ended > month.began ORDER BY ended, nr LIMIT 1
           ) first ON true
     ) c
      LEFT JOIN variant v ON v.id = s.id AND v.bundle_type = c.bundle_type AND v.running_mode = c.running_mode
      LEFT JOIN variant also ON also.id = s.id AND also.bundle_type = c.bundle_type
            AND also.running_mode = 'AUTO_STOP' AND c.running_mode = 'ALWAYS_ON'
            AND c.first_running_mode = 'AUTO_STOP'
      LEFT JOIN usage u ON u.id = s.id AND u.hour = slot.hour
      LEFT JOIN LATERAL (
          SELECT workspace_id, price_id, running_mode, running_seconds, billed_hours, compute_cost, storage_cost, basis
            FROM costs_costrecord
           WHERE workspace_id = s.id AND period_start = slot.hour
           LIMIT 1
      ) r ON true
     WHERE s.launched_at < s.until AND NOT (beyond.yes AND r.workspace_id IS NULL)
       AND r.basis IS DISTINCT FROM 'BILLED'
),
rate AS MATERIALIZED (
    SELECT kind, hour, p.id AS price_id, p.hourly_amount AS hourly, p.monthly_amount AS monthly,
           p.included_storage_gb AS included_gb, p.storage_gb_month_amount AS per_gb,
           costs_accrued(p.monthly_amount, hour + interval '1 hour') - costs_accrued(p.monthly_amount, hour)
               AS accrual,
           costs_is_known(p.valid_from, p.valid_to, p.as_of, stale_days, hour) AS is_known
      FROM (
          SELECT kind, hour FROM slot UNION SELECT also, hour FROM slot WHERE also IS NOT NULL
      ) asked
      JOIN (
          SELECT DISTINCT kind, service_type, organization_id, currency, region, bundle_type, operating_system,
                 running_mode
            FROM machine
          UNION
          SELECT kind, 'WORKSPACES_PERSONAL', organization_id, currency, region, bundle_type, operating_system,
                 running_mode
            FROM variant
      ) m USING (kind)
      LEFT JOIN LATERAL costs_price_at(
          m.organization_id, m.service_type, m.region, m.bundle_type, m.operating_system, m.running_mode, m.currency,
          hour
      ) p ON true
),
wanted AS MATERIALIZED (
    SELECT s.id, s.hour, s.is_new, s.is_beyond, s.is_last, s.storage_gb, s.old_compute, s.old_storage, s.seconds,
           s.billed,
           CASE WHEN s.also IS NULL OR extra.price_id IS NOT NULL THEN coalesce(held.id, rate.price_id) END
               AS price_id,
           coalesce(held.monthly_amount, rate.monthly) AS monthly, coalesce(extra.monthly, 0) AS also_monthly,
           greatest(0, s.storage_gb - coalesce(held.included_storage_gb, rate.included_gb))
               * coalesce(held.storage_gb_month_amount, rate.per_gb) AS monthly_storage,
           s.billed * coalesce(held.hourly_amount, rate.hourly)
               + CASE WHEN s.is_new THEN rate.accrual + coalesce(extra.accrual, 0) ELSE 0 END AS compute,
           CASE WHEN s.is_new AND rate.per_gb > 0
                THEN costs_accrued(
                         greatest(0, s.storage_gb - rate.included_gb) * rate.per_gb, s.hour + interval '1 hour'
                     )
                     - costs_accrued(greatest(0, s.storage_gb - rate.included_gb) * rate.per_gb, s.hour)
                ELSE 0
           END AS storage,
           CASE WHEN rate.is_known AND coalesce(extra.is_known, true) THEN 'METERED' ELSE 'ESTIMATED' END AS basis
      FROM slot s
      LEFT JOIN rate USING (kind, hour)
      LEFT JOIN rate extra ON extra.kind = s.also AND extra.hour = s.hour
      LEFT JOIN costs_price held ON held.id = s.held_price_id
),
priceless AS MATERIALIZED (
    SELECT DISTINCT id FROM wanted WHERE price_id IS NULL
),
changed AS (
    SELECT id, hour, is_new, price_id, seconds, billed, storage_gb, basis,
           CASE WHEN is_beyond THEN - old_compute
                WHEN is_last
                THEN compute + costs_accrued(monthly, month_end) - costs_accrued(monthly, hour + interval '1 hour')
                     + costs_accrued(also_monthly, month_end)
                     - costs_accrued(also_monthly, hour + interval '1 hour')
                ELSE compute
           END AS compute,
           CASE WHEN is_beyond THEN - old_storage
                WHEN is_last AND monthly_storage > 0
                THEN storage + costs_accrued(monthly_storage, month_end)
                     - costs_accrued(monthly_storage, hour + interval '1 hour')
                ELSE storage
           END AS storage
      FROM wanted
     CROSS JOIN LATERAL (
         SELECT (date_trunc('month', hour AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' AS month_end
     ) month
     WHERE id NOT IN (SELECT id FROM priceless)
       AND (is_new OR is_beyond OR is_last OR seconds <> 0 OR billed <> 0)
),
marked AS (
    UPDATE costs_metermark m
       SET metered_through = x.metered_through, running_since = x.running_since, paid_until = x.paid_until,
           dirty_from = x.dirty_from, next_due_at = x.next_due_at, updated_at = statement_timestamp()
      FROM (
          SELECT id, until AS metered_through, running_since, paid_until, NULL::timestamptz AS dirty_from,
                 CASE WHEN running_since IS NOT NULL AND running_mode = 'AUTO_STOP'
                      THEN least(paid_until, last_hour + interval '1 hour')
                      ELSE last_hour + interval '1 hour'
                 END AS next_due_at
            FROM steady
          UNION ALL
          SELECT id, CASE WHEN launched_at < until THEN until ELSE metered_through END, runs_since, is_paid_until,
                 CASE WHEN NOT is_done AND (until < horizon OR ahead IS NOT NULL) THEN until END,
                 CASE WHEN NOT is_done
                      THEN least(
                          ahead,
                          CASE WHEN launched_at < until
                               THEN costs_hour_of(until - interval '1 microsecond') + interval '1 hour' END,
                          CASE WHEN runs_since IS NOT NULL AND running_mode = 'AUTO_STOP' THEN is_paid_until END
                      )
                 END
            FROM (
                SELECT s.*, later.ahead, latest.running_since AS runs_since, latest.paid_until AS is_paid_until,
                       s.is_over AND (s.closing OR s.launched_at IS NULL) AS is_done
                  FROM reach s
                  LEFT JOIN (
                      SELECT id, max(running_since) AS running_since, max(paid_until) AS paid_until
                        FROM stretch GROUP BY id
                  ) latest ON latest.id = s.id
                  LEFT JOIN (
                      SELECT id, min(at) AS ahead
                        FROM (
                            SELECT s.id, e.happened AS at
                              FROM reach s JOIN event e ON e.id = s.id AND e.happened >= s.until
                            UNION ALL
                            SELECT s.id, w.ended
                              FROM reach s JOIN was w ON w.id = s.id AND w.ended >= s.until
                            UNION ALL
                            SELECT s.id, month.ends
                              FROM reach s
                              JOIN was w ON w.id = s.id AND w.switched
                             CROSS JOIN LATERAL (
                                 SELECT (date_trunc('month', w.ended AT TIME ZONE 'UTC') + interval '1 month')
                                            AT TIME ZONE 'UTC' AS ends
                             ) month
                             WHERE month.ends >= s.until AND NOT s.is_over
                        ) place
                       GROUP BY id
                  ) later ON later.id = s.id
            ) known
      ) x
     WHERE m.workspace_id = x.id AND x.id NOT IN (SELECT id FROM priceless)
)
SELECT (SELECT count(*) FROM machine) - (SELECT count(*) FROM priceless),
       (SELECT count(*) FROM priceless),
       count(*), min(hour), max(hour),
       array_agg(
           ROW (id, hour, is_new, price_id, seconds, billed, compute, storage, storage_gb, basis)::costs_change
           ORDER BY id, hour
       )
  INTO machines, unpriced, records, first_hour, last_hour, changes
  FROM changed;

IF records = 0 THEN
    workspace_ids := '{}';
    hours := '{}';
    amounts := '{}';
    RETURN;
END IF;

WITH change AS MATERIALIZED (
    SELECT * FROM unnest(changes)
),
corrected AS (
    UPDATE costs_costrecord record
       SET running_seconds = record.running_seconds + c.seconds, billed_hours = record.billed_hours + c.billed,
           compute_cost = record.compute_cost + c.compute, storage_cost = record.storage_cost + c.storage,
           total_cost = record.total_cost + c.compute + c.storage
      FROM change c
     WHERE NOT c.is_new AND record.workspace_id = c.workspace_id AND record.period_start = c.hour
       AND record.period_start BETWEEN first_hour AND last_hour
    RETURNING record.period_start, record.organization_id, record.user_id, record.team_id, record.project_id,
              record.blueprint_id, record.cost_center, record.bundle_type, record.region, record.running_mode,
              record.basis, c.billed, c.compute, c.storage
),
booked AS (
    INSERT INTO costs_costrecord (
        workspace_id, organization_id, user_id, team_id, project_id, blueprint_id, price_id, period_start, period_end,
        running_seconds, billed_hours, storage_gb, data_transfer_gb, compute_cost, storage_cost, data_transfer_cost,
        total_cost, currency, basis, bundle_type, region, running_mode, cost_center, tags
    )
    SELECT w.id, w.organization_id, w.owner_id, w.team_id, w.project_id, w.blueprint_id, c.price_id, c.hour,
           c.hour + interval '1 hour', c.seconds, c.billed, c.storage_gb, 0, c.compute,
           c.storage, 0, c.compute + c.storage, o.currency, c.basis, price.bundle_type, w.region,
           price.running_mode,
           left(coalesce(nullif(p.cost_center, ''), w.tags ->> 'cost-center', ''), 100), w.tags
      FROM change c
      JOIN workspaces_workspace w ON w.id = c.workspace_id
      JOIN costs_price price ON price.id = c.price_id
      JOIN accounts_organization o ON o.id = w.organization_id
      LEFT JOIN accounts_project p ON p.id = w.project_id
     WHERE c.is_new
     ORDER BY c.workspace_id, c.hour
    RETURNING period_start, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type,
              region, running_mode, basis, billed_hours, compute_cost, storage_cost
),
summed AS (
    INSERT INTO costs_dailycost AS daily (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT (period_start AT TIME ZONE 'UTC')::date AS day, organization_id, user_id, team_id, project_id, blueprint_id,
           cost_center, bundle_type, region, running_mode, basis, sum(billed), sum(compute), sum(storage), 0,
           sum(compute + storage), statement_timestamp(), statement_timestamp()
      FROM (
          SELECT * FROM corrected WHERE billed <> 0 OR compute <> 0 OR storage <> 0
          UNION ALL
          SELECT * FROM booked
      ) part
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
     ORDER BY organization_id, day, team_id, user_id, project_id, blueprint_id, cost_center, bundle_type, region,
              running_mode, basis
    ON CONFLICT (
        organization_id, day, team_id, user_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis
    ) DO UPDATE
        SET billed_hours = daily.billed_hours + EXCLUDED.billed_hours,
            compute_cost = daily.compute_cost + EXCLUDED.compute_cost,
            storage_cost = daily.storage_cost + EXCLUDED.storage_cost,
            total_cost = daily.total_cost + EXCLUDED.total_cost,
            updated_at = EXCLUDED.updated_at
),
charged AS (
    UPDATE workspaces_workspace w SET cost_to_date = w.cost_to_date + due.amount
      FROM (SELECT workspace_id, sum(compute + storage) AS amount FROM change GROUP BY workspace_id) due
     WHERE w.id = due.workspace_id AND due.amount <> 0
)
SELECT coalesce(array_agg(workspace_id), '{}'), coalesce(array_agg(extract(epoch FROM hour)::bigint / 3600), '{}'),
       coalesce(array_agg(compute + storage), '{}')
  INTO workspace_ids, hours, amounts
  FROM change
 WHERE compute + storage <> 0;
END
$body$;
"""


def before() -> str:
    """The function as migrations 0002, 0005 and 0006 left it."""
    configured = import_module("costs.migrations.0005_configuration_changes")
    by_service = import_module("costs.migrations.0006_price_of_a_service")
    return configured._changed() + by_service.edit(by_service.PAIRS)


class Migration(migrations.Migration):
    dependencies = [("costs", "0007_corrections")]

    operations = [
        migrations.RunSQL(GROW, SHRINK),
        migrations.RunSQL(DROP_BEFORE + BOOK, DROP + before()),
    ]
