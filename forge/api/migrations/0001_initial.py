"""The API's own two tables.

IdempotencyKey: the unique constraint on (credential, key) is the lock at which the twin of a running request waits; the
index on expires_at serves the purge. DenialCount: its unique constraint takes the upsert of each 401 and 429 and, as
minute stands first, serves the sweep of minutes that are over. Both have plain bigint keys: nobody addresses a row.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DenialCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source_ip", models.CharField(blank=True, max_length=45)),
                ("credential_prefix", models.CharField(blank=True, max_length=32)),
                ("status", models.PositiveSmallIntegerField()),
                ("minute", models.DateTimeField(help_text="Start of the minute.")),
                ("count", models.PositiveIntegerField(default=1)),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("minute", "source_ip", "credential_prefix", "status"),
                        name="api_denialcount_one_row_per_minute",
                    ),
                    models.CheckConstraint(
                        condition=Q(status__in=[401, 429]), name="api_denialcount_status_is_counted"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("organization_id", models.UUIDField(blank=True, null=True)),
                ("credential", models.CharField(help_text="token:<id>, or user:<id> of a session.", max_length=100)),
                ("key", models.CharField(max_length=255)),
                (
                    "request_hash",
                    models.BinaryField(help_text="SHA-256 of method, path, query and body.", max_length=32),
                ),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.TextField(default="")),
                ("receipt", models.CharField(default="", max_length=200)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="api_idempotencykey_expiry")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("credential", "key"), name="api_idempotencykey_once_per_credential"
                    ),
                    models.CheckConstraint(
                        condition=Q(status__isnull=True) | Q(status__range=(200, 299)) | Q(status=422),
                        name="api_idempotencykey_only_answers_that_are_kept",
                    ),
                ],
            },
        ),
    ]
