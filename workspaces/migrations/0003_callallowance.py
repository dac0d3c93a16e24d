from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0002_legal_moves")]

    operations = [
        migrations.CreateModel(
            name="CallAllowance",
            fields=[
                ("place", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("tokens", models.FloatField(help_text="Calls that may be made at once; below zero they wait.")),
                ("refilled_at", models.DateTimeField()),
            ],
            options={"verbose_name": "call allowance"},
        ),
        # Nobody looks for a place by its beginning, so it needs no index for that beside the primary key.
        migrations.RunSQL(
            "ALTER TABLE workspaces_callallowance SET UNLOGGED; DROP INDEX workspaces_callallowance_place_99782374_like",
            migrations.RunSQL.noop,
        ),
    ]
