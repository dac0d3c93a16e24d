"""People's word that group policies of a directory are right, the key of an account's volumes, and three checks.

- `list`: those of an organization, the newest first.
- `place` (partial: what was not withdrawn): which policies of a directory are attested, and until when.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0016_applied_tags"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Attestation",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("directory_id", models.CharField(max_length=32)),
                (
                    "control",
                    models.CharField(
                        choices=[
                            ("clipboard", "Clipboard is off"),
                            ("usb", "USB devices are off"),
                            ("drives", "Drives are not redirected"),
                            ("printing", "Printing is off"),
                            ("watermark", "A watermark is shown"),
                        ],
                        max_length=20,
                    ),
                ),
                ("attested_at", models.DateTimeField()),
                ("valid_until", models.DateTimeField()),
                (
                    "note",
                    models.CharField(
                        help_text="What was looked at: the policy object, a ticket, a report.", max_length=500
                    ),
                ),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="finding",
            name="workspaces_finding_check_known",
        ),
        migrations.AddField(
            model_name="provideraccount",
            name="volume_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Alias or ARN of the KMS key for volumes of new machines; empty = alias/aws/workspaces.",
                max_length=300,
            ),
        ),
        migrations.AlterField(
            model_name="finding",
            name="check_name",
            field=models.CharField(
                choices=[
                    ("protocol", "Protocol is not DCV"),
                    ("volume_encryption", "Volumes are not encrypted"),
                    ("domain_join", "Not joined to its domain"),
                    ("internet_access", "Directory gives machines internet access"),
                    ("self_service", "People may change machines past Forge"),
                    ("local_administrator", "People are administrators of their machines"),
                    ("stack_transfers", "Clipboard, files or printing are open"),
                    ("zero_clients", "PCoIP zero clients may connect"),
                    ("volume_key", "Volumes are encrypted under another key"),
                    ("attestation", "Group policies are not attested"),
                ],
                max_length=30,
                verbose_name="check",
            ),
        ),
        migrations.AddConstraint(
            model_name="finding",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "check_name__in",
                        [
                            "protocol",
                            "volume_encryption",
                            "domain_join",
                            "internet_access",
                            "self_service",
                            "local_administrator",
                            "stack_transfers",
                            "zero_clients",
                            "volume_key",
                            "attestation",
                        ],
                    )
                ),
                name="workspaces_finding_check_known",
            ),
        ),
        migrations.AddField(
            model_name="attestation",
            name="attested_by",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="attestation",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.organization",
            ),
        ),
        migrations.AddField(
            model_name="attestation",
            name="provider_account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attestations",
                to="workspaces.provideraccount",
            ),
        ),
        migrations.AddIndex(
            model_name="attestation",
            index=models.Index(
                models.F("organization"),
                models.OrderBy(models.F("attested_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="workspaces_attestation_list",
            ),
        ),
        migrations.AddIndex(
            model_name="attestation",
            index=models.Index(
                condition=models.Q(("withdrawn_at__isnull", True)),
                fields=["provider_account", "directory_id", "control"],
                name="workspaces_attestation_place",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.CheckConstraint(
                condition=models.Q(("control__in", ["clipboard", "usb", "drives", "printing", "watermark"])),
                name="workspaces_attestation_control_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid_until__gt", models.F("attested_at"))),
                name="workspaces_attestation_ends_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("withdrawn_at__isnull", True), ("withdrawn_at__gte", models.F("attested_at")), _connector="OR"
                ),
                name="workspaces_attestation_withdrawn_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.CheckConstraint(
                condition=models.Q(("note", ""), _negated=True), name="workspaces_attestation_says_what"
            ),
        ),
    ]
