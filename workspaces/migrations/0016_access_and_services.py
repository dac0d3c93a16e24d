"""Services of accounts, further findings, and what machines remember of leases and of a keep-alive that is taken away.

Accounts offer all services until somebody says otherwise. `let_go_at` changes with `keep_alive` only, which marks the
machine for `forge_reckon_anew`.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

import workspaces.models.providers

CHECKS = {
    "protocol": "Protocol is not DCV",
    "volume_encryption": "Volumes are not encrypted",
    "domain_join": "Not joined to its domain",
    "internet_access": "Directory gives machines internet access",
    "self_service": "People may change machines past Forge",
    "local_administrator": "People are administrators of their machines",
    "stack_transfers": "Clipboard, files or printing are open",
    "zero_clients": "PCoIP zero clients may connect",
    "volume_key": "Volumes are encrypted under another key",
    "attestation": "Group policies are not attested",
    "tag_access": "Tags of machines may not be read",
    "service_access": "A service does not answer",
    "directory_missing": "Directory is not there any more",
    "tags_differ": "Tags in AWS are not as wanted, and cannot be mended",
}


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0015_attestations_and_volume_keys"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="finding",
            name="workspaces_finding_check_known",
        ),
        migrations.AlterField(
            model_name="finding",
            name="check_name",
            field=models.CharField(choices=list(CHECKS.items()), max_length=30, verbose_name="check"),
        ),
        migrations.AddConstraint(
            model_name="finding",
            constraint=models.CheckConstraint(
                condition=models.Q(("check_name__in", list(CHECKS))),
                name="workspaces_finding_check_known",
            ),
        ),
        migrations.AddField(
            model_name="provideraccount",
            name="services",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=30),
                db_default=["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"],
                default=workspaces.models.providers.every_service,
                help_text="What is launched there; AWS is asked for nothing else, unless machines of it stand there.",
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="provideraccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("services__len__gt", 0),
                    ("services__contained_by", ["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"]),
                ),
                name="workspaces_provideraccount_services_known",
            ),
        ),
        migrations.AddField(
            model_name="workspace",
            name="let_go_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When somebody took a keep-alive away; its end is warned of anew since then.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="workspace",
            name="auto_stop_asked_minutes",
            field=models.PositiveIntegerField(
                help_text="AutoStop time that AWS is asked for because of a work lease, until it shows what is wanted.",
                null=True,
            ),
        ),
    ]
