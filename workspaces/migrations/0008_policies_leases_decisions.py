"""Ceilings of organizations, teams and blueprint families; work leases; and the decisions of the rules.

Leases and decisions are append-only. A policy whose machines have still to be marked is found by
`workspaces_policy_unspread`; `spread_after` is how far that has come, so a run that is killed is gone on with.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids
from forge.db.operations import AppendOnly


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("db", "0001_initial"),
        ("workspaces", "0007_lifecycle_rules"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("idle", "Idle"),
                            ("session", "Longest run"),
                            ("lifetime", "Lifetime"),
                            ("stale", "Stale"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("warned", "Warned"),
                            ("stop", "Stop queued"),
                            ("flag", "Flagged as stale"),
                            ("terminate", "End queued"),
                        ],
                        max_length=10,
                    ),
                ),
                ("inputs", models.JSONField()),
                ("operation_id", models.UUIDField(blank=True, null=True)),
                ("correlation_id", models.UUIDField()),
                ("decided_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="LifecyclePolicy",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "blueprint_name",
                    models.CharField(
                        blank=True, default="", help_text="Family of blueprints; empty = any.", max_length=100
                    ),
                ),
                (
                    "idle_minutes",
                    models.PositiveIntegerField(blank=True, help_text="Longest idle time before a stop.", null=True),
                ),
                (
                    "session_hours",
                    models.PositiveIntegerField(blank=True, help_text="Longest run, used or leased or not.", null=True),
                ),
                (
                    "lifetime_days",
                    models.PositiveIntegerField(
                        blank=True, help_text="Longest lifetime from the launch on.", null=True
                    ),
                ),
                ("lease_hours", models.PositiveIntegerField(blank=True, help_text="Longest lease.", null=True)),
                (
                    "keep_alive_days",
                    models.PositiveIntegerField(blank=True, help_text="Longest keep-alive.", null=True),
                ),
                (
                    "effective_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="When its ceilings were last changed."
                    ),
                ),
                ("spread_after", models.UUIDField(blank=True, editable=False, null=True)),
                ("is_spread", models.BooleanField(default=False, editable=False)),
            ],
            options={
                "verbose_name_plural": "lifecycle policies",
            },
        ),
        migrations.CreateModel(
            name="WorkLease",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
                ("reason", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="decision",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.organization",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="workspaces.workspace",
            ),
        ),
        migrations.AddField(
            model_name="lifecyclepolicy",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lifecycle_policies",
                to="accounts.organization",
            ),
        ),
        migrations.AddField(
            model_name="lifecyclepolicy",
            name="team",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lifecycle_policies",
                to="accounts.team",
            ),
        ),
        migrations.AddField(
            model_name="worklease",
            name="created_by",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="worklease",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.organization",
            ),
        ),
        migrations.AddField(
            model_name="worklease",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="leases",
                to="workspaces.workspace",
            ),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("decided_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="workspaces_decision_of",
            ),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.CheckConstraint(
                condition=models.Q(("rule__in", ["idle", "session", "lifetime", "stale"])),
                name="workspaces_decision_rule_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.CheckConstraint(
                condition=models.Q(("outcome__in", ["warned", "stop", "flag", "terminate"])),
                name="workspaces_decision_outcome_known",
            ),
        ),
        migrations.AddIndex(
            model_name="lifecyclepolicy",
            index=models.Index(
                condition=models.Q(("is_spread", False)), fields=["id"], name="workspaces_policy_unspread"
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.UniqueConstraint(
                fields=("organization", "team", "blueprint_name"),
                name="workspaces_lifecyclepolicy_one_per_scope",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("team__isnull", True), ("blueprint_name", ""), _connector="OR"),
                name="workspaces_lifecyclepolicy_of_one_scope",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("idle_minutes__isnull", True),
                    models.Q(("idle_minutes__gte", 15), ("idle_minutes__lte", 2880)),
                    _connector="OR",
                ),
                name="workspaces_lifecyclepolicy_idle_minutes_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("session_hours__isnull", True),
                    models.Q(("session_hours__gte", 1), ("session_hours__lte", 8760)),
                    _connector="OR",
                ),
                name="workspaces_lifecyclepolicy_session_hours_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("lifetime_days__isnull", True),
                    models.Q(("lifetime_days__gte", 1), ("lifetime_days__lte", 3650)),
                    _connector="OR",
                ),
                name="workspaces_lifecyclepolicy_lifetime_days_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("lease_hours__isnull", True),
                    models.Q(("lease_hours__gte", 1), ("lease_hours__lte", 8760)),
                    _connector="OR",
                ),
                name="workspaces_lifecyclepolicy_lease_hours_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="lifecyclepolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("keep_alive_days__isnull", True),
                    models.Q(("keep_alive_days__gte", 1), ("keep_alive_days__lte", 365)),
                    _connector="OR",
                ),
                name="workspaces_lifecyclepolicy_keep_alive_days_in_range",
            ),
        ),
        migrations.AddIndex(
            model_name="worklease",
            index=models.Index(fields=["workspace", "until"], name="workspaces_lease_until"),
        ),
        migrations.AddConstraint(
            model_name="worklease",
            constraint=models.CheckConstraint(
                condition=models.Q(("until__gt", models.F("created_at"))), name="workspaces_worklease_ends_later"
            ),
        ),
        migrations.AddConstraint(
            model_name="worklease",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="workspaces_worklease_has_reason"
            ),
        ),
        AppendOnly("workspaces_worklease"),
        AppendOnly("workspaces_decision"),
    ]
