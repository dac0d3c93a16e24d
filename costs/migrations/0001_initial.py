"""The price book, cost records by the month, daily sums and the marks of metering.

Cost records are partitioned by month on `period_start` and have no foreign-key constraints: the ids are copied from
the machine's row, which has them. Partitions have fillfactor 70 (forge.db.partitions.STORAGE), and no index holds a
column that metering changes, so a change stays on its page. `recorded_at` is set by the insert alone.

The nine look-ups that the original documents name, and what serves each; searches stand in an organization:

- workspace, and workspace + period: the primary key (workspace_id, period_start), which is also the one charge per
  machine and UTC hour;
- user, and user + period: costs_record_by_user (organization, user, period_start);
- team, and team + period: costs_record_by_team (organization, team, period_start);
- period_start: pruning to the months, then costs_record_by_hour (organization, period_start, id), which is also the
  keyset of the API's list;
- period_end and recorded_at: costs_record_by_time, one BRIN over both; rows are appended in the order of time.

Daily sums are found by the unique constraint over their group, organization and day first. The mark of a machine is
found by its machine, and what is due by costs_metermark_due, so a sweep with nothing to do reads one index entry.

The exclusion constraint of prices needs btree_gist, a trusted extension: the owner of the database may create it.
"""

import datetime
import uuid

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import costs.expressions
import forge.db.ids
from forge.db.operations import PartitionedTable, RefuseTruncate

COST_RECORD = """
    "id" bigserial NOT NULL,
    "workspace_id" uuid NOT NULL,
    "organization_id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "team_id" uuid NOT NULL,
    "project_id" uuid NULL,
    "blueprint_id" uuid NULL,
    "price_id" uuid NOT NULL,
    "period_start" timestamptz NOT NULL,
    "period_end" timestamptz NOT NULL,
    "recorded_at" timestamptz NOT NULL DEFAULT statement_timestamp(),
    "running_seconds" numeric(10, 6) NOT NULL,
    "billed_hours" numeric(12, 6) NOT NULL,
    "storage_gb" numeric(18, 6) NOT NULL,
    "data_transfer_gb" numeric(18, 6) NOT NULL,
    "compute_cost" numeric(18, 6) NOT NULL,
    "storage_cost" numeric(18, 6) NOT NULL,
    "data_transfer_cost" numeric(18, 6) NOT NULL,
    "total_cost" numeric(18, 6) NOT NULL,
    "currency" varchar(3) NOT NULL,
    "basis" varchar(10) NOT NULL,
    "bundle_type" varchar(20) NOT NULL,
    "region" varchar(32) NOT NULL,
    "running_mode" varchar(10) NOT NULL,
    "cost_center" varchar(100) NOT NULL,
    "tags" jsonb NOT NULL,
    CONSTRAINT "costs_costrecord_one_per_hour" PRIMARY KEY ("workspace_id", "period_start")
"""

