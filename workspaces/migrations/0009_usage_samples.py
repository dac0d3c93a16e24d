"""Samples of the use of machines by the month, without foreign keys: rows come by the thousand each five minutes.

The primary key (workspace_id, at, source) makes writing idempotent and finds the newest samples of a machine. Months
leave as those of cost records do.
"""

import django.db.models.deletion
from django.db import migrations, models

from forge.db.operations import DetachedMonths, PartitionedTable, RefuseTruncate

TABLE = "workspaces_usagesample"

COLUMNS = """
    "id" bigserial NOT NULL,
    "workspace_id" uuid NOT NULL,
    "organization_id" uuid NOT NULL,
    "at" timestamptz NOT NULL,
    "source" varchar(10) NOT NULL,
    "connected" boolean NULL,
    "cpu" double precision NULL,
    "memory" double precision NULL,
    "in_session_latency" double precision NULL,
    CONSTRAINT "workspaces_usagesample_once" PRIMARY KEY ("workspace_id", "at", "source"),
    CONSTRAINT "workspaces_usagesample_source_known" CHECK ("source" IN ('CONNECTION', 'CLOUDWATCH'))
"""


class Migration(migrations.Migration):
    dependencies = [("db", "0002_archived_months"), ("workspaces", "0008_policies_leases_decisions")]

    operations = [
        PartitionedTable(
            TABLE,
            key="at",
            columns=COLUMNS,
            state_operations=[
                migrations.CreateModel(
                    name="UsageSample",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("at", models.DateTimeField()),
                        (
                            "source",
                            models.CharField(
                                choices=[("CONNECTION", "Connection status"), ("CLOUDWATCH", "CloudWatch")],
                                max_length=10,
                            ),
                        ),
                        ("connected", models.BooleanField(null=True)),
                        ("cpu", models.FloatField(null=True)),
                        ("memory", models.FloatField(null=True)),
                        ("in_session_latency", models.FloatField(null=True)),
                    ],
                ),
                migrations.AddField(
                    model_name="usagesample",
                    name="organization",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                migrations.AddField(
                    model_name="usagesample",
                    name="workspace",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="usage_samples",
                        to="workspaces.workspace",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="usagesample",
                    constraint=models.UniqueConstraint(
                        fields=("workspace", "at", "source"), name="workspaces_usagesample_once"
                    ),
                ),
                migrations.AddConstraint(
                    model_name="usagesample",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("source__in", ["CONNECTION", "CLOUDWATCH"])),
                        name="workspaces_usagesample_source_known",
                    ),
                ),
            ],
        ),
        RefuseTruncate(TABLE),
        DetachedMonths(TABLE, key="at"),
    ]
