"""Webhooks, what is delivered to them, and each try.

- `outbox_webhookdelivery_due` (partial: what is still to be sent): the claim of the delivery due longest.
- `outbox_webhookdelivery_once`: one delivery per fact and webhook, whoever writes it.
- A removed webhook keeps neither its address nor a secret; its deliveries are purged after thirty days.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization_id", models.UUIDField()),
                (
                    "team_id",
                    models.UUIDField(
                        blank=True, help_text="Hears only what is about this team; empty = all.", null=True
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("url", models.CharField(blank=True, max_length=2000)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Empty = every kind.",
                        size=None,
                    ),
                ),
                (
                    "is_about_money",
                    models.BooleanField(default=False, editable=False, help_text="Whether all its kinds are."),
                ),
                (
                    "owner_id",
                    models.UUIDField(
                        blank=True, help_text="Who made it, and is told when it is switched off.", null=True
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ON", "On"),
                            ("OFF", "Switched off"),
                            ("FAILED", "Switched off after long failure"),
                            ("REMOVED", "Removed"),
                        ],
                        default="ON",
                        max_length=10,
                    ),
                ),
                ("state_since", models.DateTimeField(default=django.utils.timezone.now)),
                ("secret", models.BinaryField(blank=True, help_text="Encrypted.")),
                ("former_secret", models.BinaryField(blank=True, default=b"", help_text="Encrypted; empty = none.")),
                ("former_secret_until", models.DateTimeField(blank=True, null=True)),
                ("failures", models.PositiveIntegerField(default=0, help_text="Tries in a row that failed.")),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "rests_until",
                    models.DateTimeField(blank=True, help_text="After a failure nothing is sent before.", null=True),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["organization_id", "id"], name="outbox_webhook_org")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["ON", "OFF", "FAILED", "REMOVED"])),
                        name="outbox_webhook_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("former_secret", b""), ("secret", b""), ("state", "REMOVED"), ("url", "")),
                            models.Q(
                                models.Q(("state", "REMOVED"), _negated=True),
                                models.Q(("url", ""), _negated=True),
                                models.Q(("secret", b""), _negated=True),
                                models.Q(("name", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="outbox_webhook_removed_keeps_no_secret",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("former_secret", b""), ("former_secret_until__isnull", True)),
                            models.Q(
                                models.Q(("former_secret", b""), _negated=True), ("former_secret_until__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="outbox_webhook_former_secret_ends",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("failing_since__isnull", True), ("failures", 0)),
                            models.Q(("failing_since__isnull", False), ("failures__gt", 0)),
                            _connector="OR",
                        ),
                        name="outbox_webhook_failing_has_its_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization_id", models.UUIDField()),
                (
                    "event_id",
                    models.UUIDField(help_text="Its webhook-id: the same at every try and for every webhook."),
                ),
                ("kind", models.CharField(max_length=64)),
                ("body", models.TextField()),
                (
                    "dedupe_key",
                    models.CharField(help_text="What it tells: written once, whoever writes it.", max_length=200),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DUE", "To be sent"),
                            ("DELIVERED", "Delivered"),
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
                ("tried_until", models.DateTimeField(help_text="What fails after this is given up.")),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, help_text="Tries so far, those of vanished senders too."),
                ),
                (
                    "earlier_attempts",
                    models.PositiveIntegerField(default=0, help_text="Of them, those before it was sent by hand."),
                ),
                ("delivered_at", models.DateTimeField(blank=True, help_text="When it was last taken.", null=True)),
                ("last_error", models.CharField(blank=True, default="", max_length=300)),
                (
                    "webhook",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="outbox.webhook",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
            },
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("organization_id", models.UUIDField()),
                ("number", models.PositiveIntegerField()),
                ("began_at", models.DateTimeField()),
                ("milliseconds", models.PositiveIntegerField()),
                (
                    "status_code",
                    models.PositiveSmallIntegerField(blank=True, help_text="Empty = no answer came.", null=True),
                ),
                ("error", models.CharField(blank=True, default="", max_length=300)),
                (
                    "excerpt",
                    models.CharField(blank=True, default="", help_text="How the answer's body began.", max_length=200),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempt_rows",
                        to="outbox.webhookdelivery",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["due_at", "id"],
                name="outbox_webhookdelivery_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["organization_id", "id"], name="outbox_webhookdelivery_org"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["webhook", "id"], name="outbox_webhookdelivery_webhook"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(fields=("webhook", "dedupe_key"), name="outbox_webhookdelivery_once"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["DUE", "DELIVERED", "GIVEN_UP", "WITHDRAWN"])),
                name="outbox_webhookdelivery_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("due_at__isnull", False), ("state", "DUE")),
                    models.Q(models.Q(("state", "DUE"), _negated=True), ("due_at__isnull", True)),
                    _connector="OR",
                ),
                name="outbox_webhookdelivery_due_while_to_be_sent",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "DELIVERED"), _negated=True), ("delivered_at__isnull", False), _connector="OR"
                ),
                name="outbox_webhookdelivery_delivered_has_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["GIVEN_UP", "WITHDRAWN"]), _negated=True),
                    models.Q(("last_error", ""), _negated=True),
                    _connector="OR",
                ),
                name="outbox_webhookdelivery_end_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", ""), _negated=True),
                    models.Q(("body", ""), _negated=True),
                    models.Q(("dedupe_key", ""), _negated=True),
                ),
                name="outbox_webhookdelivery_tells_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookattempt",
            constraint=models.UniqueConstraint(fields=("delivery", "number"), name="outbox_webhookattempt_number"),
        ),
        migrations.AddConstraint(
            model_name="webhookattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status_code__isnull", False), models.Q(("error", ""), _negated=True), _connector="OR"
                ),
                name="outbox_webhookattempt_says_what_came",
            ),
        ),
    ]
