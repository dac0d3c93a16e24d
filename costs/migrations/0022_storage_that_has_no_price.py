"""Let a price not know what storage costs, and call what is booked without it an estimate.

`storage_gb_month_amount` was 0 where nobody had entered a price of storage, so a machine with more than its bundle
includes was metered as if the rest were free. Now NULL stands for "not known". `costs_book` and `costs_rerate` book
such a machine's storage at nothing, as before, but its records are ESTIMATED until a price with an amount is set for
their hours. 0 goes on saying that storage is free.

The prices of 0003 come from a table that had no price of storage: theirs becomes NULL. The functions are taken as they
stand and given the two places, so that they keep what else was changed in them.
"""

from importlib import import_module

from django.db import migrations, models

_WHOLE = import_module("costs.migrations.0016_streams_priced_as_what_they_were")
BOOK = "costs_book(uuid[], timestamptz, interval, boolean, integer)"
RERATE = "costs_rerate(uuid[], uuid, integer, text, uuid, uuid)"

BOOK_PAIRS = (
    (
        "CASE WHEN rate.is_known AND coalesce(extra.is_known, true) THEN",
        """CASE WHEN rate.is_known AND coalesce(extra.is_known, true)
                 AND (rate.per_gb IS NOT NULL OR s.storage_gb <= rate.included_gb) THEN""",
    ),
)
RERATE_PAIRS = (
    (
        "CASE WHEN p.is_known AND coalesce(x.is_known, true) THEN",
        """CASE WHEN p.is_known AND coalesce(x.is_known, true)
                 AND (p.storage_gb_month_amount IS NOT NULL OR k.storage_gb <= p.included_storage_gb) THEN""",
    ),
    (
        "SELECT greatest(0, k.storage_gb - p.included_storage_gb) * p.storage_gb_month_amount AS fee",
        "SELECT coalesce(greatest(0, k.storage_gb - p.included_storage_gb) * p.storage_gb_month_amount, 0) AS fee",
    ),
)

FORGET = """
UPDATE costs_price SET storage_gb_month_amount = NULL, updated_at = statement_timestamp()
 WHERE organization_id IS NULL AND storage_gb_month_amount = 0
   AND source LIKE 'AWS WorkSpaces public prices, us-east-1, Windows licence included; second-hand table%%'
"""


def edit(function: str, pairs: tuple[tuple[str, str], ...]) -> str:
    return _WHOLE.edit(pairs).replace(BOOK, function).replace("costs_book does", f"{function.partition('(')[0]} does")


def _edited(function: str, pairs: tuple[tuple[str, str], ...]) -> migrations.RunSQL:
    return migrations.RunSQL(edit(function, pairs), edit(function, tuple((wanted, there) for there, wanted in pairs)))


class Migration(migrations.Migration):
    dependencies = [("costs", "0021_an_hour_is_priced_as_it_began")]

    operations = [
        migrations.AlterField(
            "price",
            "storage_gb_month_amount",
            models.DecimalField(
                blank=True,
                decimal_places=6,
                help_text="Per GB and month beyond what is included; empty = not known.",
                max_digits=18,
                null=True,
            ),
        ),
        migrations.RunSQL(FORGET, migrations.RunSQL.noop),
        _edited(BOOK, BOOK_PAIRS),
        _edited(RERATE, RERATE_PAIRS),
    ]
