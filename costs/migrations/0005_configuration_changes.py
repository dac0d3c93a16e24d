"""Price each hour by what the machine was when that hour began, also after it has been modified.

A change of configuration (workspaces 0005) wakes the machine's mark from its instant on, so that its hours are reckoned
anew from the history, as after a late change of state. There, per hour:

- bundle type and volumes are those with which the hour began (`was`: the configurations that have ended, each with the
  instant of its end; the first that ended after the hour began holds, else the machine's row). A machine modified
  within the hour of its launch is priced by what it was launched as;
- the running mode is AlwaysOn from the hour after the change to it, and once AlwaysOn, to the end of the UTC month
  whatever it is changed to: AWS has been paid for the month by then;
- whoever goes from AutoStop to AlwaysOn within a month has paid AutoStop's monthly fee for it too: it accrues beside
  the other to the month's end (`also`, `extra`), and a machine that ends owes the rest of both.

(AWS's pricing FAQ, "Can I switch between hourly and monthly billing?": from hourly to monthly at once and for the rest
of the month, beside the fees already billed; from monthly to hourly with the following month.)

A machine whose running mode has changed stays on that path to the month's end, all others return to the short one with
their next booking. Records tell the kind and the volumes by which their hour was priced. The function is that of
migration 0002 but for the places that stand below as in a patch: lines that stand in it once (-), and what takes their
place (+).
"""

# ruff: noqa: E501  the lines of a function as they are, behind their mark

from importlib import import_module

from django.db import migrations

BEFORE = import_module("costs.migrations.0002_metering").BOOK.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")

