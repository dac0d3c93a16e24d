"""What Forge wrote onto machines in AWS: without it nobody knows which tags there are to be taken off again.

Of machines that stand these are people's own tags, which were written when they were launched, or stood there when they
were adopted.
"""

from django.db import migrations, models

FORWARD = """
    UPDATE workspaces_workspace SET applied_tags = tags
     WHERE service_type = 'WORKSPACES_PERSONAL' AND provider_id <> '' AND state NOT IN ('TERMINATED', 'FAILED')
"""


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0012_regions_of_a_launch"),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="applied_tags",
            field=models.JSONField(
                blank=True,
                db_default={},
                default=dict,
                editable=False,
                help_text="What Forge wrote to the machine in AWS.",
            ),
        ),
        migrations.AddField(
            model_name="workspace",
            name="tags_applied_at",
            field=models.DateTimeField(
                blank=True, editable=False, help_text="When AWS was first seen to show the wanted tags.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="workspace",
            name="tags",
            field=models.JSONField(
                blank=True, default=dict, help_text="People's own; Forge's are workspaces.tagging.wanted."
            ),
        ),
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
    ]
