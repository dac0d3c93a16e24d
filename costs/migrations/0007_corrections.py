"""Correct a past price: records are reckoned anew, and what they were is kept.

- A price that a correction withdraws has an empty period, which `costs_price_no_two_at_once` lets stand beside others.
- `costs_price_at(…, hour)` is the one place where SQL looks a price up: the organization's own in force, else the one
  for all in force, else the last that was (own before common), else the first to come. `costs_is_known` tells whether
  that is a price in force which somebody has read in the last `stale_days`.
- `costs_rerate(ids, price, …)` puts the records of the machines `ids` in the period of `price` to the prices that now
  hold for their hours; the caller has locked scope rows and machines, as for `costs_book`. A record is reckoned as a
  whole from its own facts: session hours and storage as booked; its hour's part of the monthly fee; AutoStop's fee
  beside it in the month of a switch to AlwaysOn (as in 0005); and, in the last hour of a machine that has ended, what
  the fees owe for the rest of the month. So a correction booked twice, or after a further one, comes to the same. Hours
  behind the end of a stay and hours of the provider's bill stay. What changes leaves a row in `costs_costrevision`;
  daily sums move from the old basis to the new one in the order of their key, and those left with nothing go.

An AutoStop price reaches AlwaysOn records too: those that carry its fee in the month of a switch.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from forge.db.operations import AppendOnly

PRICE_AT = """
CREATE FUNCTION costs_price_at(
    of_organization uuid, of_service varchar, of_region varchar, of_bundle varchar, of_system varchar, of_mode varchar,
    of_currency varchar, hour timestamptz
) RETURNS SETOF costs_price LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $body$
    SELECT p.*
      FROM costs_price p
     WHERE (
               coalesce(p.organization_id, '00000000-0000-0000-0000-000000000000') = of_organization
               OR coalesce(p.organization_id, '00000000-0000-0000-0000-000000000000')
                      = '00000000-0000-0000-0000-000000000000'
           )
       AND p.service_type = of_service AND p.region = of_region AND p.bundle_type = of_bundle
       AND p.operating_system = of_system AND p.running_mode = of_mode AND p.currency = of_currency
       AND p.valid_to IS DISTINCT FROM p.valid_from
     ORDER BY p.valid_from > hour OR coalesce(p.valid_to <= hour, false),
              CASE WHEN p.valid_from <= hour AND coalesce(p.valid_to > hour, true) THEN p.organization_id IS NULL END,
              p.valid_from > hour,
              CASE WHEN p.valid_from > hour THEN p.valid_from - hour ELSE hour - p.valid_to END,
              p.organization_id IS NULL
     LIMIT 1
$body$;

