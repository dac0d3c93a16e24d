"""The ids, the trigger functions and the job tables that every other room's migrations stand on.

`forge_uuid7()` makes a UUIDv7 (RFC 9562, method 3: milliseconds, then the microseconds of the millisecond in the 12
bits of rand_a, then 62 random bits) for set-based INSERTs; PostgreSQL has its own only from version 18.

`forge_append_only(columns...)` and `forge_refuse_truncate()` are the functions behind the migration operations
`AppendOnly` and `RefuseTruncate`.

The extension btree_gist (trusted: the database's owner may create it) serves every EXCLUDE constraint. It is made here
once, or the first room to go back to zero would take it from the others.

The unique constraint on JobRun (job, slot) serves the claim of a slot, the last run of each job and the purge.
"""

import django.utils.timezone
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models

import forge.db.ids

FUNCTIONS_FORWARD = """
CREATE FUNCTION forge_uuid7() RETURNS uuid LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $body$
DECLARE
    us bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    -- The last 17 characters of a random UUID are its variant bits and 62 random ones.
    RETURN (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0')
            || right(gen_random_uuid()::text, 17))::uuid;
END
$body$;

CREATE FUNCTION forge_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    erased jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND TG_NARGS > 0 THEN
        SELECT jsonb_object_agg(name, NULL) INTO erased
          FROM unnest(TG_ARGV) AS name WHERE to_jsonb(NEW) -> name = 'null';
        -- *= compares bytes: a number that only changes its scale is a change too.
        IF erased IS NOT NULL AND jsonb_populate_record(OLD, erased) *= NEW THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of % is refused: its rows are append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'RF001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
              HINT = 'Record a new row that corrects the old one.';
END
$body$;

CREATE FUNCTION forge_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused', TG_TABLE_NAME
        USING ERRCODE = 'RF001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END
$body$;
"""

FUNCTIONS_REVERSE = """
DROP FUNCTION forge_refuse_truncate();
DROP FUNCTION forge_append_only();
DROP FUNCTION forge_uuid7();
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        BtreeGistExtension(),
        migrations.RunSQL(FUNCTIONS_FORWARD, FUNCTIONS_REVERSE),
        migrations.CreateModel(
            name="JobRun",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("job", models.CharField(max_length=100)),
                ("slot", models.DateTimeField(help_text="Start of the slot of the schedule that this run claimed.")),
                ("attempt", models.PositiveIntegerField(default=1)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("RUNNING", "Running"),
                            ("SUCCEEDED", "Succeeded"),
                            ("FAILED", "Failed"),
                            ("PAUSED", "Paused"),
                            ("LOST", "Lost"),
                        ],
                        default="RUNNING",
                        max_length=10,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("figures", models.JSONField(blank=True, default=dict)),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("job", "slot"), name="db_jobrun_job_slot"),
                    models.CheckConstraint(
                        condition=models.Q(("outcome__in", ["RUNNING", "SUCCEEDED", "FAILED", "PAUSED", "LOST"])),
                        name="db_jobrun_outcome",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("outcome", "SUCCEEDED"), _negated=True),
                            ("finished_at__isnull", False),
                            _connector="OR",
                        ),
                        name="db_jobrun_success_is_finished",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JobSwitch",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("job", models.CharField(max_length=100)),
                ("organization_id", models.UUIDField(blank=True, null=True)),
                ("is_paused", models.BooleanField(default=True)),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
            ],
            options={
                "verbose_name_plural": "job switches",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("job", "organization_id"), name="db_jobswitch_job_organization", nulls_distinct=False
                    )
                ],
            },
        ),
    ]
