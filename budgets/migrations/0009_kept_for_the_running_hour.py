"""What budgets that a machine has left keep for the hour of its move is never topped up.

`kept_until` marks it: the end of the hour that those budgets still pay. A charge of that hour is taken out of it as out
of any other reservation; but the budget binds the machine no more, so `budgets_reckon` gives it no bound to fill it up
to. The function is taken as it stands. What is to be given back is found by budgets_reservation_kept.

Back: what is kept is given back at once.
"""

from django.db import migrations, models

EDIT = """
DO $edit$
DECLARE
    body text := pg_get_functiondef('budgets_reckon'::regproc);
BEGIN
    IF strpos(body, '{there}') = 0 THEN
        RAISE EXCEPTION 'budgets_reckon does not say: {there}';
    END IF;
    EXECUTE replace(body, '{there}', '{wanted}');
END
$edit$;
"""

THERE = "CASE WHEN b.period_end > at THEN least"
WANTED = "CASE WHEN b.period_end > at AND r.kept_until IS NULL THEN least"

GIVE_BACK = """
WITH kept AS (
    UPDATE budgets_reservation r SET remaining = 0, released_at = statement_timestamp()
      FROM budgets_reservation before
     WHERE before.id = r.id AND r.released_at IS NULL AND r.kept_until IS NOT NULL
    RETURNING r.budget_id, before.remaining
)
UPDATE budgets_budget b SET reserved = b.reserved - k.remaining
  FROM (SELECT budget_id, sum(remaining) AS remaining FROM kept GROUP BY budget_id) k
 WHERE b.id = k.budget_id;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0007_held_by_the_modes_of_the_month")]

    operations = [
        migrations.AddField(
            "reservation",
            "kept_until",
            models.DateTimeField(
                blank=True,
                help_text="Of a machine that has left: end of the hour that the budget still pays. Empty = it binds.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            "reservation",
            models.Index(
                condition=models.Q(("kept_until__isnull", False), ("released_at__isnull", True)),
                fields=["kept_until"],
                name="budgets_reservation_kept",
            ),
        ),
        migrations.RunSQL(EDIT.format(there=THERE, wanted=WANTED), EDIT.format(there=WANTED, wanted=THERE)),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", GIVE_BACK),
    ]
