"""Keep a terminal state final and the history of states append-only, whoever writes.

`forge_workspace_state_is_final` refuses any change of `state` once it is TERMINATED or FAILED; other columns stay
free, because late costs still land on an ended machine. The trigger fires on updates of the state column only, so it
costs nothing elsewhere.
"""

from django.db import migrations

from forge.db.operations import AppendOnly

FORWARD = """
CREATE FUNCTION forge_workspace_state_is_final() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'machine % is %: a terminal state is final', OLD.id, OLD.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'workspaces_workspace_terminal_is_final';
END
$body$;

CREATE TRIGGER forge_state_is_final BEFORE UPDATE OF state ON workspaces_workspace
FOR EACH ROW WHEN (OLD.state IN ('TERMINATED', 'FAILED') AND NEW.state IS DISTINCT FROM OLD.state)
EXECUTE FUNCTION forge_workspace_state_is_final();
"""

REVERSE = """
DROP TRIGGER forge_state_is_final ON workspaces_workspace;
DROP FUNCTION forge_workspace_state_is_final();
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0001_initial"), ("db", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, REVERSE), AppendOnly("workspaces_statechange")]
