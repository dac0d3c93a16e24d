"""Until when a machine lives, as far as is known: what budgets and forecasts look ahead to.

The end of its lifetime, or of its keep-alive where that is later (docs/lifecycle.md); infinity of one that is kept
alive without an end, or that lives past the end that was agreed: its rules are paused or put off, and nobody knows when
it goes. WorkSpace.lives_until says the same of a row in Python.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION costs_lives_until(
    created_at timestamptz, max_lifetime_days integer, keep_alive boolean, keep_alive_until timestamptz, at timestamptz
) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN (keep_alive AND keep_alive_until IS NULL) OR agreed.until <= at THEN 'infinity'
                ELSE agreed.until
           END
      FROM (
          SELECT greatest(
              created_at + max_lifetime_days * interval '24 hours', CASE WHEN keep_alive THEN keep_alive_until END
          ) AS until
      ) agreed
$body$;
"""
REVERSE = """
DROP FUNCTION costs_lives_until(timestamptz, integer, boolean, timestamptz, timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0018_an_end_is_charged_once")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
