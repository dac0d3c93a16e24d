"""The table of operations, with the indexes that serve claims and lists.

- `due` (partial: what has not ended): the claim of the next due operation and the sweep, in order of their turn.
- `org`, `owner`, `actor`, `team`: the lists of an organization, a person and a team lead, newest first by keyset.
- `target`: what was ever done to one machine.

The CHECKs keep a lease and a running operation together, an end and its time, a failure and its reason.
"""

import django.db.models.functions.comparison
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization_id", models.UUIDField()),
                (
                    "actor_id",
                    models.UUIDField(blank=True, help_text="Who asked for it; none for jobs and commands.", null=True),
                ),
                ("owner_id", models.UUIDField(blank=True, help_text="Whom the target belongs to.", null=True)),
                ("team_id", models.UUIDField(blank=True, null=True)),
                ("correlation_id", models.UUIDField()),
                ("parent_id", models.UUIDField(blank=True, null=True)),
                ("kind", models.CharField(max_length=64)),
                ("target_type", models.CharField(max_length=64)),
                ("target_id", models.UUIDField()),
                ("spec", models.JSONField(blank=True, default=dict, help_text="What was asked for, as validated.")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("unknown", "Unknown"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("steps", models.JSONField(blank=True, default=list)),
                ("progress", models.PositiveSmallIntegerField(default=0, help_text="Per cent.")),
                ("result", models.JSONField(blank=True, default=dict)),
                ("error", models.JSONField(blank=True, default=dict, help_text="The last fault, or why it failed.")),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("leased_by", models.CharField(blank=True, default="", max_length=200)),
                ("fencing_token", models.PositiveBigIntegerField(default=0)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                (
                    "attempt",
                    models.PositiveIntegerField(default=0, help_text="Claims so far; a poll after a wait is not one."),
                ),
                ("failures", models.PositiveIntegerField(default=0, help_text="Attempts in a row without progress.")),
                ("next_attempt_at", models.DateTimeField(blank=True, null=True)),
                (
                    "cancellable",
                    models.BooleanField(default=True, help_text="Until the handler passes its point of no return."),
                ),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_requested_by", models.UUIDField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "deadline_at",
                    models.DateTimeField(blank=True, help_text="When it was promised to be done.", null=True),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        django.db.models.functions.comparison.Coalesce("lease_expires_at", "next_attempt_at"),
                        models.F("id"),
                        condition=models.Q(("finished_at__isnull", True)),
                        name="operations_operation_due",
                    ),
                    models.Index(fields=["organization_id", "created_at", "id"], name="operations_operation_org"),
                    models.Index(
                        fields=["organization_id", "owner_id", "created_at", "id"], name="operations_operation_owner"
                    ),
                    models.Index(
                        fields=["organization_id", "actor_id", "created_at", "id"], name="operations_operation_actor"
                    ),
                    models.Index(
                        fields=["organization_id", "team_id", "created_at", "id"], name="operations_operation_team"
                    ),
                    models.Index(fields=["target_id", "created_at"], name="operations_operation_target"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                ["queued", "waiting", "running", "succeeded", "failed", "cancelled", "unknown"],
                            )
                        ),
                        name="operations_operation_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("fencing_token__gt", 0),
                                ("heartbeat_at__isnull", False),
                                ("lease_expires_at__isnull", False),
                                ("started_at__isnull", False),
                                ("status", "running"),
                                models.Q(("leased_by", ""), _negated=True),
                            ),
                            models.Q(
                                models.Q(("status", "running"), _negated=True),
                                ("lease_expires_at__isnull", True),
                                ("leased_by", ""),
                            ),
                            _connector="OR",
                        ),
                        name="operations_operation_leased_while_running",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("finished_at__isnull", False), ("status__in", ["succeeded", "failed", "cancelled"])
                            ),
                            models.Q(
                                ("finished_at__isnull", True),
                                ("status__in", ["queued", "waiting", "running", "unknown"]),
                            ),
                            _connector="OR",
                        ),
                        name="operations_operation_finished_when_final",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("next_attempt_at__isnull", False), ("status__in", ["queued", "unknown"])),
                            ("status", "waiting"),
                            models.Q(
                                ("next_attempt_at__isnull", True),
                                ("status__in", ["running", "succeeded", "failed", "cancelled"]),
                            ),
                            _connector="OR",
                        ),
                        name="operations_operation_next_attempt_while_resting",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "failed"), _negated=True),
                            models.Q(("error", {}), _negated=True),
                            _connector="OR",
                        ),
                        name="operations_operation_failed_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("progress__lte", 100)), name="operations_operation_progress_per_cent"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", ""), _negated=True), models.Q(("target_type", ""), _negated=True)
                        ),
                        name="operations_operation_kind_and_target_named",
                    ),
                ],
            },
        ),
    ]