PATCH = """
-),
-steady AS MATERIALIZED (
+),
+was AS MATERIALIZED (
+    SELECT c.id AS nr, m.id, c.occurred_at AS ended, c.before_bundle_type AS bundle_type,
+           c.before_running_mode AS running_mode, c.after_running_mode <> c.before_running_mode AS switched,
+           c.before_root_volume_gb + c.before_user_volume_gb AS storage_gb
+      FROM machine m JOIN workspaces_configurationchange c ON c.workspace_id = m.id
+     WHERE m.anew
+),
+variant AS MATERIALIZED (
+    SELECT id, bundle_type, mode.running_mode,
+           - dense_rank() OVER (
+               ORDER BY mode.running_mode, operating_system, bundle_type, region, organization_id, currency
+           ) AS kind,
+           organization_id, currency, region, operating_system
+      FROM (
+          SELECT w.id, w.bundle_type, m.organization_id, m.currency, m.region, m.operating_system
+            FROM was w JOIN machine m ON m.id = w.id
+          UNION
+          SELECT m.id, m.bundle_type, m.organization_id, m.currency, m.region, m.operating_system
+            FROM machine m WHERE m.id IN (SELECT id FROM was)
+      ) known
+     CROSS JOIN (VALUES ('AUTO_STOP'), ('ALWAYS_ON')) AS mode (running_mode)
+),
+steady AS MATERIALIZED (

-                  LEFT JOIN (
-                      SELECT s.id, min(e.happened) AS ahead
-                        FROM reach s JOIN event e ON e.id = s.id AND e.happened >= s.until
-                       GROUP BY s.id
-                  ) later ON later.id = s.id
+                  LEFT JOIN (
+                      SELECT id, min(at) AS ahead
+                        FROM (
+                            SELECT s.id, e.happened AS at
+                              FROM reach s JOIN event e ON e.id = s.id AND e.happened >= s.until
+                            UNION ALL
+                            SELECT s.id, w.ended
+                              FROM reach s JOIN was w ON w.id = s.id AND w.ended >= s.until
+                            UNION ALL
+                            SELECT s.id, month.ends
+                              FROM reach s
+                              JOIN was w ON w.id = s.id AND w.switched
+                             CROSS JOIN LATERAL (
+                                 SELECT (date_trunc('month', w.ended AT TIME ZONE 'UTC') + interval '1 month')
+                                            AT TIME ZONE 'UTC' AS ends
+                             ) month
+                             WHERE month.ends >= s.until AND NOT s.is_over
+                        ) place
+                       GROUP BY id
+                  ) later ON later.id = s.id

-    SELECT s.id, s.kind, s.running_mode, s.storage_gb, slot.hour, slot.hour >= s.metered_through AS is_new,
+    SELECT s.id, s.kind, NULL::bigint AS also, s.running_mode, s.storage_gb, slot.hour,
+           slot.hour >= s.metered_through AS is_new,

-    SELECT s.id, s.kind, coalesce(r.running_mode, s.running_mode), s.storage_gb, slot.hour, r.workspace_id IS NULL,
+    SELECT s.id, coalesce(v.kind, s.kind), also.kind, coalesce(r.running_mode, c.running_mode), c.storage_gb,
+           slot.hour, r.workspace_id IS NULL,

-           CASE WHEN beyond.yes OR coalesce(r.running_mode, s.running_mode) <> 'AUTO_STOP' THEN 0
+           CASE WHEN beyond.yes OR coalesce(r.running_mode, c.running_mode) <> 'AUTO_STOP' THEN 0

-     CROSS JOIN LATERAL (SELECT s.closing AND coalesce(slot.hour > s.last_hour, true) AS yes) beyond
+     CROSS JOIN LATERAL (SELECT s.closing AND coalesce(slot.hour > s.last_hour, true) AS yes) beyond
+     CROSS JOIN LATERAL (
+         SELECT coalesce(past.bundle_type, s.bundle_type) AS bundle_type,
+                coalesce(past.storage_gb, s.storage_gb) AS storage_gb,
+                CASE WHEN coalesce(past.running_mode, s.running_mode) = 'ALWAYS_ON' OR EXISTS (
+                              SELECT FROM was
+                               WHERE id = s.id AND running_mode = 'ALWAYS_ON' AND ended > month.began
+                                 AND ended <= slot.hour
+                          )
+                     THEN 'ALWAYS_ON' ELSE 'AUTO_STOP'
+                END AS running_mode,
+                coalesce(first.running_mode, s.running_mode) AS first_running_mode
+           FROM (
+               SELECT greatest(
+                   date_trunc('month', slot.hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', costs_hour_of(s.launched_at)
+               ) AS began
+           ) month
+           LEFT JOIN LATERAL (
+               SELECT * FROM was WHERE id = s.id AND ended > slot.hour ORDER BY ended, nr LIMIT 1
+           ) past ON true
+           LEFT JOIN LATERAL (
+               SELECT running_mode FROM was WHERE id = s.id AND ended > month.began ORDER BY ended, nr LIMIT 1
+           ) first ON true
+     ) c
+      LEFT JOIN variant v ON v.id = s.id AND v.bundle_type = c.bundle_type AND v.running_mode = c.running_mode
+      LEFT JOIN variant also ON also.id = s.id AND also.bundle_type = c.bundle_type
+            AND also.running_mode = 'AUTO_STOP' AND c.running_mode = 'ALWAYS_ON'
+            AND c.first_running_mode = 'AUTO_STOP'

-      FROM (SELECT DISTINCT kind, hour FROM slot) asked
+      FROM (
+          SELECT kind, hour FROM slot UNION SELECT also, hour FROM slot WHERE also IS NOT NULL
+      ) asked

-          SELECT DISTINCT kind, organization_id, currency, region, bundle_type, operating_system, running_mode
-            FROM machine
+          SELECT DISTINCT kind, organization_id, currency, region, bundle_type, operating_system, running_mode
+            FROM machine
+          UNION
+          SELECT kind, organization_id, currency, region, bundle_type, operating_system, running_mode
+            FROM variant

-           coalesce(held.id, rate.price_id) AS price_id,
-           coalesce(held.monthly_amount, rate.monthly) AS monthly,
+           CASE WHEN s.also IS NULL OR extra.price_id IS NOT NULL THEN coalesce(held.id, rate.price_id) END
+               AS price_id,
+           coalesce(held.monthly_amount, rate.monthly) AS monthly, coalesce(extra.monthly, 0) AS also_monthly,

-           s.billed * coalesce(held.hourly_amount, rate.hourly) + CASE WHEN s.is_new THEN rate.accrual ELSE 0 END
+           s.billed * coalesce(held.hourly_amount, rate.hourly) + CASE WHEN s.is_new THEN rate.accrual + coalesce(extra.accrual, 0) ELSE 0
+                                                               END

-      LEFT JOIN rate USING (kind, hour)
-      LEFT JOIN costs_price held ON held.id = s.held_price_id
+      LEFT JOIN rate USING (kind, hour)
+      LEFT JOIN rate extra ON extra.kind = s.also AND extra.hour = s.hour
+      LEFT JOIN costs_price held ON held.id = s.held_price_id

-                THEN compute + costs_accrued(monthly, month_end) - costs_accrued(monthly, hour + interval '1 hour')
+                THEN compute + costs_accrued(monthly, month_end) - costs_accrued(monthly, hour + interval '1 hour')
+                     + costs_accrued(also_monthly, month_end)
+                     - costs_accrued(also_monthly, hour + interval '1 hour')

-           c.hour + interval '1 hour', c.seconds, c.billed, w.root_volume_gb + w.user_volume_gb, 0, c.compute,
-           c.storage, 0, c.compute + c.storage, o.currency, 'METERED', w.bundle_type, w.region, w.running_mode,
+           c.hour + interval '1 hour', c.seconds, c.billed, c.storage_gb, 0, c.compute,
+           c.storage, 0, c.compute + c.storage, o.currency, 'METERED', price.bundle_type, w.region,
+           price.running_mode,

-      JOIN workspaces_workspace w ON w.id = c.workspace_id
+      JOIN workspaces_workspace w ON w.id = c.workspace_id
+      JOIN costs_price price ON price.id = c.price_id

-    SELECT s.id, s.hour, s.is_new, s.is_beyond, s.is_last, s.old_compute, s.old_storage, s.seconds, s.billed,
+    SELECT s.id, s.hour, s.is_new, s.is_beyond, s.is_last, s.storage_gb, s.old_compute, s.old_storage, s.seconds, s.billed,

-    SELECT id, hour, is_new, price_id, seconds, billed,
+    SELECT id, hour, is_new, price_id, seconds, billed, storage_gb,

-       array_agg(ROW (id, hour, is_new, price_id, seconds, billed, compute, storage)::costs_change ORDER BY id, hour)
+       array_agg(ROW (id, hour, is_new, price_id, seconds, billed, compute, storage, storage_gb)::costs_change ORDER BY id, hour)
"""


