"""Metering tops up what is owed of AutoStop's fee beside AlwaysOn's too, in the month of a switch.

`budgets_reckon` is that of migration 0004, with that fee to the end of the month among the fees to come. Whatever
switched the machine, Forge or somebody in AWS, its reservation reaches what the month will charge (docs/money.md). The
changes of a machine are looked for by workspaces_reconfigured, and of those alone that are charged as AlwaysOn.
"""

from functools import reduce
from importlib import import_module

from django.db import migrations

LIMITS = import_module("budgets.migrations.0004_limits_that_move")

_BESIDE = """coalesce(
                   CASE WHEN p.running_mode = 'ALWAYS_ON' AND (
                            SELECT c.before_running_mode FROM workspaces_configurationchange c
                             WHERE c.workspace_id = w.id
                               AND c.occurred_at > greatest(
                                       date_trunc('month', budgets_reckon.at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
                                       costs_hour_of(w.launched_at)
                                   )
                             ORDER BY c.occurred_at, c.id LIMIT 1
                        ) = 'AUTO_STOP'
                        THEN (
                            SELECT also.monthly_amount
                              FROM costs_price_at(
                                  w.organization_id, p.service_type, p.region, p.bundle_type, p.operating_system,
                                  'AUTO_STOP', p.currency, costs_hour_of(budgets_reckon.at)
                              ) also
                        )
                   END, 0) AS beside"""

_PLACES = (
    ("SELECT w.id, p.monthly_amount AS fee,", f"SELECT w.id, {_BESIDE}, p.monthly_amount AS fee,"),
    ("m.fee, m.storage_fee, m.hourly,", "m.fee, m.beside, m.storage_fee, m.hourly,"),
    ("SELECT DISTINCT fee, storage_fee,", "SELECT DISTINCT fee, beside, storage_fee,"),
    (
        "costs_accrued(k.fee, k.hour) - costs_accrued(k.fee, next_hour)",
        """costs_accrued(k.fee, k.hour) - costs_accrued(k.fee, next_hour)
                   + CASE WHEN k.beside > 0 AND next_hour < least(k.hour, month_end)
                          THEN costs_accrued(k.beside, least(k.hour, month_end)) - costs_accrued(k.beside, next_hour)
                          ELSE 0
                     END""",
    ),
    ("USING (fee, storage_fee, hourly, bound)", "USING (fee, beside, storage_fee, hourly, bound)"),
    (
        "interval '1 hour' - interval '1 microsecond');\nBEGIN",
        """interval '1 hour' - interval '1 microsecond');
    month_end timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
BEGIN""",
    ),
)


def _again(function: str, place: tuple[str, str]) -> str:
    """The function with one place changed, which stands in it once."""
    was, becomes = place
    before, found, after = function.partition(was)
    if not found or was in after:
        raise ValueError(f"not once in the function: {was}")
    return before + becomes + after


RECKON_FORWARD = reduce(_again, _PLACES, LIMITS.RECKON_FORWARD)


class Migration(migrations.Migration):
    dependencies = [("budgets", "0005_owner_is_told_too"), ("costs", "0007_corrections")]

    operations = [migrations.RunSQL(RECKON_FORWARD, LIMITS.RECKON_FORWARD)]
