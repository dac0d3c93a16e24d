"""Machines by how their name begins, and the decisions of an organization in the order of their list.

The new column writes the table of machines anew, during which it is locked; forge.db.prefixes says why it is needed.
"""

from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0018_attribution_changes")]

    operations = [
        migrations.AddField(
            "workspace",
            "search_name",
            models.GeneratedField(
                db_persist=True,
                expression=Lower("name"),
                output_field=models.CharField(db_collation="C", max_length=100),
            ),
        ),
        migrations.AddIndex("workspace", models.Index("search_name", "organization", name="workspaces_by_name")),
        migrations.AddIndex("decision", models.Index(fields=["organization", "id"], name="workspaces_decision_list")),
    ]
