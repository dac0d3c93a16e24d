"""Advice on what machines cost, one live for each machine and kind, and what accepted advice has saved by month."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("costs", "0012_reports"),
        ("workspaces", "0015_attestations_and_volume_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Advice",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("RIGHT_SIZE", "Right-sizing"),
                            ("RUNNING_MODE", "Running mode"),
                            ("IDLE", "Not used"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[("MODIFY", "Modify"), ("STOP", "Stop"), ("TERMINATE", "Terminate")], max_length=9
                    ),
                ),
                (
                    "changes",
                    models.JSONField(
                        blank=True, default=dict, help_text="Of MODIFY: fields and what they are to become."
                    ),
                ),
                (
                    "before",
                    models.JSONField(
                        blank=True, default=dict, help_text="The machine's configuration that it was made for."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("OPEN", "Open"),
                            ("ACCEPTED", "Accepted"),
                            ("SNOOZED", "Snoozed"),
                            ("DISMISSED", "Dismissed"),
                            ("OBSOLETE", "Obsolete"),
                        ],
                        default="OPEN",
                        max_length=9,
                    ),
                ),
                (
                    "reason",
                    models.CharField(blank=True, default="", help_text="Why it has its status.", max_length=500),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "snoozed_until",
                    models.DateTimeField(blank=True, help_text="Empty = while its reason lasts.", null=True),
                ),
                ("saving_amount", models.DecimalField(decimal_places=6, help_text="A month.", max_digits=18)),
                ("currency", models.CharField(help_text="ISO 4217", max_length=3)),
                ("basis", models.CharField(default="ESTIMATED", max_length=10)),
                (
                    "price_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), help_text="The prices that it was reckoned with.", size=None
                    ),
                ),
                (
                    "confidence",
                    models.CharField(choices=[("HIGH", "High"), ("MEDIUM", "Medium"), ("LOW", "Low")], max_length=6),
                ),
                ("evidence", models.JSONField(default=dict)),
                (
                    "possible_at",
                    models.DateTimeField(blank=True, help_text="From when AWS allows it; empty = now.", null=True),
                ),
                (
                    "best_at",
                    models.DateTimeField(
                        blank=True, help_text="When it costs least; empty = the sooner the better.", null=True
                    ),
                ),
                ("confirmed_at", models.DateTimeField(help_text="When it was last found to hold.")),
                ("operation_id", models.UUIDField(blank=True, help_text="What carries it out.", null=True)),
                ("effective_at", models.DateTimeField(blank=True, null=True)),
                (
                    "closed_at",
                    models.DateTimeField(
                        blank=True, help_text="To when its savings were reckoned, at last.", null=True
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="None = it came about by itself.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
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
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="advice", to="workspaces.workspace"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "advice",
            },
        ),
        migrations.CreateModel(
            name="AdviceSaving",
            fields=[
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("month", models.DateField(help_text="First day of the UTC month.")),
                ("through", models.DateTimeField(help_text="Up to where the month is reckoned.")),
                ("would_have_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("booked_cost", models.DecimalField(decimal_places=6, max_digits=18)),
                ("saved_amount", models.DecimalField(decimal_places=6, max_digits=18)),
                ("basis", models.CharField(help_text="METERED where the hours were, else ESTIMATED.", max_length=10)),
                (
                    "advice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="savings",
                        to="costs.advice",
                    ),
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
        ),
        migrations.AddIndex(
            model_name="advice",
            index=models.Index(
                models.F("organization"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="costs_advice_list",
            ),
        ),
        migrations.AddIndex(
            model_name="advice",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True), ("status", "ACCEPTED")),
                fields=["id"],
                name="costs_advice_counting",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ["OPEN", "SNOOZED", "DISMISSED"]),
                    models.Q(("effective_at__isnull", True), ("status", "ACCEPTED")),
                    _connector="OR",
                ),
                fields=("workspace", "kind"),
                name="costs_advice_one_live",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["RIGHT_SIZE", "RUNNING_MODE", "IDLE"])), name="costs_advice_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("action", "MODIFY"), models.Q(("changes", {}), _negated=True)),
                    models.Q(("action__in", ["STOP", "TERMINATE"]), ("changes", {})),
                    _connector="OR",
                ),
                name="costs_advice_action_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["OPEN", "ACCEPTED", "SNOOZED", "DISMISSED", "OBSOLETE"])),
                name="costs_advice_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("confidence__in", ["HIGH", "MEDIUM", "LOW"])), name="costs_advice_confidence_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis", "ESTIMATED")), name="costs_advice_is_an_estimate"
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status", "OPEN"),
                    models.Q(("decided_at__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="costs_advice_decided",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "ACCEPTED"), _negated=True), ("operation_id__isnull", False), _connector="OR"
                ),
                name="costs_advice_accepted_has_operation",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("effective_at__isnull", True), ("status", "ACCEPTED"), _connector="OR"),
                name="costs_advice_effective_when_accepted",
            ),
        ),
        migrations.AddConstraint(
            model_name="advice",
            constraint=models.CheckConstraint(
                condition=models.Q(("closed_at__isnull", True), ("effective_at__isnull", False), _connector="OR"),
                name="costs_advice_closed_when_effective",
            ),
        ),
        migrations.AddConstraint(
            model_name="advicesaving",
            constraint=models.UniqueConstraint(fields=("advice", "month"), name="costs_advicesaving_one_per_month"),
        ),
        migrations.AddConstraint(
            model_name="advicesaving",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "saved_amount",
                        django.db.models.expressions.CombinedExpression(
                            models.F("would_have_cost"), "-", models.F("booked_cost")
                        ),
                    )
                ),
                name="costs_advicesaving_is_the_difference",
            ),
        ),
        migrations.AddConstraint(
            model_name="advicesaving",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["METERED", "ESTIMATED"])), name="costs_advicesaving_basis_known"
            ),
        ),
    ]
