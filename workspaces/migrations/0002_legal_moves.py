"""Let a machine's state move only as `workspaces.lifecycle.TABLE` says, and keep its history append-only.

The pairs stand here a second time, because a migration must not change with the code; a test compares the two. No pair
leads out of TERMINATED or FAILED: a terminal state is final, while other columns stay free for costs that land late.
The trigger fires on updates of the state column only, so it costs nothing elsewhere.
"""

from django.db import migrations

from forge.db.operations import AppendOnly

FORWARD = """
CREATE FUNCTION forge_workspace_may_move(source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (source, target) IN (
    ('PENDING', 'AVAILABLE'), ('PENDING', 'STOPPING'), ('PENDING', 'STOPPED'), ('PENDING', 'TERMINATING'),
    ('PENDING', 'TERMINATED'), ('PENDING', 'FAILED'),
    ('AVAILABLE', 'STOPPING'), ('AVAILABLE', 'STOPPED'), ('AVAILABLE', 'TERMINATING'), ('AVAILABLE', 'TERMINATED'),
    ('STOPPING', 'STOPPED'), ('STOPPING', 'STARTING'), ('STOPPING', 'AVAILABLE'), ('STOPPING', 'TERMINATING'),
    ('STOPPING', 'TERMINATED'),
    ('STOPPED', 'STARTING'), ('STOPPED', 'AVAILABLE'), ('STOPPED', 'TERMINATING'), ('STOPPED', 'TERMINATED'),
    ('STARTING', 'AVAILABLE'), ('STARTING', 'STOPPING'), ('STARTING', 'STOPPED'), ('STARTING', 'TERMINATING'),
    ('STARTING', 'TERMINATED'),
    ('TERMINATING', 'TERMINATED')
);

CREATE FUNCTION forge_workspace_refuse_move() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'machine % is % and cannot become %', OLD.id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'workspaces_workspace_move_is_legal';
END
$body$;

CREATE TRIGGER forge_move_is_legal BEFORE UPDATE OF state ON workspaces_workspace
FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state AND NOT forge_workspace_may_move(OLD.state, NEW.state))
EXECUTE FUNCTION forge_workspace_refuse_move();
"""

REVERSE = """
DROP TRIGGER forge_move_is_legal ON workspaces_workspace;
DROP FUNCTION forge_workspace_refuse_move();
DROP FUNCTION forge_workspace_may_move(text, text);
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0001_initial"), ("db", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, REVERSE), AppendOnly("workspaces_statechange")]
