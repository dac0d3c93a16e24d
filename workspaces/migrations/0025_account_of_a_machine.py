"""The AWS account in which a machine was made: what proves that a directory or stack is gone, and not asked elsewhere.

Rows from before have it empty; then the number of their provider account counts, which nothing in Forge changes.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0024_since_when_in_a_running_mode")]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="aws_account",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Number of the AWS account in which it was made; empty = that of its provider account.",
                max_length=12,
            ),
        ),
    ]
