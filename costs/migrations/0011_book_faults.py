"""Faults of the books, which the nightly proof finds: what stands is one row of a day, tag or budget."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0010_tag_sums"),
    ]

    operations = [
        migrations.CreateModel(
            name="BookFault",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("DAILY", "Daily sums and records"),
                            ("TAG", "Sums by tag and records"),
                            ("BUDGET", "A budget's spent and the costs of its scope"),
                        ],
                        max_length=6,
                    ),
                ),
                ("day", models.DateField(blank=True, help_text="UTC; none of a budget.", null=True)),
                (
                    "subject",
                    models.CharField(
                        blank=True, default="", help_text="The tag's key or the budget's id.", max_length=127
                    ),
                ),
                ("expected", models.DecimalField(decimal_places=6, help_text="By the records.", max_digits=20)),
                ("found", models.DecimalField(decimal_places=6, max_digits=20)),
                (
                    "groups",
                    models.PositiveIntegerField(
                        default=1, help_text="Sums that differ; `expected` and `found` are of these."
                    ),
                ),
                ("seen_at", models.DateTimeField(help_text="When it was found first.")),
                ("last_seen_at", models.DateTimeField()),
                (
                    "resolved_at",
                    models.DateTimeField(blank=True, help_text="When the books were found to agree again.", null=True),
                ),
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
                "indexes": [models.Index(fields=["organization", "id"], name="costs_bookfault_list")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("organization", "kind", "day", "subject"),
                        name="costs_bookfault_one_open",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["DAILY", "TAG", "BUDGET"])), name="costs_bookfault_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "BUDGET"), ("day__isnull", False), _connector="XOR"),
                        name="costs_bookfault_day_unless_budget",
                    ),
                ],
            },
        ),
    ]
