"""Budgets, their thresholds, what machines hold in them, and the notices of marks.

Look-ups and what serves them:

- the budgets of a scope, and those that bind a launch or a charge: budgets_budget_one_per_scope_and_start (scope_id,
  scope, period_start), of active rows;
- an organization's list, newest period first by keyset: budgets_by_organization;
- marks to fire and periods that have ended: budgets_by_end; rows to adopt and to renew: their own partial indexes,
  which are empty but around the turn of a period; what a recurring budget has written itself: budgets_by_renewed;
- what one machine holds: budgets_reservation_one_live_per_machine (workspace, budget), live rows;
- who holds a budget, and its history: budgets_reservation_by_budget;
- launches to call off: budgets_reservation_expiring.

No index holds spent, reserved or remaining, so booking changes rows in place; the free space of the fill factors keeps
them there. Keys to workspaces and operations are checked at commit: a launch reserves before it writes those rows. The
exclusion constraint stands on btree_gist, which costs.0001 creates.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.functions.comparison
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import costs.expressions
import forge.db.ids

FILL_FORWARD = """
ALTER TABLE budgets_budget SET (fillfactor = 50);
ALTER TABLE budgets_reservation SET (fillfactor = 70);
"""
FILL_REVERSE = """
ALTER TABLE budgets_reservation RESET (fillfactor);
ALTER TABLE budgets_budget RESET (fillfactor);
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("db", "0001_initial"),
        ("costs", "0001_initial"),
        ("accounts", "0001_initial"),
        ("operations", "0001_initial"),
        ("workspaces", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Budget",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("USER", "User"),
                            ("TEAM", "Team"),
                            ("PROJECT", "Project"),
                            ("ORGANIZATION", "Organization"),
                        ],
                        max_length=12,
                    ),
                ),
                ("scope_id", models.UUIDField(help_text="Id of the person, team, project or organization.")),
                ("amount", models.DecimalField(decimal_places=6, max_digits=18)),
                ("period_start", models.DateTimeField(help_text="A whole UTC hour; the period is half-open.")),
                ("period_end", models.DateTimeField(help_text="A whole UTC hour.")),
                (
                    "recurs",
                    models.CharField(
                        choices=[("NONE", "No"), ("MONTHLY", "Monthly"), ("QUARTERLY", "Quarterly")],
                        default="NONE",
                        max_length=10,
                    ),
                ),
                (
                    "renewed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a row of its own carried on; empty = the next period is looked after.",
                        null=True,
                    ),
                ),
                (
                    "renews",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The recurring budget that wrote this row; empty = set by somebody.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="renewals",
                        to="budgets.budget",
                    ),
                ),
                (
                    "on_limit",
                    models.CharField(
                        choices=[("BLOCK_LAUNCHES", "Refuse launches"), ("BLOCK_STARTS", "Refuse launches and starts")],
                        default="BLOCK_LAUNCHES",
                        max_length=16,
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                (
                    "adopted_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When spent and reserved were first taken over; empty = admits nothing yet.",
                        null=True,
                    ),
                ),
                ("spent", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                ("reserved", models.DecimalField(decimal_places=6, default=0, max_digits=18)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="budgets",
                        to="accounts.organization",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Who hears of it first; none = the team's lead, else finance.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Who set it, or the one whose row it carries on; none = a command.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BudgetThreshold",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("fraction", models.DecimalField(decimal_places=4, max_digits=5)),
                ("fired_at", models.DateTimeField(blank=True, null=True)),
                (
                    "budget",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="thresholds",
                        to="budgets.budget",
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
        migrations.CreateModel(
            name="BudgetNotice",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("fired_at", models.DateTimeField(help_text="Which firing of the threshold it tells of.")),
                ("spent", models.DecimalField(decimal_places=6, help_text="Spent when it fired.", max_digits=18)),
                (
                    "due_at",
                    models.DateTimeField(
                        blank=True, help_text="When to send, or to try again; empty = no more.", null=True
                    ),
                ),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
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
                    "recipient",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "threshold",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notices",
                        to="budgets.budgetthreshold",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Reservation",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "amount",
                    models.DecimalField(decimal_places=6, help_text="All that was ever set aside.", max_digits=18),
                ),
                ("remaining", models.DecimalField(decimal_places=6, help_text="What it still holds.", max_digits=18)),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True, help_text="When a launch that never came to anything is called off.", null=True
                    ),
                ),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                ("correlation_id", models.UUIDField()),
                (
                    "budget",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reservations",
                        to="budgets.budget",
                    ),
                ),
                (
                    "operation",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The launch that asked for it; none where adoption or a start made it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="operations.operation",
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
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reservations",
                        to="workspaces.workspace",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(fields=["organization", "period_start", "id"], name="budgets_by_organization"),
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(condition=models.Q(("is_active", True)), fields=["period_end"], name="budgets_by_end"),
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(
                condition=models.Q(("adopted_at__isnull", True), ("is_active", True)),
                fields=["period_start"],
                name="budgets_to_adopt",
            ),
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(
                condition=models.Q(
                    ("is_active", True), ("renewed_at__isnull", True), models.Q(("recurs", "NONE"), _negated=True)
                ),
                fields=["period_end"],
                name="budgets_to_renew",
            ),
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(
                condition=models.Q(("renews__isnull", False)), fields=["renews"], name="budgets_by_renewed"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=models.Q(("is_active", True)),
                expressions=[
                    (django.db.models.functions.comparison.Cast("scope_id", models.TextField()), "="),
                    ("scope", "="),
                    (
                        costs.expressions.Period(
                            "period_start", "period_end", django.contrib.postgres.fields.ranges.RangeBoundary()
                        ),
                        "&&",
                    ),
                ],
                name="budgets_budget_periods_do_not_overlap",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_active", True)),
                fields=("scope_id", "scope", "period_start"),
                name="budgets_budget_one_per_scope_and_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0)), name="budgets_budget_amount_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("spent__gte", 0)), name="budgets_budget_spent_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("reserved__gte", 0)), name="budgets_budget_reserved_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("period_end__gt", models.F("period_start"))),
                name="budgets_budget_ends_after_it_starts",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("period_end", costs.expressions.HourOf("period_end")),
                    ("period_start", costs.expressions.HourOf("period_start")),
                ),
                name="budgets_budget_bounds_are_whole_hours",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope__in", ["USER", "TEAM", "PROJECT", "ORGANIZATION"])),
                name="budgets_budget_scope_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("scope", "ORGANIZATION"), _negated=True),
                    ("scope_id", models.F("organization")),
                    _connector="OR",
                ),
                name="budgets_budget_organization_is_its_scope",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("recurs__in", ["NONE", "MONTHLY", "QUARTERLY"])), name="budgets_budget_recurs_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("on_limit__in", ["BLOCK_LAUNCHES", "BLOCK_STARTS"])),
                name="budgets_budget_on_limit_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.UniqueConstraint(
                fields=("budget", "fraction"), name="budgets_budgetthreshold_one_per_fraction"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("fraction__gt", 0), ("fraction__lte", 1)),
                name="budgets_budgetthreshold_fraction_in_range",
            ),
        ),
        migrations.AddIndex(
            model_name="budgetnotice",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="budgets_notice_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetnotice",
            constraint=models.UniqueConstraint(
                fields=("threshold", "recipient", "fired_at"), name="budgets_budgetnotice_one_per_person"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetnotice",
            constraint=models.CheckConstraint(
                condition=models.Q(("sent_at__isnull", True), ("due_at__isnull", True), _connector="OR"),
                name="budgets_budgetnotice_sent_is_done",
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(fields=["budget", "released_at"], name="budgets_reservation_by_budget"),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("released_at__isnull", True)),
                fields=["expires_at"],
                name="budgets_reservation_expiring",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("released_at__isnull", True)),
                fields=("workspace", "budget"),
                name="budgets_reservation_one_live_per_machine",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("remaining__gte", 0)), name="budgets_reservation_remaining_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("remaining__lte", models.F("amount"))),
                name="budgets_reservation_remaining_within_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("released_at__isnull", True), ("remaining", 0), _connector="OR"),
                name="budgets_reservation_released_holds_nothing",
            ),
        ),
        migrations.RunSQL(FILL_FORWARD, FILL_REVERSE),
    ]
