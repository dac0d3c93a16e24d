"""What a stack's row remembers of its closing, and the finding of a stack that is gone.

Of no stack is `closed_at` known yet, so nobody launches from one until the next look has seen that it is closed.
"""

import django.contrib.postgres.fields
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
    "service_access": "A service does not answer",
    "directory_missing": "Directory is not there any more",
    "stack_missing": "Stack is not there any more",
    "tags_differ": "Tags in AWS are not as wanted, and cannot be mended",
}


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0016_access_and_services"),
    ]

    operations = [
        migrations.AddField(
            model_name="applicationstack",
            name="closed_at",
            field=models.DateTimeField(
                help_text="Since when AWS is seen to let no clipboard, file or print out of its sessions; "
                "empty = it was not seen yet, or is open, and nobody launches from it.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="applicationstack",
            name="closing_asked",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                help_text="What AWS is asked to close, until it shows that it has.",
                null=True,
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="applicationstack",
            constraint=models.CheckConstraint(
                condition=models.Q(("closed_at__isnull", True), ("closing_asked__isnull", True), _connector="OR"),
                name="workspaces_applicationstack_closed_or_asked",
            ),
        ),
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
