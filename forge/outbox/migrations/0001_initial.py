"""The outbox: one row per mail, committed with what it tells.

- `due` (partial: what is still to be sent): the claim of the mail due longest.
- `org`, `recipient`, `target`: the list of an organization, what somebody was told, what was told of one machine.
- `written_once`: one mail per fact and person, whoever writes it and however often.

No foreign keys: the foundation knows neither people nor machines.
"""

import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization_id", models.UUIDField()),
                ("recipient_id", models.UUIDField(help_text="Who gets it; the address is looked up when it is sent.")),
                ("kind", models.CharField(max_length=64)),
                ("facts", models.JSONField(blank=True, default=dict)),
                ("target_type", models.CharField(help_text="What it is about.", max_length=64)),
                ("target_id", models.UUIDField()),
                ("correlation_id", models.UUIDField(blank=True, null=True)),
                (
                    "dedupe_key",
                    models.CharField(
                        help_text="What it tells to whom: written once, whoever writes it.", max_length=200
                    ),
                ),
                ("message_id", models.CharField(help_text="Its Message-ID, the same at every try.", max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DUE", "To be sent"),
                            ("SENT", "Sent"),
                            ("GIVEN_UP", "Given up"),
                            ("WITHDRAWN", "Not sent any more"),
                        ],
                        default="DUE",
                        max_length=10,
                    ),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        blank=True, help_text="When to send, or to try again; empty = no more.", null=True
                    ),
                ),
                (
                    "useless_after",
                    models.DateTimeField(blank=True, help_text="After this it tells nobody anything.", null=True),
                ),
                (
                    "attempts",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Tries so far, those of vanished senders too."
                    ),
                ),
                ("last_error", models.TextField(blank=True, default="")),
                ("withdrawn_because", models.CharField(blank=True, default="", max_length=200)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "mail",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at", "id"], name="outbox_mail_due"
                    ),
                    models.Index(fields=["organization_id", "id"], name="outbox_mail_org"),
                    models.Index(fields=["recipient_id", "id"], name="outbox_mail_recipient"),
                    models.Index(fields=["target_id", "id"], name="outbox_mail_target"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("dedupe_key",), name="outbox_mail_written_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["DUE", "SENT", "GIVEN_UP", "WITHDRAWN"])),
                        name="outbox_mail_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("due_at__isnull", False), ("state", "DUE")),
                            models.Q(models.Q(("state", "DUE"), _negated=True), ("due_at__isnull", True)),
                            _connector="OR",
                        ),
                        name="outbox_mail_due_while_to_be_sent",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("sent_at__isnull", False), ("state", "SENT")),
                            models.Q(models.Q(("state", "SENT"), _negated=True), ("sent_at__isnull", True)),
                            _connector="OR",
                        ),
                        name="outbox_mail_sent_has_its_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "WITHDRAWN"), _negated=True),
                            models.Q(("withdrawn_because", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="outbox_mail_withdrawn_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "GIVEN_UP"), _negated=True),
                            models.Q(("last_error", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="outbox_mail_given_up_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", ""), _negated=True),
                            models.Q(("target_type", ""), _negated=True),
                            models.Q(("message_id", ""), _negated=True),
                            models.Q(("dedupe_key", ""), _negated=True),
                        ),
                        name="outbox_mail_kind_and_target_named",
                    ),
                ],
            },
        ),
    ]
