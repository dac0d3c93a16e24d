"""Price a session hour as what its machine was when the UTC hour began, whenever metering came to the change.

A mark went back to the short path with the first booking after a change of the bundle type, and there the machine's row
alone says what an hour costs. A session hour that began later in the UTC hour of the change was so priced as what the
machine had become, beside a record that told what it had been; had metering come only after that hour, it was not.

Now a slot says whether its hour is priced as another kind than the machine's (`is_former`: by its record, which also
holds for a change that became known after the hour was booked, else by the history), and the mark of a machine whose
running hour is one stays dirty to the end of that hour.

Marks of machines that were modified in the last two hours are reckoned anew with their next booking. What was booked
before stays.
"""

from importlib import import_module

from django.db import migrations

edit = import_module("costs.migrations.0016_streams_priced_as_what_they_were").edit

PAIRS = (
    (
        "false AS is_last, false AS is_beyond, NULL::uuid AS held_price_id,",
        "false AS is_last, false AS is_beyond, false AS is_former, NULL::uuid AS held_price_id,",
    ),
    (
        "coalesce(slot.hour = s.last_hour, false), beyond.yes, r.price_id,",
        """coalesce(slot.hour = s.last_hour, false), beyond.yes,
           coalesce(r.bundle_type, c.bundle_type) <> s.bundle_type
               OR coalesce(r.running_mode, c.running_mode) <> s.running_mode,
           r.price_id,""",
    ),
    (
        "SELECT workspace_id, price_id, running_mode, running_seconds,",
        "SELECT workspace_id, price_id, bundle_type, running_mode, running_seconds,",
    ),
    (
        """                            UNION ALL
                            SELECT s.id, month.ends
""",
        """                            UNION ALL
                            SELECT s.id, slot.hour + interval ''1 hour''
                              FROM reach s JOIN slot ON slot.id = s.id AND slot.hour = costs_hour_of(s.until)
                             WHERE slot.is_former
                            UNION ALL
                            SELECT s.id, month.ends
""",
    ),
)

RECKON = """
UPDATE costs_metermark
   SET dirty_from = least(dirty_from, metered_through), updated_at = statement_timestamp()
 WHERE next_due_at IS NOT NULL
   AND workspace_id IN (
       SELECT id FROM workspaces_workspace WHERE configured_at > statement_timestamp() - interval '2 hours'
   )
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0020_lives_until_in_line")]

    operations = [
        migrations.RunSQL(edit(PAIRS), edit(tuple((wanted, there) for there, wanted in PAIRS))),
        migrations.RunSQL(RECKON, migrations.RunSQL.noop),
    ]
