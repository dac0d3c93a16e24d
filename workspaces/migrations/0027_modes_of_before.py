"""Since when machines that live are in their running modes, where it changed before that was noted (0024).

By itself, so that it locks no more than the rows that it writes; what was switched meanwhile has its time already.
"""

from django.db import migrations

FORWARD = """
UPDATE workspaces_workspace AS machine
   SET mode_since = changed.at, is_unreckoned = true
  FROM (
      SELECT workspace_id, max(occurred_at) AS at
        FROM workspaces_configurationchange
       WHERE before_running_mode <> after_running_mode
       GROUP BY workspace_id
  ) AS changed
 WHERE machine.id = changed.workspace_id AND machine.mode_since IS NULL
   AND machine.state NOT IN ('TERMINATED', 'FAILED');
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0026_places_that_are_gone")]

    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
