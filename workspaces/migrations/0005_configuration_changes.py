"""What a machine was before and after each change of its configuration, written by PostgreSQL itself.

A launched machine's bundle type, running mode, AutoStop time and volumes decide what its hours cost. Whoever changes
them leaves a row here in the same transaction, because a trigger writes it: `occurred_at` is the row's `configured_at`
where that changes too (business time), else the time of the statement. What is changed before the launch is done has
no price yet and leaves none.
"""

import django.db.models.deletion
from django.db import migrations, models

from forge.db.operations import AppendOnly

BUNDLE_TYPES = [
    ("STANDARD", "Standard"),
    ("PERFORMANCE", "Performance"),
    ("POWER", "Power"),
    ("POWERPRO", "PowerPro"),
    ("GRAPHICS_G4DN", "Graphics.g4dn"),
    ("GRAPHICSPRO_G4DN", "GraphicsPro.g4dn"),
]
RUNNING_MODES = [("AUTO_STOP", "AutoStop"), ("ALWAYS_ON", "AlwaysOn")]
FACTS = ("bundle_type", "running_mode", "auto_stop_timeout_minutes", "root_volume_gb", "user_volume_gb")
COLUMNS = ", ".join(f"{side}_{fact}" for side in ("before", "after") for fact in FACTS)
VALUES = ", ".join(f"{row}.{fact}" for row in ("OLD", "NEW") for fact in FACTS)
OLD, NEW = (", ".join(f"{row}.{fact}" for fact in FACTS) for row in ("OLD", "NEW"))

FORWARD = f"""
CREATE FUNCTION forge_workspace_reconfigured() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO workspaces_configurationchange (organization_id, workspace_id, occurred_at, recorded_at, {COLUMNS})
    VALUES (
        NEW.organization_id, NEW.id,
        CASE WHEN NEW.configured_at IS DISTINCT FROM OLD.configured_at THEN NEW.configured_at
             ELSE statement_timestamp()
        END,
        statement_timestamp(), {VALUES}
    );
    RETURN NULL;
END
$body$;

CREATE TRIGGER forge_reconfigured AFTER UPDATE OF {", ".join(FACTS)} ON workspaces_workspace
FOR EACH ROW WHEN (OLD.launched_at IS NOT NULL AND ({OLD}) IS DISTINCT FROM ({NEW}))
EXECUTE FUNCTION forge_workspace_reconfigured();
"""  # noqa: S608 - the columns stand above

REVERSE = """
DROP TRIGGER forge_reconfigured ON workspaces_workspace;
DROP FUNCTION forge_workspace_reconfigured();
"""


def _side(side: str) -> list[tuple[str, models.Field]]:
    return [
        (f"{side}_bundle_type", models.CharField(choices=BUNDLE_TYPES, max_length=20)),
        (f"{side}_running_mode", models.CharField(choices=RUNNING_MODES, max_length=10)),
        (f"{side}_auto_stop_timeout_minutes", models.PositiveIntegerField()),
        (f"{side}_root_volume_gb", models.PositiveIntegerField()),
        (f"{side}_user_volume_gb", models.PositiveIntegerField()),
    ]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_one_index_per_look_up"), ("workspaces", "0004_unmanaged_machines")]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="configured_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Business time of the last change to the five facts above; none = as launched.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="ConfigurationChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("occurred_at", models.DateTimeField(help_text="Business time: when AWS was seen to have made it.")),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                *_side("before"),
                *_side("after"),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="configuration_changes",
                        to="workspaces.workspace",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["workspace", "occurred_at"], name="workspaces_reconfigured")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("after_bundle_type__in", [name for name, _ in BUNDLE_TYPES]),
                            ("after_running_mode__in", ["AUTO_STOP", "ALWAYS_ON"]),
                            ("before_bundle_type__in", [name for name, _ in BUNDLE_TYPES]),
                            ("before_running_mode__in", ["AUTO_STOP", "ALWAYS_ON"]),
                        ),
                        name="workspaces_configurationchange_values_known",
                    )
                ],
            },
        ),
        migrations.RunSQL(FORWARD, REVERSE),
        AppendOnly("workspaces_configurationchange"),
    ]
