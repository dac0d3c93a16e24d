"""Lists of the console as CSV files: made page by page, with an audit entry that is committed before the first byte.

No transaction stays open between two pages, as in the exports of the audit log: a snapshot that is kept for as long as
a slow caller reads keeps every dead row alive, and behind a pooler a cursor on the server is no way (with
FORGE_DATABASE_POOLED Django would hold all rows in memory instead). A row is in the file once, as it was when its page
was read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.canonical import timestamp
from audit.exports.formats import safe_cell
from audit.services import record
from forge.adminkit.exports import File
from forge.adminkit.orders import Order
from forge.api.errors import Refused
from forge.console import actions

PAGE = 2_000
"""Rows per read."""


class ListTooLong(Refused):
    code = "list_too_long"
    title = "This is too much for one file"
    suggested_action = "Narrow the list with a filter."


def export_list(request: HttpRequest, model_admin: Any, queryset: QuerySet) -> File:
    """The `export_fields` of the rows in the list's own order; raises ListTooLong beyond FORGE_LIST_EXPORT_ROWS.

    That order is by what does not change, such as ids and times of making, so that no row moves past the reading.
    """
    now, limit = timezone.now(), settings.FORGE_LIST_EXPORT_ROWS
    count = queryset.order_by().values("pk")[: limit + 1].count()
    if count > limit:
        raise ListTooLong(f"More than {limit} rows are asked for.", extra={"limit": limit})
    opts = model_admin.opts
    with transaction.atomic():
        record(
            actor=request.actor,  # type: ignore[attr-defined]
            action=actions.LIST_EXPORT,
            resource_type=opts.object_name,
            description=f"Exported {count} {opts.verbose_name_plural} as csv",
            context={"format": "csv", "count": count, "filters": urlencode(request.GET.dict())},
        )
    order = Order.of(queryset, model_admin.export_ordering or model_admin.get_ordering(request))
    lines = _lines(queryset, order, model_admin.export_fields)
    return File(f"{opts.model_name}-{now:%Y%m%dT%H%M%SZ}.csv", "text/csv; charset=utf-8", lines)


def _lines(queryset: QuerySet, order: Order, fields: Sequence[str]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, every cell quoted: a line of names, then one for each row, in pieces of a page each."""
    yield _text([[name.replace("__", "_") for name in fields]])
    position = None
    while True:
        rows = order.apply(queryset, position).values(*{*fields, *order.carriers})
        page = list(rows[:PAGE])
        yield _text([[_cell(row[name]) for name in fields] for row in page])
        if len(page) < PAGE:
            return
        position = order.position_of(page[-1])


def _text(lines: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """A value as text; what a spreadsheet would take for a formula has an apostrophe before it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return safe_cell(value)
        case datetime():
            return timestamp(value)
        case dict() | list():
            return safe_cell(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))
    return str(value)
