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
        migrations.RunSQL("ALTER TABLE workspaces_callallowance SET UNLOGGED", migrations.RunSQL.noop),
    ]
