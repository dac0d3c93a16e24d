"""Hold nothing for storage that has no price, instead of nothing at all for its machine.

Costs 0022 lets a price not know what storage costs. `budgets_reckon` is taken as it stands and reckons such storage at
nothing, as metering books it.
"""

from django.db import migrations

FEE = "greatest(0, storage_gb - ({price}).included_storage_gb) * ({price}).storage_gb_month_amount"
PLACES = [FEE.format(price=name) for name in ("price", "later")]

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


def edit(pairs: list[tuple[str, str]]) -> str:
    return EDIT.format(pairs=", ".join(f"ARRAY['{there}', '{wanted}']" for there, wanted in pairs))


class Migration(migrations.Migration):
    dependencies = [
        ("budgets", "0009_leaving_and_ending"),
        ("costs", "0022_storage_that_has_no_price"),
    ]

    operations = [
        migrations.RunSQL(
            edit([(fee, f"coalesce({fee}, 0)") for fee in PLACES]),
            edit([(f"coalesce({fee}, 0)", fee) for fee in PLACES]),
        )
    ]
