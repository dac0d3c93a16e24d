"""Lists of the console as CSV files of one instant, with an audit entry that is committed before the first byte leaves.

A file is written from one statement, as fast as the database gives its rows, into a spool (forge.api.spools), and sent
from there: what is booked meanwhile is in all of its sums or in none, and a slow caller keeps no dead row alive.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.query import ValuesIterable
from django.http import HttpRequest
from django.utils import timezone

from audit.canonical import timestamp
from audit.exports.formats import safe_cell
from audit.services import record
from forge.adminkit.exports import File
from forge.adminkit.orders import Order
from forge.api import turns
from forge.api.errors import Refused
from forge.api.spools import SpoolFull, spooled
from forge.console import actions

PAGE = 2_000
"""Rows per read."""
SPOOLED = 256 * 1024 * 1024
"""Bytes on disk that a file may take."""


class ListTooLong(Refused):
    code = "list_too_long"
    title = "This is too much for one file"
    suggested_action = "Narrow the list with a filter."


def export_list(request: HttpRequest, model_admin: Any, queryset: QuerySet) -> File:
    """The `export_fields` of the rows, in the list's own order or that for its files.

    Raises ListTooLong beyond FORGE_LIST_EXPORT_ROWS rows or SPOOLED bytes, NoRoom, and where it is not the
    person's turn (forge.api.turns).
    """
    now, opts = timezone.now(), model_admin.opts
    leave = partial(turns.leave, request.user.pk)
    order = Order.of(queryset, model_admin.export_ordering or model_admin.get_ordering(request))
    turns.take(request.user.pk)
    with ExitStack() as unless_told:
        unless_told.callback(leave)
        rows = _Rows(order.apply(queryset, None), model_admin.export_fields)
        try:
            with transaction.atomic():
                turns.require_alone(request.user.pk)
                _require_few(queryset)
                content = spooled(rows.lines(), most=SPOOLED)
        except SpoolFull as full:
            raise ListTooLong("These rows take too much room.", extra={"rows": rows.count}) from full
        unless_told.callback(content.close)
        content.at_end(leave)
        with transaction.atomic():
            record(
                actor=request.actor,  # type: ignore[attr-defined]
                action=actions.LIST_EXPORT,
                resource_type=opts.object_name,
                description=f"Exported {rows.count} {opts.verbose_name_plural} as csv",
                context={"format": "csv", "count": rows.count, "filters": urlencode(request.GET.dict())},
            )
        unless_told.pop_all()
    return File(f"{opts.model_name}-{now:%Y%m%dT%H%M%SZ}.csv", content)


def _require_few(queryset: QuerySet) -> None:
    limit = settings.FORGE_LIST_EXPORT_ROWS
    if queryset.order_by().values("pk")[: limit + 1].count() > limit:
        raise ListTooLong(f"More than {limit} rows are asked for.", extra={"limit": limit})


class _Rows:
    """Rows as RFC 4180 in UTF-8, every cell quoted; `count` are those that were read."""

    def __init__(self, queryset: QuerySet, fields: Sequence[str]) -> None:
        self._queryset, self._fields = queryset, fields
        self.count = 0

    def lines(self) -> Generator[bytes]:
        """A line of names, then one for each row, in pieces of a page each; all from one statement.

        Its cursor stands on the server also behind a pooler, which keeps a transaction in one session; Django's own
        `iterator` would hold all rows in memory there. The caller has the transaction, and closes the generator in it.
        """
        yield _text([[name.replace("__", "_") for name in self._fields]])
        found = ValuesIterable(self._queryset.values(*self._fields), chunked_fetch=True, chunk_size=PAGE)
        with closing(iter(found)) as rows:
            while page := list(islice(rows, PAGE)):
                yield _text([[_cell(row[name]) for name in self._fields] for row in page])
                self.count += len(page)


def _text(lines: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


_AS_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str)


def _cell(value: Any) -> str:
    """A value as text; what a spreadsheet would take for a formula has an apostrophe before it."""
    match value:
        case str():
            return safe_cell(value)
        case None:
            return ""
        case datetime():
            # As the database gives it, it is in UTC: the same text without a conversion.
            return f"{value.isoformat(timespec='microseconds')[:-6]}Z" if value.tzinfo is UTC else timestamp(value)
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return safe_cell(_AS_JSON.encode(value))
    return str(value)
