"""Lists in pages of a row-value keyset; DRF's CursorPagination loops for ever over equal timestamps."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from forge.api.errors import BadRequest, parameter_error
from forge.api.keysets import InvalidCursor, Keyset, Position


class InvalidPage(BadRequest):
    code = "invalid_page"
    title = "This page cannot be shown"
    suggested_action = "Follow the next and previous links as they were given."


class UnknownOrdering(BadRequest):
    code = "unknown_ordering"
    title = "The list cannot be ordered so"


def suggestion(word: str, known: Iterable[str]) -> dict[str, str]:
    """`{"did_you_mean": …}` when one of `known` is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return {"did_you_mean": close[0]} if close else {}


class KeysetPagination(BasePagination):
    """`?page_size=` (1 to 1,000), `?ordering=` and an opaque `?cursor=`; answers {"next", "previous", "results"}.

    A view names its orders in `ordering_fields` (names, or a mapping of name to ORM path; `id` is always one) and its
    default in `ordering` (else newest id first).
    """

    page_size = 50
    max_page_size = 1000
    parameters = ("cursor", "page_size", "ordering")

    def paginate_queryset(self, queryset: QuerySet, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page that the request asks for; raises InvalidPage or UnknownOrdering."""
        self.request = request
        size = self._page_size(request)
        keyset = self._keyset(queryset, request, view)
        position = self._position(keyset, request)
        rows = list(keyset.apply(queryset, position)[: size + 1])
        more = len(rows) > size
        rows = rows[:size]
        backward = position is not None and position.backward
        if backward:
            rows.reverse()
        self.next_position, self.previous_position = neighbours(keyset, rows, position, more=more)
        self.keyset = keyset
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self._link(self.next_position), "previous": self._link(self.previous_position), "results": data}
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "description": "The whole address of that page."}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        orders = sorted(_orders(view))
        sizes = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [
            _parameter("cursor", "A place in the list, as the next and previous links carry it.", {"type": "string"}),
            _parameter("page_size", "How many rows a page holds.", sizes),
            _parameter(
                "ordering",
                "Order of the list; equal values are ordered by id.",
                {"type": "string", "enum": orders + [f"-{name}" for name in orders]},
            ),
        ]

    def _page_size(self, request: Request) -> int:
        text = request.query_params.get("page_size")
        if text is None:
            return self.page_size
        if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= self.max_page_size:
            message = f"A whole number from 1 to {self.max_page_size}."
            raise InvalidPage("page_size is out of range.", errors=[parameter_error("page_size", message)])
        return int(text)

    def _keyset(self, queryset: QuerySet, request: Request, view: Any) -> Keyset:
        text = request.query_params.get("ordering", getattr(view, "ordering", None) or "-id")
        name = text.removeprefix("-")
        orders = _orders(view)
        if name not in orders:
            message = f"Known: {', '.join(sorted(orders))}; with - before it for descending."
            error = parameter_error("ordering", message, code="unknown", **suggestion(name, orders))
            raise UnknownOrdering(
                f"There is no order by {name[:80]!r}.", errors=[error], extra={"known": sorted(orders)}
            )
        return Keyset.of(queryset, name, orders[name], descending=text.startswith("-"))

    def _position(self, keyset: Keyset, request: Request) -> Position | None:
        text = request.query_params.get("cursor")
        if text is None:
            return None
        try:
            return keyset.decode(text)
        except InvalidCursor as exc:
            message = f"The cursor is {exc}." if str(exc) != "not a cursor" else "This is not a cursor."
            raise InvalidPage(message, errors=[parameter_error("cursor", message)]) from None

    def _link(self, position: Position | None) -> str | None:
        if position is None:
            return None
        return replace_query_param(self.request.build_absolute_uri(), "cursor", self.keyset.encode(position))


def neighbours(
    keyset: Keyset, rows: list[Any], position: Position | None, *, more: bool
) -> tuple[Position | None, Position | None]:
    """Where the next and the previous page begin, None where there is none.

    A page reached by a cursor came from somewhere, so the way back is always offered; when everything on it has gone
    meanwhile, the way back includes the row at which the cursor stood.
    """
    backward = position is not None and position.backward
    if not rows:
        if position is None:
            return None, None
        back = Position(position.value, position.pk, not backward, inclusive=not position.inclusive)
        return (back, None) if backward else (None, back)
    after = keyset.position_of(rows[-1]) if more or backward else None
    before = keyset.position_of(rows[0], backward=True) if (more if backward else position is not None) else None
    return after, before


def _orders(view: Any) -> dict[str, str]:
    fields = getattr(view, "ordering_fields", ())
    named = dict(fields) if isinstance(fields, Mapping) else {name: name for name in fields}
    return {"id": "pk"} | named


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
