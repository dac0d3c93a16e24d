"""Whose a machine was and how it was tagged, until each change of that, written by PostgreSQL itself.

Owner, team, project and tags stand in the cost records of a machine's hours as they were then. Whoever changes them
leaves a row here in the same transaction, because a trigger writes it: `occurred_at` is the row's `attributed_at` where
that changes too (business time), else the time of the statement. Whoever waited for the row's lock may have been asked
before the change that went first; both then count from the later time, or the order of what held would be turned round.
So an hour that is booked days later bears what held
when it began.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from forge.db.operations import AppendOnly

FACTS = ("owner_id", "team_id", "project_id", "tags")
OLD, NEW = (", ".join(f"{row}.{fact}" for fact in FACTS) for row in ("OLD", "NEW"))

FORWARD = f"""
CREATE FUNCTION forge_workspace_reattributed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO workspaces_attributionchange (
        organization_id, workspace_id, occurred_at, recorded_at, {", ".join(FACTS)}
    ) VALUES (
        NEW.organization_id, NEW.id,
        greatest(
            CASE WHEN NEW.attributed_at IS DISTINCT FROM OLD.attributed_at THEN NEW.attributed_at
                 ELSE statement_timestamp()
            END,
            (SELECT max(occurred_at) FROM workspaces_attributionchange WHERE workspace_id = NEW.id)
        ),
        statement_timestamp(), {OLD}
    );
    RETURN NULL;
END
$body$;

CREATE TRIGGER forge_reattributed AFTER UPDATE OF {", ".join(FACTS)} ON workspaces_workspace
FOR EACH ROW WHEN (({OLD}) IS DISTINCT FROM ({NEW}))
EXECUTE FUNCTION forge_workspace_reattributed();
"""  # noqa: S608 - the columns stand above

REVERSE = """
DROP TRIGGER forge_reattributed ON workspaces_workspace;
DROP FUNCTION forge_workspace_reattributed();
"""


def _of(model: str, related_name: str = "+", **options: object) -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name=related_name, to=model, **options
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_one_index_per_look_up"),
        ("workspaces", "0017_stacks_closed_before_they_are_offered"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="attributed_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Business time of the last change of owner, team, project or tags; none = as launched.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="AttributionChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("occurred_at", models.DateTimeField(help_text="Business time: until when it held.")),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                ("tags", models.JSONField(default=dict)),
                ("organization", _of("accounts.organization")),
                ("owner", _of(settings.AUTH_USER_MODEL)),
                ("project", _of("accounts.project", null=True)),
                ("team", _of("accounts.team")),
                ("workspace", _of("workspaces.workspace", related_name="attribution_changes")),
            ],
            options={
                "indexes": [models.Index(fields=["workspace", "occurred_at", "id"], name="workspaces_attributed")],
            },
        ),
        migrations.RunSQL(FORWARD, REVERSE),
        AppendOnly("workspaces_attributionchange"),
    ]
