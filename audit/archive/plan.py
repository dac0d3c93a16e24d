"""What retention would do next, and why not yet: the next step of each month that is past its retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from audit import places
from audit.archive.policies import Policy, policies
from audit.receipts import Receipt
from audit.sealing import seals
from forge.db import detached, partitions
from forge.db.detached import Place
from forge.db.models import ArchivedMonth
from forge.db.months import add_months, month_of

LEAST_AGE = timedelta(days=7)
"""So long a copy stands in the archive before its month is dropped."""

State = ArchivedMonth.State


class Step(StrEnum):
    DETACH = "detach"
    EXPORT = "export"
    DROP = "drop"
    REMOVE = "remove"


@dataclass(frozen=True)
class Due:
    """The next step of a month. `waits` say why it is not taken yet, `faults` what somebody must see to."""

    policy: Policy
    partition: str
    month: date
    step: Step
    record: ArchivedMonth | None = None
    waits: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return not self.waits and not self.faults

    def as_json(self) -> dict[str, Any]:
        shown = {"table": self.policy.table, "month": f"{self.month:%Y-%m}", "partition": self.partition}
        return shown | {"step": self.step.value, "waits": list(self.waits), "faults": list(self.faults)}

    def __str__(self) -> str:
        reasons = "; ".join([*self.faults, *self.waits])
        return f"{self.step} {self.partition}" + (f": not yet, {reasons}" if reasons else "")


def plan(now: datetime) -> list[Due]:
    """The next step of each month that is past its retention, the oldest first; changes nothing.

    Raises ImproperlyConfigured.
    """
    return [due for policy in policies() for due in _plan(policy, now)]


def overdue(now: datetime) -> list[str]:
    """The partitions that are past their retention and still attached; reads the catalogue alone."""
    return [
        partition.name
        for policy in policies()
        for partition in partitions.attached(policy.table, using="default")
        if partition.first and is_past_retention(policy, partition.first, now)
    ]


def is_past_retention(policy: Policy, month: date, now: datetime) -> bool:
    """Whether the whole month is older than the months that are kept; the current one does not count as kept."""
    return add_months(month, 1 + policy.months) <= month_of(now)


def _plan(policy: Policy, now: datetime) -> Iterator[Due]:
    policy.check_setting()
    records = {one.month: one for one in ArchivedMonth.objects.filter(table=policy.table)}
    present = partitions.attached(policy.table, using="default")
    attached = {one.first: one for one in present if one.first is not None}
    for month in sorted(records.keys() | attached.keys()):
        if month in records:
            if (due := next_step(policy, records[month], now)) is not None:
                yield due
        elif is_past_retention(policy, month, now):
            held = attached[month]
            faults = () if held.end == add_months(month, 1) else ("it holds more than one month",)
            waits = tuple(policy.hindrances(month, add_months(month, 1))) + _without_archive()
            yield Due(policy, held.name, month, Step.DETACH, None, waits, faults)


def next_step(policy: Policy, record: ArchivedMonth, now: datetime) -> Due | None:
    """The next step of a month that is on its way; None when it has arrived."""
    place = detached.place_of(record.table, record.month, record.partition, using="default")
    facts = (policy, record.partition, record.month)
    if record.state == State.DROPPED:
        if place is Place.NOWHERE:
            return None
        return Due(*facts, Step.REMOVE, record, _waits(policy, record, now), _unless(place, Place.DETACHED))
    if record.state == State.EXPORTED:
        return Due(*facts, Step.DROP, record, _waits(policy, record, now), _unless(place, Place.DETACHED))
    if place is Place.DETACHED:
        return Due(*facts, Step.EXPORT, record, _without_archive())
    return Due(*facts, Step.DETACH, record, (), ("its table is gone",) if place is Place.NOWHERE else ())


def _unless(place: Place, wanted: Place) -> tuple[str, ...]:
    return () if place is wanted else (f"its table should be detached, and is {place.value}",)


def _without_archive() -> tuple[str, ...]:
    return () if places.configured() else ("FORGE_ARCHIVE is not set",)


def _waits(policy: Policy, record: ArchivedMonth, now: datetime) -> tuple[str, ...]:
    """Why an exported month is not dropped yet, or a dropped one not removed."""
    found = list(_without_archive())
    if record.exported_at is not None and now < record.exported_at + LEAST_AGE:
        found.append(f"its copy must stand until {record.exported_at + LEAST_AGE:%Y-%m-%d %H:%M} UTC")
    found += policy.hindrances(record.month, add_months(record.month, 1))
    if policy.is_sealed and record.drop_receipt and not _is_published(Receipt.parse(record.drop_receipt)):
        found.append("the entry that drops it is not under a signed and published checkpoint yet")
    return tuple(found)


def _is_published(receipt: Receipt) -> bool:
    try:
        proof = seals.prove(receipt)
    except seals.NotSealedYet:
        return False
    return proof.checkpoint.publications.exists()
