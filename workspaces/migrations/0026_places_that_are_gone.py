"""Since when every look of reconcile has proved that AWS has a directory or stack no more, by service."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0025_account_of_a_machine")]

    operations = [
        migrations.AddField(
            model_name="provideraccount",
            name="gone_since",
            field=models.JSONField(
                db_default={},
                default=dict,
                editable=False,
                help_text="Of each service the places that AWS has no more, and since when each look has proved it.",
            ),
        ),
    ]
