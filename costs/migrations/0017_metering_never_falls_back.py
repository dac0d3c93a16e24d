"""Let no sweep book a machine to an earlier instant than another has.

A sweep books to the instant at which it began. One that came to a machine of which a state had just become known, and
that a later sweep had booked already, took the machine back to its own instant. Where an hour had begun between the
two, the records of the later one stood as they were, and every further sweep failed to make them once more, until the
next change of the machine's state. A machine that ended a moment before the hour, after a sweep of the next hour, kept
that hour's charge. From now on `costs_book` reckons such a machine to where it is booked already.

Marks that stand before a record of their machine are woken, so that the next sweep reckons them anew. Those of machines
that have ended are left: what they owed at their end would be booked once more.
"""

from importlib import import_module

from django.db import migrations

edit = import_module("costs.migrations.0016_streams_priced_as_what_they_were").edit

PAIRS = (
    (
        "CASE WHEN to_the_end THEN greatest(at, w.terminated_at) ELSE at END AS horizon",
        "greatest(at, m.metered_through, CASE WHEN to_the_end THEN w.terminated_at END) AS horizon",
    ),
)

MEND = """
UPDATE costs_metermark mark
   SET dirty_from = least(mark.dirty_from, mark.metered_through),
       next_due_at = least(mark.next_due_at, mark.metered_through), updated_at = statement_timestamp()
 WHERE mark.next_due_at IS NOT NULL
   AND (
       SELECT true FROM costs_costrecord record
        WHERE record.workspace_id = mark.workspace_id AND record.period_start >= mark.metered_through
        LIMIT 1
   )
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0016_streams_priced_as_what_they_were")]

    operations = [
        migrations.RunSQL(edit(PAIRS), edit(tuple((wanted, there) for there, wanted in PAIRS))),
        migrations.RunSQL(MEND, migrations.RunSQL.noop),
    ]
