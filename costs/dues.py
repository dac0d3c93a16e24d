"""What a machine owes ahead, as metering charges it: by its running modes of the month, not by that of now alone.

AlwaysOn is held to the end of the UTC month in which the machine was it, with no started hours, and AutoStop's fee is
owed beside it where the month, or the machine within it, began with AutoStop (docs/money.md). From the next month on
the mode of now counts alone. `costs_book` charges so; everything that looks ahead asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import CharField, DateTimeField, F, Func, Value

from costs.models import Price
from costs.pricing import accruals, month_of, reserved_hours
from workspaces.models import WorkSpace

Kind = tuple[str, str, str, str, str]
"""Service type, region, bundle type, operating system, running mode: what a price follows from."""

BOTH = "BOTH"
"""AlwaysOn to the end of the month, and AutoStop's fee beside it."""

_CHARGED = {BOTH: (WorkSpace.RunningMode.ALWAYS_ON, WorkSpace.RunningMode.AUTO_STOP)}

MODES = """(
    CASE WHEN EXISTS (
             SELECT FROM workspaces_configurationchange c
              WHERE c.workspace_id = {id}
                AND c.occurred_at > date_trunc('month', {at}::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
         )
         THEN (
             SELECT CASE WHEN m.mode = 'AUTO_STOP' AND coalesce(bool_and(c.before_running_mode = 'AUTO_STOP'), true)
                         THEN 'AUTO_STOP'
                         WHEN (array_agg(c.before_running_mode ORDER BY c.occurred_at, c.id))[1] = 'AUTO_STOP'
                         THEN 'BOTH'
                         ELSE 'ALWAYS_ON'
                    END
               FROM (VALUES ({id}, {launched_at}, {mode}, {at}::timestamptz)) AS m (id, launched_at, mode, at)
               LEFT JOIN workspaces_configurationchange c
                 ON c.workspace_id = m.id
                AND c.occurred_at > greatest(
                        date_trunc('month', m.at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
                        costs_hour_of(m.launched_at)
                    )
              GROUP BY m.mode
         )
         ELSE {mode}
    END
)"""
"""AUTO_STOP, ALWAYS_ON or BOTH: what a machine is charged by to the end of the month of an instant.

By the machine's `id`, `launched_at` and running `mode`, and the instant (`at`). Most have no change in the month, which
PostgreSQL finds for a whole fleet at once, and are charged by their mode: the aggregate is for the others.
"""


class Modes(Func):
    """The same for the rows of a query; `machine` leads from them to the machine, as in "workspace__"."""

    output_field = CharField()

    def __init__(self, now: datetime, machine: str = "") -> None:
        facts = (F(f"{machine}{name}") for name in ("id", "launched_at", "running_mode"))
        super().__init__(*facts, Value(now, output_field=DateTimeField()))

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        """The facts of the machine are columns, so the instant alone has a parameter, at each of its places."""
        columns, parameters = zip(*map(compiler.compile, self.get_source_expressions()), strict=True)
        statement = MODES.format(**dict(zip(("id", "launched_at", "mode", "at"), columns, strict=True)))
        return statement, tuple(parameters[-1]) * MODES.count("{at}")


class LivesUntil(Func):
    """WorkSpace.lives_until for the rows of a query of machines; infinity stands for NEVER."""

    function = "costs_lives_until"
    output_field = DateTimeField()

    def __init__(self, now: datetime) -> None:
        facts = (F(name) for name in ("created_at", "max_lifetime_days", "keep_alive", "keep_alive_until"))
        super().__init__(*facts, Value(now, output_field=DateTimeField()))


@dataclass(frozen=True)
class Dues:
    """Monthly fees: `fees` of the hours that begin before `turn`, a month's end, and `later` of those from then on.

    Each started hour costs `hourly`, but none that begins before `turn` where `runs_free`.
    """

    turn: datetime
    fees: tuple[Decimal, ...]
    later: tuple[Decimal, ...]
    hourly: Decimal
    runs_free: bool

    def fees_between(self, first: datetime, end: datetime) -> Decimal:
        """What the UTC hours that begin in [first, end) owe; both are starts of hours."""
        owed = sum((accruals(fee, first, min(end, self.turn)) for fee in self.fees), Decimal(0))
        return owed + sum((accruals(fee, max(first, self.turn), end) for fee in self.later), Decimal(0))

    def running(self, now: datetime, bound: datetime, hours: int) -> Decimal:
        """What running costs from now to `bound`, at most `hours` hours of it."""
        return self.hourly * reserved_hours(max(now, self.turn) if self.runs_free else now, bound, hours)


def modes_of(machine: WorkSpace, *, now: datetime) -> str:
    """By what the machine is charged to the end of the month of `now`."""
    return str(WorkSpace.objects.filter(pk=machine.pk).values_list(Modes(now), flat=True).get())


def modes_after(modes: str, running_mode: str) -> str:
    """The same once the machine has been switched to `running_mode`."""
    return BOTH if modes == "AUTO_STOP" and running_mode == "ALWAYS_ON" else modes


def kinds_of(kind: Kind, modes: str) -> list[Kind]:
    """The kinds whose prices make what such a machine owes: that of now first, then those it is charged by."""
    return [kind, *((*kind[:4], str(mode)) for mode in _CHARGED.get(modes, (modes,)))]


def dues_of(kind: Kind, modes: str, storage_gb: int, prices: Mapping[Kind, Price], *, now: datetime) -> Dues | None:
    """What a machine of the kind owes that is charged by `modes`; None where the kind has no price.

    `prices` are those of `kinds_of`. Where one of the month's modes has none, nothing can be metered before the next
    month; the mode of now stands for it.
    """
    of_now, *charged = kinds_of(kind, modes)
    if of_now not in prices:
        return None
    later = prices[of_now]
    known = [prices[one] for one in charged if one in prices]
    held = known if len(known) == len(charged) else [later]
    return Dues(
        turn=month_of(now)[1],
        fees=(*(price.monthly_amount for price in held), held[0].storage_fee(storage_gb)),
        later=(later.monthly_amount, later.storage_fee(storage_gb)),
        hourly=later.hourly_amount,
        runs_free=held[0].running_mode == "ALWAYS_ON",
    )
