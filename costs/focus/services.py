"""Costs as FOCUS files: streamed at once, with an audit entry that is committed before the first byte.

A file holds the records that were there when it was asked for. Their ids say which: a snapshot of the database would
have to stay open as long as the slowest reader takes, and keep vacuum from the table that metering updates all day.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, QuerySet

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.focus import rows
from costs.focus.writing import FORMATS
from costs.models import CostRecord
from forge.api.errors import Refused

logger = logging.getLogger(__name__)


class ExportTooLarge(Refused):
    code = "export_too_large"
    title = "This is too much for one answer"
    suggested_action = "Ask for fewer days, or have `manage.py export_focus` write the file."


class ExportCut(RuntimeError):
    """Fewer records were read than there were: the stream ends without its last bytes."""


def of_days(records: QuerySet[CostRecord], start: date, end: date) -> QuerySet[CostRecord]:
    """Those of the UTC days [start, end)."""
    first, last = (datetime.combine(day, time.min, UTC) for day in (start, end))
    return records.filter(period_start__gte=first, period_start__lt=last)


def stream(
    *,
    actor: Actor,
    records: QuerySet[CostRecord],
    form: str,
    start: date,
    end: date,
    filters: Mapping[str, str],
    limit: int | None = None,
) -> tuple[str, Iterator[bytes]]:
    """The file's name and its content, piece by piece, of records of one organization within [start, end).

    `filters` (kept in the entry) say what of them was asked for. Raises ExportTooLarge beyond `limit` records, by
    default those of the setting; 0 is no limit.
    """
    most = settings.FORGE_COST_EXPORT_RECORDS if limit is None else limit
    ids = records.order_by().values("id")
    known = (ids[: most + 1] if most else ids).aggregate(count=Count("id"), newest=Max("id"))
    count = known["count"]
    if most and count > most:
        raise ExportTooLarge(f"More than {most} records are asked for.", extra={"limit": most})
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
    writer = FORMATS[form]
    there = records.filter(id__lte=known["newest"] or 0)
    pages = rows.pages(there, safe=writer.is_for_spreadsheets)
    return f"costs-{start}-{end}-focus.{writer.suffix}", writer.written(_whole(pages, count))


def _whole(pages: Iterator[tuple[int, bytes]], count: int) -> Iterator[bytes]:
    """The rows of the pages; raises ExportCut, which breaks the stream off, when they were not all.

    They may be more: a transaction that was open when the file was asked for may have committed records since.
    """
    written = 0
    for number, page in pages:
        written += number
        yield page
    if written < count:
        logger.error("An export of %s cost records was cut after %s.", count, written)
        raise ExportCut(f"{written} records were read of {count}")