CREATE FUNCTION costs_is_known(
    valid_from timestamptz, valid_to timestamptz, as_of date, stale_days integer, hour timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT valid_from <= hour AND coalesce(valid_to > hour, true)
       AND hour < (as_of + stale_days)::timestamp AT TIME ZONE 'UTC'
$body$;
"""
DROP_PRICE_AT = """
DROP FUNCTION costs_is_known(timestamptz, timestamptz, date, integer, timestamptz);
DROP FUNCTION costs_price_at(uuid, varchar, varchar, varchar, varchar, varchar, varchar, timestamptz);
"""

RERATE = """
CREATE TYPE costs_revised AS (
    workspace_id uuid, hour timestamptz, price_id uuid, compute numeric, storage numeric, basis varchar(10),
    difference numeric
);

CREATE FUNCTION costs_rerate(
    ids uuid[], of_price uuid, stale_days integer, because text, by_operation uuid, by_actor uuid,
    OUT workspace_ids uuid[], OUT hours integer[], OUT amounts numeric[]
) LANGUAGE plpgsql VOLATILE
SET jit = off SET enable_seqscan = off
AS $body$
#variable_conflict use_column
DECLARE
    target costs_price;
    revised costs_revised[];
    first_hour timestamptz;
    last_hour timestamptz;
    touched bigint[];
BEGIN
workspace_ids := '{}';
hours := '{}';
amounts := '{}';
SELECT * INTO STRICT target FROM costs_price WHERE id = of_price;

WITH kept AS MATERIALIZED (
    SELECT r.workspace_id, r.period_start AS hour, r.organization_id, r.running_mode, r.price_id, r.billed_hours,
           r.storage_gb, r.compute_cost, r.storage_cost, r.basis, coalesce(also.yes, false) AS has_both,
           w.state = 'TERMINATED' AND m.next_due_at IS NULL AND coalesce(r.period_start = stay.last_hour, false)
               AS is_last
      FROM unnest(ids) AS machine (id)
      JOIN workspaces_workspace w ON w.id = machine.id
      JOIN costs_metermark m ON m.workspace_id = w.id
      JOIN costs_costrecord r
             ON r.workspace_id = w.id AND r.period_start >= target.valid_from
            AND r.period_start < coalesce(target.valid_to, 'infinity')
     CROSS JOIN LATERAL (
         SELECT CASE WHEN w.state = 'TERMINATED'
                     THEN costs_hour_of(w.terminated_at - interval '1 microsecond')
                END AS last_hour
     ) stay
      LEFT JOIN LATERAL (
          SELECT c.before_running_mode = 'AUTO_STOP' AS yes
            FROM workspaces_configurationchange c
           WHERE r.running_mode = 'ALWAYS_ON' AND c.workspace_id = w.id
             AND c.occurred_at > greatest(
                     date_trunc('month', r.period_start AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
                     costs_hour_of(w.launched_at)
                 )
           ORDER BY c.occurred_at, c.id
           LIMIT 1
      ) also ON true
     WHERE r.basis <> 'BILLED' AND r.bundle_type = target.bundle_type AND r.currency = target.currency
       AND (r.running_mode = target.running_mode OR (target.running_mode = 'AUTO_STOP' AND also.yes))
       AND coalesce(r.period_start <= stay.last_hour, true)
),
rate AS MATERIALIZED (
    SELECT asked.organization_id, asked.running_mode, asked.hour, p.id AS price_id, p.monthly_amount, p.hourly_amount,
           p.included_storage_gb, p.storage_gb_month_amount,
           costs_is_known(p.valid_from, p.valid_to, p.as_of, stale_days, asked.hour) AS is_known
      FROM (
          SELECT organization_id, running_mode, hour FROM kept
          UNION
          SELECT organization_id, 'AUTO_STOP', hour FROM kept WHERE has_both
      ) asked
     CROSS JOIN LATERAL costs_price_at(
         asked.organization_id, target.service_type, target.region, target.bundle_type, target.operating_system,
         asked.running_mode, target.currency, asked.hour
     ) p
),
wanted AS (
    SELECT k.*, p.price_id AS new_price_id,
           k.billed_hours * p.hourly_amount
               + costs_accrued(p.monthly_amount, reach.until) - costs_accrued(p.monthly_amount, k.hour)
               + coalesce(
                     costs_accrued(x.monthly_amount, reach.until) - costs_accrued(x.monthly_amount, k.hour), 0
                 ) AS compute,
           costs_accrued(beyond.fee, reach.until) - costs_accrued(beyond.fee, k.hour) AS storage,
           CASE WHEN p.is_known AND coalesce(x.is_known, true) THEN 'METERED' ELSE 'ESTIMATED' END AS new_basis
      FROM kept k
      JOIN rate p ON p.organization_id = k.organization_id AND p.running_mode = k.running_mode AND p.hour = k.hour
      LEFT JOIN rate x
             ON k.has_both AND x.organization_id = k.organization_id AND x.running_mode = 'AUTO_STOP'
            AND x.hour = k.hour
     CROSS JOIN LATERAL (
         SELECT CASE WHEN k.is_last
                     THEN (date_trunc('month', k.hour AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
                     ELSE k.hour + interval '1 hour'
                END AS until
     ) reach
     CROSS JOIN LATERAL (
         SELECT greatest(0, k.storage_gb - p.included_storage_gb) * p.storage_gb_month_amount AS fee
     ) beyond
)
SELECT array_agg(
           ROW (
               workspace_id, hour, new_price_id, compute, storage, new_basis,
               compute + storage - compute_cost - storage_cost
           )::costs_revised
           ORDER BY workspace_id, hour
       ), min(hour), max(hour)
  INTO revised, first_hour, last_hour
  FROM wanted
 WHERE (price_id, compute_cost, storage_cost, basis) IS DISTINCT FROM (new_price_id, compute, storage, new_basis);

IF revised IS NULL THEN
    RETURN;
END IF;

WITH change AS MATERIALIZED (
    SELECT c.*, r.organization_id, r.user_id, r.team_id, r.project_id, r.blueprint_id, r.cost_center, r.bundle_type,
           r.region, r.running_mode, r.billed_hours, r.data_transfer_cost, r.currency, r.price_id AS old_price_id,
           r.compute_cost AS old_compute, r.storage_cost AS old_storage, r.total_cost AS old_total,
           r.basis AS old_basis
      FROM unnest(revised) c
      JOIN costs_costrecord r
             ON r.workspace_id = c.workspace_id AND r.period_start = c.hour
            AND r.period_start BETWEEN first_hour AND last_hour
),
changed AS (
    UPDATE costs_costrecord record
       SET price_id = c.price_id, compute_cost = c.compute, storage_cost = c.storage, basis = c.basis,
           total_cost = c.compute + c.storage + record.data_transfer_cost
      FROM unnest(revised) c
     WHERE record.workspace_id = c.workspace_id AND record.period_start = c.hour
       AND record.period_start BETWEEN first_hour AND last_hour
),
told AS (
    INSERT INTO costs_costrevision (
        organization_id, workspace_id, user_id, team_id, period_start, old_price_id, new_price_id, old_compute_cost,
        new_compute_cost, old_storage_cost, new_storage_cost, old_total_cost, new_total_cost, currency, old_basis,
        new_basis, reason, actor_id, operation_id
    )
    SELECT organization_id, workspace_id, user_id, team_id, hour, old_price_id, price_id, old_compute, compute,
           old_storage, storage, old_total, old_total + difference, currency, old_basis, basis, because, by_actor,
           by_operation
      FROM change
     ORDER BY workspace_id, hour
),
summed AS (
    INSERT INTO costs_dailycost AS daily (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, organization_id, user_id, team_id, project_id, blueprint_id,
           cost_center, bundle_type, region, running_mode, part.basis, sum(part.sign * billed_hours),
           sum(part.sign * part.compute), sum(part.sign * part.storage), sum(part.sign * data_transfer_cost),
           sum(part.sign * (part.compute + part.storage + data_transfer_cost)), statement_timestamp(),
           statement_timestamp()
      FROM change
     CROSS JOIN LATERAL (
         VALUES (-1, old_basis, old_compute, old_storage), (1, basis, compute, storage)
     ) AS part (sign, basis, compute, storage)
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
            data_transfer_cost = daily.data_transfer_cost + EXCLUDED.data_transfer_cost,
            total_cost = daily.total_cost + EXCLUDED.total_cost,
            updated_at = EXCLUDED.updated_at
    RETURNING id
),
charged AS (
    UPDATE workspaces_workspace w SET cost_to_date = w.cost_to_date + due.amount
      FROM (SELECT workspace_id, sum(difference) AS amount FROM change GROUP BY workspace_id) due
     WHERE w.id = due.workspace_id AND due.amount <> 0
)
SELECT array_agg(id) INTO touched FROM summed;

DELETE FROM costs_dailycost
 WHERE id = ANY (touched) AND billed_hours = 0 AND compute_cost = 0 AND storage_cost = 0 AND data_transfer_cost = 0
   AND EXISTS (SELECT FROM unnest(revised) r WHERE r.basis <> costs_dailycost.basis);

SELECT coalesce(array_agg(workspace_id), '{}'), coalesce(array_agg(extract(epoch FROM hour)::bigint / 3600), '{}'),
       coalesce(array_agg(difference), '{}')
  INTO workspace_ids, hours, amounts
  FROM unnest(revised)
 WHERE difference <> 0;
END
$body$;
"""
DROP_RERATE = """
DROP FUNCTION costs_rerate(uuid[], uuid, integer, text, uuid, uuid);
DROP TYPE costs_revised;
"""


def _basis():
    choices = [("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")]
    return models.CharField(choices=choices, max_length=10)


def _unconstrained(to):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=to,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("costs", "0006_price_of_a_service"),
        ("db", "0001_initial"),
        ("workspaces", "0006_application_stacks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="price", name="costs_price_period_not_empty"),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to__isnull", True), ("valid_to__gte", models.F("valid_from")), _connector="OR"
                ),
                name="costs_price_period_not_backwards",
            ),
        ),
        migrations.CreateModel(
            name="CostRevision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("period_start", models.DateTimeField()),
                ("old_compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("new_compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("old_storage_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("new_storage_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("old_total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("new_total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("currency", models.CharField(max_length=3)),
                ("old_basis", _basis()),
                ("new_basis", _basis()),
                ("reason", models.TextField()),
                (
                    "actor_id",
                    models.UUIDField(
                        blank=True,
                        help_text="Who corrected the price or gave the bill; none for commands and jobs.",
                        null=True,
                    ),
                ),
                ("operation_id", models.UUIDField()),
                ("recorded_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("new_price", _unconstrained("costs.price")),
                ("old_price", _unconstrained("costs.price")),
                ("organization", _unconstrained("accounts.organization")),
                ("team", _unconstrained("accounts.team")),
                ("user", _unconstrained(settings.AUTH_USER_MODEL)),
                ("workspace", _unconstrained("workspaces.workspace")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "recorded_at", "id"], name="costs_revision_by_time"),
                    models.Index(fields=["workspace", "period_start"], name="costs_revision_by_record"),
                    models.Index(fields=["operation_id"], name="costs_revision_by_operation"),
                ]
            },
        ),
        AppendOnly("costs_costrevision"),
        migrations.RunSQL(PRICE_AT, DROP_PRICE_AT),
        migrations.RunSQL(RERATE, DROP_RERATE),
    ]
