"""Drop the index on the project that the many-to-many table gets twice: the unique pair begins with the project."""

from django.db import migrations

FORWARD = """
DO $body$
DECLARE useless regclass;
BEGIN
    FOR useless IN
        SELECT indexrelid FROM pg_index
         WHERE indrelid = 'accounts_project_teams'::regclass AND NOT indisunique
           AND pg_get_indexdef(indexrelid, 1, true) = 'project_id'
    LOOP
        EXECUTE format('DROP INDEX %s', useless);
    END LOOP;
END
$body$;
"""
REVERSE = "CREATE INDEX accounts_project_teams_project ON accounts_project_teams (project_id);"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
