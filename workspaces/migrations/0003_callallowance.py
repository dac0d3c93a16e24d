from django.db import migrations, models

# Unlogged, and without the second index that Django gives a text key for LIKE, which nobody asks here.
_FORWARD = """
CREATE UNLOGGED TABLE workspaces_callallowance (
    place varchar(64) NOT NULL PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL
)
"""
_REVERSE = "DROP TABLE workspaces_callallowance"


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0002_legal_moves")]

    operations = [
        migrations.RunSQL(
            _FORWARD,
            _REVERSE,
            state_operations=[
                migrations.CreateModel(
                    name="CallAllowance",
                    fields=[
                        ("place", models.CharField(max_length=64, primary_key=True, serialize=False)),
                        (
                            "tokens",
                            models.FloatField(help_text="Calls that may be made at once; below zero they wait."),
                        ),
                        ("refilled_at", models.DateTimeField()),
                    ],
                    options={"verbose_name": "call allowance"},
                ),
            ],
        ),
    ]
