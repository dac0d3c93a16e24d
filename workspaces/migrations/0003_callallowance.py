"""The token buckets of calls to AWS: unlogged, and without the index on a prefix that Django would add to the key."""

from django.db import migrations, models

FORWARD = """
CREATE UNLOGGED TABLE workspaces_callallowance (
    place varchar(64) PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL
);
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0002_legal_moves")]

    operations = [
        migrations.RunSQL(
            FORWARD,
            "DROP TABLE workspaces_callallowance",
            state_operations=[
                migrations.CreateModel(
                    name="CallAllowance",
                    fields=[
                        ("place", models.CharField(max_length=64, primary_key=True, serialize=False)),
                        (
                            "tokens",
                            models.FloatField(help_text="Calls that may be made at once; below 0 they wait."),
                        ),
                        ("refilled_at", models.DateTimeField()),
                    ],
                    options={"verbose_name": "call allowance"},
                ),
            ],
        ),
    ]
