"""Findings about what AWS does not let Forge ask."""

from django.db import migrations, models

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
    ]
