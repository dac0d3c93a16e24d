"""Verifications of the log and what they came to; append-only like what they are about.

A verification begins at the checkpoint that an earlier one reached, so these rows decide what is looked at again: the
application's role adds rows and changes none.
"""

from django.db import migrations, models

from forge.db.operations import AppendOnly


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_seals"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditVerification",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                (
                    "scope",
                    models.CharField(
                        choices=[("FULL", "Full"), ("SINCE", "Since"), ("MONTH", "Month"), ("RECEIPT", "Receipt")],
                        max_length=8,
                    ),
                ),
                ("subject", models.CharField(blank=True, help_text="The month, or the receipt.", max_length=128)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("INTACT", "Intact"), ("TAMPERED", "Tampered"), ("UNDECIDED", "Undecided")],
                        max_length=10,
                    ),
                ),
                ("rows", models.PositiveBigIntegerField(default=0)),
                ("after_checkpoint", models.PositiveBigIntegerField(null=True)),
                ("checkpoint", models.PositiveBigIntegerField(null=True)),
                ("tree_size", models.PositiveBigIntegerField(null=True)),
                ("root_hash", models.BinaryField(null=True)),
                ("findings", models.PositiveIntegerField(default=0)),
                ("first", models.JSONField(null=True)),
                ("reason", models.TextField(blank=True)),
                ("correlation_id", models.UUIDField(help_text="Of its entry in the log.")),
            ],
            options={
                "verbose_name": "audit verification",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["FULL", "SINCE", "MONTH", "RECEIPT"])),
                        name="audit_auditverification_scope_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("findings", 0), ("outcome", "INTACT"), ("reason", "")),
                            models.Q(("findings__gt", 0), ("outcome", "TAMPERED"), ("reason", "")),
                            models.Q(
                                ("findings", 0), ("outcome", "UNDECIDED"), models.Q(("reason", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="audit_auditverification_outcome_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("finished_at__gte", models.F("started_at"))),
                        name="audit_auditverification_ends_after_it_began",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("checkpoint__isnull", True), ("root_hash__isnull", True), ("tree_size__isnull", True)
                            ),
                            models.Q(
                                ("checkpoint__isnull", False),
                                ("root_hash__isnull", False),
                                ("tree_size__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="audit_auditverification_reached_whole",
                    ),
                ],
            },
        ),
        AppendOnly("audit_auditverification"),
    ]
