"""Let a machine that AWS has stopped and started again, or started and stopped, be followed from wherever it was seen.

Two moves were missing: one that was AVAILABLE and is STARTING was stopped in between, one that was STOPPED and is
STOPPING has run. Nobody need have looked at it meanwhile. The pairs stand here once more, because a migration must not
change with the code; those of migration 0002 come back with the reverse.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION forge_workspace_may_move(source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (source, target) IN (
    ('PENDING', 'AVAILABLE'), ('PENDING', 'STOPPING'), ('PENDING', 'STOPPED'), ('PENDING', 'TERMINATING'),
    ('PENDING', 'TERMINATED'), ('PENDING', 'FAILED'),
    ('AVAILABLE', 'STOPPING'), ('AVAILABLE', 'STOPPED'), ('AVAILABLE', 'STARTING'), ('AVAILABLE', 'TERMINATING'),
    ('AVAILABLE', 'TERMINATED'),
    ('STOPPING', 'STOPPED'), ('STOPPING', 'STARTING'), ('STOPPING', 'AVAILABLE'), ('STOPPING', 'TERMINATING'),
    ('STOPPING', 'TERMINATED'),
    ('STOPPED', 'STARTING'), ('STOPPED', 'AVAILABLE'), ('STOPPED', 'STOPPING'), ('STOPPED', 'TERMINATING'),
    ('STOPPED', 'TERMINATED'),
    ('STARTING', 'AVAILABLE'), ('STARTING', 'STOPPING'), ('STARTING', 'STOPPED'), ('STARTING', 'TERMINATING'),
    ('STARTING', 'TERMINATED'),
    ('TERMINATING', 'TERMINATED')
);
"""

REVERSE = """
CREATE OR REPLACE FUNCTION forge_workspace_may_move(source text, target text) RETURNS boolean
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
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0012_regions_of_a_launch")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
