"""Cost records that were changed keep what they said before: append-only, found by machine and hour."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from forge.db.operations import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("costs", "0009_bills"), ("db", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="CostRevision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("period_start", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("reason", models.CharField(max_length=300)),
                (
                    "actor_id",
                    models.UUIDField(blank=True, help_text="Who changed it; none = a job or command.", null=True),
                ),
                ("correlation_id", models.UUIDField(help_text="As in the audit entry that tells of it.")),
                (
                    "old_basis",
                    models.CharField(
                        choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                        max_length=10,
                    ),
                ),
                ("old_compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("old_storage_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("old_data_transfer_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                (
                    "new_basis",
                    models.CharField(
                        choices=[("ESTIMATED", "Estimated"), ("METERED", "Metered"), ("BILLED", "Billed")],
                        max_length=10,
                    ),
                ),
                ("new_compute_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("new_storage_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("new_data_transfer_cost", models.DecimalField(decimal_places=6, max_digits=18)),
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
        ),
        migrations.AddIndex(
            model_name="costrevision",
            index=models.Index(fields=["workspace", "period_start", "id"], name="costs_costrevision_by_record"),
        ),
        AppendOnly("costs_costrevision"),
    ]
