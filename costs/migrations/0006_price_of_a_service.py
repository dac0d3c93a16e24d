"""A price belongs to one service: an hour of streaming does not cost what an hour of a computer of that size does.

Prices that stand are of WorkSpaces Personal. Metering looks a machine's price up by its service too; the function that
does it (`costs_book`) is taken as it stands and given a few more words of SQL, so that it keeps whatever else has been
changed in it. Going back fails while two services have prices at the same time for what is then the same.
"""

import uuid

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.functions.comparison
from django.db import migrations, models

import costs.expressions

EDIT = """
DO $edit$
DECLARE
    body text := pg_get_functiondef('costs_book(uuid[], timestamptz, interval, boolean)'::regprocedure);
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[{pairs}] LOOP
        IF strpos(body, pair[1]) = 0 THEN
            RAISE EXCEPTION 'costs_book does not say: %', pair[1];
        END IF;
        body := replace(body, pair[1], pair[2]);
    END LOOP;
    EXECUTE body;
END
$edit$;
"""

PAIRS = (
    ("SELECT w.id, w.organization_id, o.currency,", "SELECT w.id, w.organization_id, o.currency, w.service_type,"),
    ("ORDER BY w.running_mode, w.operating_system,", "ORDER BY w.service_type, w.running_mode, w.operating_system,"),
    ("SELECT DISTINCT kind, organization_id,", "SELECT DISTINCT kind, service_type, organization_id,"),
    # Only machines of WorkSpaces Personal are modified, so what one has been is of that service.
    (
        "SELECT kind, organization_id, currency, region,",
        "SELECT kind, ''WORKSPACES_PERSONAL'', organization_id, currency, region,",
    ),
    ("own.running_mode = m.running_mode", "own.running_mode = m.running_mode AND own.service_type = m.service_type"),
    (
        "common.running_mode = m.running_mode",
        "common.running_mode = m.running_mode AND common.service_type = m.service_type",
    ),
)


def edit(pairs):
    return EDIT.format(pairs=", ".join(f"ARRAY['{there}', '{wanted}']" for there, wanted in pairs))


class Migration(migrations.Migration):
    dependencies = [("costs", "0005_configuration_changes"), ("workspaces", "0006_application_stacks")]

    operations = [
        migrations.RemoveConstraint(
            model_name="price",
            name="costs_price_no_two_at_once",
        ),
        migrations.AddField(
            model_name="price",
            name="service_type",
            field=models.CharField(
                choices=[
                    ("WORKSPACES_PERSONAL", "WorkSpaces Personal"),
                    ("WORKSPACES_APPLICATIONS", "WorkSpaces Applications"),
                ],
                default="WORKSPACES_PERSONAL",
                max_length=30,
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    (
                        django.db.models.functions.comparison.Coalesce(
                            "organization",
                            models.Value(
                                uuid.UUID("00000000-0000-0000-0000-000000000000"), output_field=models.UUIDField()
                            ),
                        ),
                        "=",
                    ),
                    ("service_type", "="),
                    ("region", "="),
                    ("bundle_type", "="),
                    ("operating_system", "="),
                    ("running_mode", "="),
                    ("currency", "="),
                    (
                        costs.expressions.Period(
                            "valid_from", "valid_to", django.contrib.postgres.fields.ranges.RangeBoundary()
                        ),
                        "&&",
                    ),
                ],
                name="costs_price_no_two_at_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("service_type__in", ["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"])),
                name="costs_price_service_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("service_type", "WORKSPACES_PERSONAL"), ("running_mode", "AUTO_STOP"), _connector="OR"
                ),
                name="costs_price_applications_have_no_running_mode",
            ),
        ),
        migrations.RunSQL(edit(PAIRS), edit([(wanted, there) for there, wanted in PAIRS])),
    ]
