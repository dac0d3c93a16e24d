"""What the rules of the lifecycle keep on a machine, and the trigger that says when to reckon it anew.

`forge_reckon_anew` marks a machine in the very transaction that changes something its next action follows from, whoever
writes; the sweep finds the marked ones by `workspaces_unreckoned`, what is due by `workspaces_due_action` and
`workspaces_due_warning`, however many machines there are. Machines that exist already are marked once by the default.
"""

from django.db import migrations, models

INPUTS = (
    "state", "state_since", "running_mode", "auto_stop_timeout_minutes", "max_lifetime_days", "keep_alive",
    "keep_alive_until", "stale_notified_at", "last_activity_at", "stop_warned_at", "end_warned_at", "put_off_until",
    "stop_put_off_until",
    "team_id", "blueprint_id",
)  # fmt: skip

OLD, NEW = (", ".join(f"{row}.{column}" for column in INPUTS) for row in ("OLD", "NEW"))

FORWARD = f"""
CREATE FUNCTION forge_reckon_anew() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.is_unreckoned := true;
    RETURN NEW;
END
$body$;

CREATE TRIGGER forge_reckon_anew BEFORE UPDATE OF {", ".join(INPUTS)} ON workspaces_workspace
FOR EACH ROW WHEN (({OLD}) IS DISTINCT FROM ({NEW}))
EXECUTE FUNCTION forge_reckon_anew();
"""

REVERSE = """
DROP TRIGGER forge_reckon_anew ON workspaces_workspace;
DROP FUNCTION forge_reckon_anew();
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0006_application_stacks")]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="end_warned_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="is_unreckoned",
            field=models.BooleanField(
                db_default=True,
                default=True,
                editable=False,
                help_text="Something changed that its next action follows from.",
            ),
        ),
        migrations.AddField(
            model_name="workspace",
            name="last_activity_at",
            field=models.DateTimeField(blank=True, help_text="Newest sign of use that was sampled.", null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="last_signal",
            field=models.CharField(
                blank=True,
                choices=[("connected", "A person was connected"), ("cpu", "The CPU was busy")],
                db_default="",
                default="",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="workspace",
            name="next_rule",
            field=models.CharField(blank=True, db_default="", default="", max_length=10),
        ),
        migrations.AddField(
            model_name="workspace",
            name="put_off_until",
            field=models.DateTimeField(blank=True, help_text="No rule flags or ends it before.", null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="stop_put_off_until",
            field=models.DateTimeField(blank=True, help_text="No rule stops it before.", null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="stop_warned_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workspace",
            name="warn_at",
            field=models.DateTimeField(blank=True, help_text="When the next warning falls due.", null=True),
        ),
        migrations.AddIndex(
            model_name="workspace",
            index=models.Index(
                condition=models.Q(("warn_at__isnull", False)), fields=["warn_at"], name="workspaces_due_warning"
            ),
        ),
        migrations.AddIndex(
            model_name="workspace",
            index=models.Index(
                condition=models.Q(("is_unreckoned", True)), fields=["id"], name="workspaces_unreckoned"
            ),
        ),
        migrations.AddConstraint(
            model_name="workspace",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_signal__in", ["", "connected", "cpu"])),
                name="workspaces_workspace_last_signal_known",
            ),
        ),
        migrations.RunSQL(FORWARD, REVERSE),
    ]
