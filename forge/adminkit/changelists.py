"""Changelists of tables that are too big to count: a page is one query from a place in the order, one row ahead.

No COUNT and no OFFSET: the last page of a million rows costs as much as the first, and rows that come or go meanwhile
neither double nor hide another. `?p=` carries the place, as the links to the next and the previous page give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Page, Paginator
from django.db import DataError
from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest
from unfold.views import ChangeList

from forge.adminkit.orders import Order
from forge.api.keysets import InvalidCursor, Position
from forge.api.pagination import neighbours


class KeysetPaginator(Paginator):
    """The rows of one page, for templates that ask a paginator; it never counts."""

    template_name = "adminkit/keyset_pagination.html"

    @property
    def count(self) -> int:  # type: ignore[override]
        """Rows on this page, never shown as a total."""
        return len(self.object_list)

    def page(self, number: Any) -> Page:
        return Page(self.object_list, 1, self)


class KeysetChangeList(ChangeList):
    """A changelist without COUNT and OFFSET; `next_link` and `previous_link` are '' where there is no such page."""

    next_link = previous_link = ""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.place = request.GET.get(PAGE_VAR, "")
        super().__init__(request, *args, **kwargs)

    @property
    def first_link(self) -> str:
        """The address of the first page; '' on it."""
        return self.get_query_string(remove=[PAGE_VAR]) if self.place else ""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[str]:
        """As Django's, as names, with the primary key last and going the way of the column before it."""
        self.order = Order.of(queryset, [_name_of(one) for one in super().get_ordering(request, queryset)])
        return self.order.names

    def _get_deterministic_ordering(self, ordering: Sequence[Any]) -> list[Any]:
        """Nothing more: Order ends with the primary key."""
        return list(ordering)

    def get_results(self, request: HttpRequest) -> None:
        position = self._position(request)
        try:
            rows = list(self.order.apply(self.queryset, position)[: self.list_per_page + 1])
        except DataError as error:  # a value in the address that no row can hold
            raise IncorrectLookupParameters(error) from error
        more = len(rows) > self.list_per_page
        self.result_list = rows[: self.list_per_page]
        if position is not None and position.backward:
            self.result_list.reverse()
        after, before = neighbours(self.order, self.result_list, position, more=more)
        self.next_link, self.previous_link = self._link(after), self._link(before)
        self.paginator = KeysetPaginator(self.result_list, self.list_per_page)
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # equal, so that no template shows either as a total
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all = False
        self.multi_page = more or position is not None

    def _position(self, request: HttpRequest) -> Position | None:
        """Where the page begins; the first one, and a word about it, for what is no place in this order."""
        try:
            return self.order.decode(self.place) if self.place else None
        except InvalidCursor:
            messages.info(request, "There is no such page of this list in this order. This is the first.")
            self.place = ""
            return None

    def _link(self, position: Position | None) -> str:
        return "" if position is None else self.get_query_string({PAGE_VAR: self.order.encode(position)})


def _name_of(ordering: Any) -> str:
    """An entry of an ordering as a name; lists are ordered by columns, which an index can hold."""
    if isinstance(ordering, OrderBy) and isinstance(ordering.expression, F):
        return f"{'-' if ordering.descending else ''}{ordering.expression.name}"
    if isinstance(ordering, F):
        return ordering.name
    if isinstance(ordering, str):
        return ordering
    raise FieldDoesNotExist(f"a list cannot be ordered by {ordering!r}: name a column")
