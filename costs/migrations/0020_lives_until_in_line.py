"""PostgreSQL writes `costs_lives_until` into the statement that calls it, instead of running it for each machine.

It does so with a function that is one expression; a FROM, even over nothing, keeps it from it. So what was agreed is
written twice. For 100,000 machines 0.08 s instead of 0.27 s, at each place of a statement that names it.
"""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("costs.migrations.0019_until_when_a_machine_lives").FORWARD.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)

FORWARD = """
CREATE OR REPLACE FUNCTION costs_lives_until(
    created_at timestamptz, max_lifetime_days integer, keep_alive boolean, keep_alive_until timestamptz, at timestamptz
) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN (keep_alive AND keep_alive_until IS NULL)
                  OR greatest(
                         created_at + max_lifetime_days * interval '24 hours',
                         CASE WHEN keep_alive THEN keep_alive_until END
                     ) <= at
                THEN 'infinity'
                ELSE greatest(
                    created_at + max_lifetime_days * interval '24 hours', CASE WHEN keep_alive THEN keep_alive_until END
                )
           END
$body$;
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0019_until_when_a_machine_lives")]

    operations = [migrations.RunSQL(FORWARD, BEFORE)]
