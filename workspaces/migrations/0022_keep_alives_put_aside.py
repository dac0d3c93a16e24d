"""What a person had kept a machine alive for and until when, while a quarantine's own keep-alive stands in for it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0021_an_id_of_aws_once_alive")]

    operations = [
        migrations.AddField(
            model_name="quarantine",
            name="put_aside_until",
            field=models.DateTimeField(
                blank=True,
                help_text="The end of a person's own keep-alive that the quarantine's stands in for.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="quarantine",
            name="put_aside_reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
    ]
