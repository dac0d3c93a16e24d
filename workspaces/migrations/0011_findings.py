"""What of machines, directories and stacks is not as safe as it should be: one open finding per subject and check."""

import django.db.models.deletion
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0010_quarantines"),
    ]

    operations = [
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("subject", models.CharField(max_length=255)),
                (
                    "check_name",
                    models.CharField(
                        choices=[
                            ("protocol", "Protocol is not DCV"),
                            ("volume_encryption", "Volumes are not encrypted"),
                            ("domain_join", "Not joined to its domain"),
                            ("internet_access", "Directory gives machines internet access"),
                            ("self_service", "People may change machines past Forge"),
                            ("local_administrator", "People are administrators of their machines"),
                            ("stack_transfers", "Clipboard, files or printing are open"),
                        ],
                        max_length=30,
                        verbose_name="check",
                    ),
                ),
                ("severity", models.CharField(choices=[("HIGH", "High"), ("MEDIUM", "Medium")], max_length=10)),
                ("detail", models.JSONField(default=dict)),
                ("found_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
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
                    "provider_account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="findings",
                        to="workspaces.provideraccount",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="findings",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("organization"),
                        models.OrderBy(models.F("found_at"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="workspaces_finding_list",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("provider_account", "subject", "check_name"),
                        name="workspaces_finding_one_open",
                    ),
                    models.CheckConstraint(
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
                                ],
                            )
                        ),
                        name="workspaces_finding_check_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("severity__in", ["HIGH", "MEDIUM"])),
                        name="workspaces_finding_severity_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("resolved_at__isnull", True), ("resolved_at__gte", models.F("found_at")), _connector="OR"
                        ),
                        name="workspaces_finding_resolved_later",
                    ),
                ],
            },
        ),
    ]
