"""Costs as FOCUS files of one instant, with an audit entry that is committed before the first byte leaves.

A file is written from one snapshot of the database as fast as that gives it, into a spool (forge.api.spools), and sent
from there: a snapshot that stayed open for as long as the slowest reader takes would keep vacuum from the table that
metering updates all day, and reading page by page without one mixes what was with what a bill has made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.focus import rows
from costs.focus.writing import FORMATS
from costs.models import CostRecord
from forge.api import turns
from forge.api.errors import Refused
from forge.api.spools import Spool, SpoolFull, spooled
from forge.db.snapshots import one_instant

SPOOLED = 256 * 1024 * 1024
"""Bytes on disk that an export over the API may take; a million records take about 75 MB."""


class ExportTooLarge(Refused):
    code = "export_too_large"
    title = "This is too much for one answer"
    suggested_action = "Ask for fewer days, or have `manage.py export_focus` write the file."
    advice = "Ask for fewer days, or have an operator write the file."


def of_days(records: QuerySet[CostRecord], start: date, end: date) -> QuerySet[CostRecord]:
    """Those of the UTC days [start, end)."""
    first, last = (datetime.combine(day, time.min, UTC) for day in (start, end))
    return records.filter(period_start__gte=first, period_start__lt=last)


def export(
    *,
    actor: Actor,
    records: QuerySet[CostRecord],
    form: str,
    start: date,
    end: date,
    filters: Mapping[str, str],
    is_bounded: bool = True,
    folder: Path | None = None,
) -> tuple[str, Spool]:
    """The file's name and its content, which the caller closes: records of one organization within [start, end).

    `filters` (kept in the entry) say what of them was asked for. The content waits in `folder`, by default that for
    temporary files. Raises ExportTooLarge beyond the setting's records or SPOOLED bytes, unless it is not bounded,
    NoRoom where the disk is full, RuntimeError inside a transaction, and, where it is bounded and a person's, what
    forge.api.turns raises where it is not their turn.
    """
    writer = FORMATS[form]
    person = actor.user_id if is_bounded else None
    with ExitStack() as unless_told:
        if person is not None:
            turns.take(person)
            unless_told.callback(turns.leave, person)
        with one_instant():
            if person is not None:
                turns.require_alone(person)
            count = _count(records, settings.FORGE_COST_EXPORT_RECORDS if is_bounded else None)
            pages = rows.pages(records, safe=writer.is_for_spreadsheets)
            try:
                content = spooled(writer.written(pages), most=SPOOLED if is_bounded else None, folder=folder)
            except SpoolFull as full:
                raise ExportTooLarge(f"{count} records take too much room.", extra={"records": count}) from full
        unless_told.callback(content.close)
        if person is not None:
            content.at_end(partial(turns.leave, person))
        with transaction.atomic():
            record(
                actor=actor,
                action=actions.COST_EXPORT,
                resource_type="CostRecord",
                description=f"Exported {count} cost records as {form}",
                context={
                    "format": form,
                    "count": count,
                    "start": f"{start}",
                    "end": f"{end}",
                    "filters": urlencode(filters),
                },
            )
        unless_told.pop_all()
    return f"costs-{start}-{end}-focus.{writer.suffix}", content


def _count(records: QuerySet[CostRecord], most: int | None) -> int:
    """How many they are; raises ExportTooLarge beyond `most`."""
    ids = records.order_by().values("id")
    count = ids.count() if most is None else ids[: most + 1].count()
    if most is not None and count > most:
        raise ExportTooLarge(f"More than {most} records are asked for.", extra={"limit": most})
    return count