def _changed() -> str:
    book = BEFORE
    for block in PATCH.strip().split("\n\n"):
        old, new = ("\n".join(line[1:] for line in block.split("\n") if line[0] == mark) for mark in "-+")
        if book.count(old) != 1:
            raise ValueError(f"stands {book.count(old)} times in costs_book of migration 0002: {old}")
        book = book.replace(old, new)
    return book


GROW = "ALTER TYPE costs_change ADD ATTRIBUTE storage_gb integer;"
SHRINK = "ALTER TYPE costs_change DROP ATTRIBUTE storage_gb;"

WAKE = """
CREATE FUNCTION costs_metermark_wake_reconfigured() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE costs_metermark
       SET next_due_at = least(next_due_at, NEW.occurred_at), dirty_from = least(dirty_from, NEW.occurred_at),
           updated_at = statement_timestamp()
     WHERE workspace_id = NEW.workspace_id;
    RETURN NULL;
END
$body$;

CREATE TRIGGER costs_metermark_wake_reconfigured AFTER INSERT ON workspaces_configurationchange
FOR EACH ROW EXECUTE FUNCTION costs_metermark_wake_reconfigured();
"""

SLEEP = """
DROP TRIGGER costs_metermark_wake_reconfigured ON workspaces_configurationchange;
DROP FUNCTION costs_metermark_wake_reconfigured();
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0004_detached_months"), ("workspaces", "0005_configuration_changes")]

    operations = [
        migrations.RunSQL(GROW, SHRINK),
        migrations.RunSQL(_changed(), BEFORE),
        migrations.RunSQL(WAKE, SLEEP),
    ]