ROOM_FORWARD = """
ALTER TABLE costs_dailycost SET (fillfactor = 70);
ALTER TABLE costs_metermark SET (fillfactor = 70);
"""
ROOM_REVERSE = """
ALTER TABLE costs_metermark RESET (fillfactor);
ALTER TABLE costs_dailycost RESET (fillfactor);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("blueprints", "0001_initial"),
        ("workspaces", "0001_initial"),
        ("db", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("region", models.CharField(max_length=32)),
                (
                    "bundle_type",
                    models.CharField(
                        choices=[
                            ("STANDARD", "Standard"),
                            ("PERFORMANCE", "Performance"),
                            ("POWER", "Power"),
                            ("POWERPRO", "PowerPro"),
                            ("GRAPHICS_G4DN", "Graphics.g4dn"),
                            ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "operating_system",
                    models.CharField(choices=[("WINDOWS", "Windows"), ("LINUX", "Linux")], max_length=10),
                ),
                (
                    "running_mode",
                    models.CharField(choices=[("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")], max_length=10),
                ),
                (
                    "monthly_amount",
                    models.DecimalField(decimal_places=6, help_text="Fixed fee of a UTC month.", max_digits=18),
                ),
                (
                    "hourly_amount",
                    models.DecimalField(
                        decimal_places=6, default=0, help_text="Per started hour; 0 for AlwaysOn.", max_digits=18
                    ),
                ),
                (
                    "storage_gb_month_amount",
                    models.DecimalField(
                        decimal_places=6,
                        default=0,
                        help_text="Per GB and month beyond what is included.",
                        max_digits=18,
                    ),
                ),
                (
                    "included_storage_gb",
                    models.PositiveIntegerField(default=0, help_text="Root and user volume together."),
                ),
                (
                    "transfer_gb_amount",
                    models.DecimalField(decimal_places=6, default=0, help_text="Per GB.", max_digits=18),
                ),
                ("currency", models.CharField(help_text="ISO 4217", max_length=3)),
                ("source", models.CharField(help_text="Where the figures were read.", max_length=300)),
                ("as_of", models.DateField(help_text="When they were read there.")),
                ("valid_from", models.DateTimeField(help_text="A whole UTC hour.")),
                (
                    "valid_to",
                    models.DateTimeField(
                        blank=True, help_text="A whole UTC hour; empty = until further notice.", null=True
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        help_text="None = all.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="prices",
                        to="accounts.organization",
                    ),
                ),
            ],
        ),
        PartitionedTable(
            "costs_costrecord",
            key="period_start",
            columns=COST_RECORD,
            state_operations=[
                migrations.CreateModel(
                    name="CostRecord",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("period_start", models.DateTimeField()),
                        ("period_end", models.DateTimeField()),
                        (
                            "recorded_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(),
                                help_text="When the row was made; never changes.",
                            ),
                        ),
                        ("running_seconds", models.DecimalField(decimal_places=6, default=0, max_digits=10)),
                        ("billed_hours", models.DecimalField(decimal_places=6, default=0, max_digits=12)),
                        ("storage_gb", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                        ("data_transfer_gb", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                        ("compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                        ("storage_cost", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                        ("data_transfer_cost", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                        ("total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                        ("currency", models.CharField(max_length=3)),
                        (
                            "basis",
                            models.CharField(
                                choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                                default="METERED",
                                max_length=10,
                            ),
                        ),
                        (
                            "bundle_type",
                            models.CharField(
                                choices=[
                                    ("STANDARD", "Standard"),
                                    ("PERFORMANCE", "Performance"),
                                    ("POWER", "Power"),
                                    ("POWERPRO", "PowerPro"),
                                    ("GRAPHICS_G4DN", "Graphics.g4dn"),
                                    ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
                                ],
                                max_length=20,
                            ),
                        ),
                        ("region", models.CharField(max_length=32)),
                        (
                            "running_mode",
                            models.CharField(
                                choices=[("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")], max_length=10
                            ),
                        ),
                        ("cost_center", models.CharField(blank=True, default="", max_length=100)),
                        ("tags", models.JSONField(blank=True, default=dict)),
                        (
                            "blueprint",
                            models.ForeignKey(
                                blank=True,
                                db_constraint=False,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="blueprints.blueprint",
                            ),
                        ),
                        (
                            "organization",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.organization",
                            ),
                        ),
                        (
                            "project",
                            models.ForeignKey(
                                blank=True,
                                db_constraint=False,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.project",
                            ),
                        ),
                        (
                            "team",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.team",
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "workspace",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="cost_records",
                                to="workspaces.workspace",
                            ),
                        ),
                        (
                            "price",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="costs.price",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("workspace", "period_start"), name="costs_costrecord_one_per_hour"
                            ),
                        ]
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="DailyCost",
            fields=[
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("cost_center", models.CharField(blank=True, default="", max_length=100)),
                (
                    "bundle_type",
                    models.CharField(
                        choices=[
                            ("STANDARD", "Standard"),
                            ("PERFORMANCE", "Performance"),
                            ("POWER", "Power"),
                            ("POWERPRO", "PowerPro"),
                            ("GRAPHICS_G4DN", "Graphics.g4dn"),
                            ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
                        ],
                        max_length=20,
                    ),
                ),
                ("region", models.CharField(max_length=32)),
                (
                    "running_mode",
                    models.CharField(choices=[("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")], max_length=10),
                ),
                (
                    "basis",
                    models.CharField(
                        choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                        default="METERED",
                        max_length=10,
                    ),
                ),
                ("billed_hours", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("storage_cost", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("data_transfer_cost", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("total_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                (
                    "blueprint",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="blueprints.blueprint",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.project",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "organization",
                            "day",
                            "team",
                            "user",
                            "project",
                            "blueprint",
                            "cost_center",
                            "bundle_type",
                            "region",
                            "running_mode",
                            "basis",
                        ),
                        name="costs_dailycost_one_per_group",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total_cost",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("compute_cost"), "+", models.F("storage_cost")
                                    ),
                                    "+",
                                    models.F("data_transfer_cost"),
                                ),
                            )
                        ),
                        name="costs_dailycost_total_is_the_sum",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("basis__in", ["ESTIMATED", "METERED", "BILLED"])),
                        name="costs_dailycost_basis_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MeterMark",
            fields=[
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "workspace",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="workspaces.workspace",
                    ),
                ),
                ("next_due_at", models.DateTimeField(blank=True, null=True)),
                ("dirty_from", models.DateTimeField(blank=True, null=True)),
                ("metered_through", models.DateTimeField(blank=True, null=True)),
                (
                    "running_since",
                    models.DateTimeField(blank=True, help_text="Start of the interval that runs now.", null=True),
                ),
                ("paid_until", models.DateTimeField(blank=True, help_text="End of the last started hour.", null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_due_at__isnull", False)),
                        fields=["next_due_at", "workspace"],
                        name="costs_metermark_due",
                    )
                ],
            },
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
                condition=models.Q(
                    ("hourly_amount__gte", 0),
                    ("monthly_amount__gte", 0),
                    ("storage_gb_month_amount__gte", 0),
                    ("transfer_gb_amount__gte", 0),
                ),
                name="costs_price_amounts_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("running_mode", "ALWAYS_ON"), _negated=True), ("hourly_amount", 0), _connector="OR"
                ),
                name="costs_price_no_hours_when_always_on",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_to__isnull", True), ("valid_to__gt", models.F("valid_from")), _connector="OR"
                ),
                name="costs_price_period_not_empty",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="costs_price_currency_is_iso4217"
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "bundle_type__in",
                        ["STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN"],
                    )
                ),
                name="costs_price_bundle_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("operating_system__in", ["WINDOWS", "LINUX"])),
                name="costs_price_operating_system_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("running_mode__in", ["AUTO_STOP", "ALWAYS_ON"])),
                name="costs_price_running_mode_known",
            ),
        ),
        migrations.AddIndex(
            model_name="costrecord",
            index=models.Index(fields=["organization", "user", "period_start"], name="costs_record_by_user"),
        ),
        migrations.AddIndex(
            model_name="costrecord",
            index=models.Index(fields=["organization", "team", "period_start"], name="costs_record_by_team"),
        ),
        migrations.AddIndex(
            model_name="costrecord",
            index=models.Index(fields=["organization", "period_start", "id"], name="costs_record_by_hour"),
        ),
        migrations.AddIndex(
            model_name="costrecord",
            index=django.contrib.postgres.indexes.BrinIndex(
                fields=["period_end", "recorded_at"], name="costs_record_by_time"
            ),
        ),
        migrations.AddConstraint(
            model_name="costrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "period_end",
                        django.db.models.expressions.CombinedExpression(
                            models.F("period_start"), "+", models.Value(datetime.timedelta(seconds=3600))
                        ),
                    ),
                    ("period_start", costs.expressions.HourOf("period_start")),
                ),
                name="costs_costrecord_is_one_utc_hour",
            ),
        ),
        migrations.AddConstraint(
            model_name="costrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total_cost",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("compute_cost"), "+", models.F("storage_cost")
                            ),
                            "+",
                            models.F("data_transfer_cost"),
                        ),
                    )
                ),
                name="costs_costrecord_total_is_the_sum",
            ),
        ),
        migrations.AddConstraint(
            model_name="costrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("billed_hours__gte", 0),
                    ("compute_cost__gte", 0),
                    ("data_transfer_cost__gte", 0),
                    ("running_seconds__gte", 0),
                    ("running_seconds__lte", 3600),
                    ("storage_cost__gte", 0),
                ),
                name="costs_costrecord_figures_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="costrecord",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["ESTIMATED", "METERED", "BILLED"])),
                name="costs_costrecord_basis_known",
            ),
        ),
        migrations.RunSQL(ROOM_FORWARD, ROOM_REVERSE),
        RefuseTruncate("costs_costrecord"),
    ]
