"""Cost records that were changed keep what they were: append-only, found by machine and hour."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from forge.db.operations import AppendOnly


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0009_bills"),
        ("db", "0001_initial"),
        ("workspaces", "0012_regions_of_a_launch"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
                (
                    "old_basis",
                    models.CharField(
                        choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                        max_length=10,
                    ),
                ),
                (
                    "new_basis",
                    models.CharField(
                        choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                        max_length=10,
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "actor_id",
                    models.UUIDField(blank=True, help_text="Who gave the bill; none for commands and jobs.", null=True),
                ),
                ("operation_id", models.UUIDField()),
                ("recorded_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "new_price",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="costs.price",
                    ),
                ),
                (
                    "old_price",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="costs.price",
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
                        related_name="+",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "recorded_at", "id"], name="costs_revision_by_time"),
                    models.Index(fields=["workspace", "period_start"], name="costs_revision_by_record"),
                    models.Index(fields=["operation_id"], name="costs_revision_by_operation"),
                ],
            },
        ),
        AppendOnly("costs_costrevision"),
    ]
