"""Since when a machine is in its running mode: the longest run of one that was switched to AutoStop counts from then.

`forge_mode_since` writes it in the very statement that changes the mode, whoever does: Forge, or a look that finds what
was changed in AWS's console. It takes the business time that comes with the change, as `forge_reconfigured` does.
"""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION forge_mode_since() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.mode_since := statement_timestamp();
    IF NEW.configured_at IS DISTINCT FROM OLD.configured_at AND NEW.configured_at IS NOT NULL THEN
        NEW.mode_since := NEW.configured_at;
    END IF;
    RETURN NEW;
END
$body$;

CREATE TRIGGER forge_mode_since BEFORE UPDATE OF running_mode ON workspaces_workspace
FOR EACH ROW WHEN (OLD.running_mode IS DISTINCT FROM NEW.running_mode)
EXECUTE FUNCTION forge_mode_since();
"""

REVERSE = """
DROP TRIGGER forge_mode_since ON workspaces_workspace;
DROP FUNCTION forge_mode_since();
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0023_lifetime_ceilings_of_before")]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="mode_since",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Business time of the last change of the running mode; none = as launched.",
                null=True,
            ),
        ),
        migrations.RunSQL(FORWARD, REVERSE),
    ]
