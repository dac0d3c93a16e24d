"""One live machine per id of AWS, so that a machine whose row has ended can be taken over again.

A row may end while AWS still has the machine: the role pointed elsewhere, or somebody brought it back. It was listed as
adoptable, and the id that its ended row kept refused it. The index finds ended rows too, which bills name. The reverse
fails while two rows have the same id.
"""

from django.db import migrations, models
from django.db.models import Q

NAME = "workspaces_workspace_provider_id_unique"
KNOWN = Q(service_type="WORKSPACES_PERSONAL") & ~Q(provider_id="")


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0019_search")]

    operations = [
        migrations.RemoveConstraint("workspace", NAME),
        migrations.AddConstraint(
            "workspace",
            models.UniqueConstraint(
                models.F("provider_id"),
                condition=KNOWN & ~Q(state__in=["TERMINATED", "FAILED"]),
                name=NAME,
            ),
        ),
        migrations.AddIndex("workspace", models.Index("provider_id", "organization", name="workspaces_by_provider_id")),
    ]
