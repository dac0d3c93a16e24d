"""Charge what a machine owes at its end once, whatever has its mark reckoned anew.

A machine that had ended could be woken by a change of configuration that was written after its end, and its last hour
got the rest of the month's fees once more. Now a change of configuration leaves the marks at rest (`next_due_at IS
NULL`): of a machine that has ended nothing is due, and one that is not launched yet is reckoned from its launch on. And
`costs_book` gives the last hour of a stay what both fees still owe for the month less what of it its record holds: what
is beyond its hours of use and the accrual of its own hour. So it adds nothing to a machine that has paid, whatever else
wakes it.

Staged lines say which machine they are of by our id, where several rows have had the same id of AWS: such a machine's
lines are booked to all of its rows together (`costs.bills.statements`), so that its month is not counted twice.
"""

from importlib import import_module

from django.db import migrations, models

edit = import_module("costs.migrations.0016_streams_priced_as_what_they_were").edit

PAIRS = (
    ("0::numeric AS old_storage,", "0::numeric AS old_storage, 0::numeric AS old_billed,"),
    (
        "coalesce(r.compute_cost, 0), coalesce(r.storage_cost, 0),",
        "coalesce(r.compute_cost, 0), coalesce(r.storage_cost, 0), coalesce(r.billed_hours, 0),",
    ),
    (
        "s.old_compute, s.old_storage, s.seconds,",
        """s.old_compute, s.old_storage,
           s.old_billed * coalesce(held.hourly_amount, rate.hourly) AS old_hours, s.seconds,""",
    ),
    (
        """THEN compute + costs_accrued(monthly, month_end) - costs_accrued(monthly, hour + interval ''1 hour'')
                     + costs_accrued(also_monthly, month_end)
                     - costs_accrued(also_monthly, hour + interval ''1 hour'')
""",
        """THEN compute + greatest(
                    0,
                    costs_accrued(monthly, month_end) - costs_accrued(monthly, hour + interval ''1 hour'')
                    + costs_accrued(also_monthly, month_end)
                    - costs_accrued(also_monthly, hour + interval ''1 hour'')
                    - greatest(
                        0,
                        old_compute - old_hours
                        - costs_accrued(monthly, hour + interval ''1 hour'') + costs_accrued(monthly, hour)
                        - costs_accrued(also_monthly, hour + interval ''1 hour'') + costs_accrued(also_monthly, hour)
                    )
                )
""",
    ),
    (
        """THEN storage + costs_accrued(monthly_storage, month_end)
                     - costs_accrued(monthly_storage, hour + interval ''1 hour'')
""",
        """THEN storage + greatest(
                    0,
                    costs_accrued(monthly_storage, month_end)
                    - costs_accrued(monthly_storage, hour + interval ''1 hour'')
                    - greatest(
                        0,
                        old_storage - costs_accrued(monthly_storage, hour + interval ''1 hour'')
                        + costs_accrued(monthly_storage, hour)
                    )
                )
""",
    ),
)

WAKE = """
CREATE OR REPLACE FUNCTION costs_metermark_wake_reconfigured() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE costs_metermark
       SET next_due_at = least(next_due_at, NEW.occurred_at), dirty_from = least(dirty_from, NEW.occurred_at),
           updated_at = statement_timestamp()
     WHERE workspace_id = NEW.workspace_id{whom};
    RETURN NULL;
END
$body$;
"""


class Migration(migrations.Migration):
    dependencies = [("costs", "0017_metering_never_falls_back")]

    operations = [
        migrations.RunSQL(edit(PAIRS), edit(tuple((wanted, there) for there, wanted in PAIRS))),
        migrations.RunSQL(WAKE.format(whom=" AND next_due_at IS NOT NULL"), WAKE.format(whom="")),
        migrations.AddField(
            "billline",
            "machine_id",
            models.UUIDField(help_text="Which of ours it is by our id, of several with its AWS id.", null=True),
        ),
    ]
