"""Which mail people have switched off; without a row a kind is told.

`outbox_notificationpreference_one_per_kind` serves what one person has chosen: of one kind when
mail is sent, and of all.
"""

import django.utils.timezone
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0002_webhooks"),
    ]

    operations = [
        migrations.CreateModel(
            name="NotificationPreference",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "organization_id",
                    models.UUIDField(blank=True, help_text="Empty = of an operator of the installation.", null=True),
                ),
                ("user_id", models.UUIDField()),
                ("kind", models.CharField(max_length=64)),
                ("channel", models.CharField(choices=[("MAIL", "Mail")], default="MAIL", max_length=10)),
                ("is_on", models.BooleanField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user_id", "kind", "channel"), name="outbox_notificationpreference_one_per_kind"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("channel", "MAIL")), name="outbox_notificationpreference_channel_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", ""), _negated=True), name="outbox_notificationpreference_kind_named"
                    ),
                ],
            },
        ),
    ]
