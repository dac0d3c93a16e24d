"""What metering does not top up: what is kept for machines that have left, and what a machine that ends never owes.

`kept_until` marks what budgets that a machine has left keep for the hour of its move: the end of the hour that they
still pay. A charge of that hour is taken out of it as out of any other reservation; but the budget binds the machine no
more, so `budgets_reckon` gives it no bound to fill it up to. What is to be given back is found by
budgets_reservation_kept.

A machine that is TERMINATING has no lifetime ahead: until now it was topped up to the end of its lifetime, or where
that was over to the end of the period. Now it is topped up to the rest of the month's fees, which its end will owe
whatever the period, and to no hours of running.

The function is taken as it stands. Back: what is kept for machines that have left is given back at once. One that
became cheaper or came back stays bound, so it goes on holding what it holds, and its own charges use that up.
"""

from django.db import migrations, models

EDIT = """
DO $edit$
DECLARE
    body text := pg_get_functiondef('budgets_reckon'::regproc);
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[{pairs}] LOOP
        IF strpos(body, pair[1]) = 0 THEN
            RAISE EXCEPTION 'budgets_reckon does not say: %', pair[1];
        END IF;
        body := replace(body, pair[1], pair[2]);
    END LOOP;
    EXECUTE body;
END
$edit$;
"""

PAIRS = (
    ("SELECT w.id, w.organization_id, w.running_mode,", "SELECT w.id, w.organization_id, w.running_mode, w.state,"),
    ("SELECT l.id, l.storage_gb,", "SELECT l.id, l.state = ''TERMINATING'' AS is_ending, l.storage_gb,"),
    ("SELECT id, runs_free, beside,", "SELECT id, is_ending, runs_free, beside,"),
    ("(later).hourly_amount AS hourly,", "CASE WHEN is_ending THEN 0 ELSE (later).hourly_amount END AS hourly,"),
    (
        "CASE WHEN b.period_end > at THEN least(b.period_end, m.lifetime_end) END AS bound",
        """CASE WHEN b.period_end > at AND r.kept_until IS NULL
                    THEN CASE WHEN m.is_ending THEN month_end ELSE least(b.period_end, m.lifetime_end) END
               END AS bound""",
    ),
)


def edit(pairs: tuple[tuple[str, str], ...]) -> str:
    return EDIT.format(pairs=", ".join(f"ARRAY['{there}', '{wanted}']" for there, wanted in pairs))


GIVE_BACK = """
WITH kept AS (
    UPDATE budgets_reservation r SET remaining = 0, released_at = statement_timestamp()
      FROM budgets_reservation before
      JOIN budgets_budget b ON b.id = before.budget_id
      JOIN workspaces_workspace w ON w.id = before.workspace_id
     WHERE before.id = r.id AND r.released_at IS NULL AND r.kept_until IS NOT NULL
       AND b.scope_id IS DISTINCT FROM
           CASE b.scope WHEN 'USER' THEN w.owner_id WHEN 'TEAM' THEN w.team_id WHEN 'PROJECT' THEN w.project_id
                        ELSE w.organization_id END
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
                help_text="End of the hour until which more is held than needed: the machine left or became cheaper.",
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
        migrations.RunSQL(edit(PAIRS), edit(tuple((wanted, there) for there, wanted in PAIRS))),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", GIVE_BACK),
    ]
