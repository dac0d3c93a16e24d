"""Changelists of tables that are too big to count: one query per page, which looks one row ahead."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.db import DataError
from django.http import HttpRequest
from unfold.views import ChangeList

MAX_PAGES = 200


class MorePaginator(Paginator):
    """Knows of the rows of one page and whether there are more, and never counts."""

    template_name = "adminkit/more_pagination.html"

    def __init__(self, object_list: Any, per_page: int, *args: Any, page_number: int = 1, **kwargs: Any) -> None:
        super().__init__(object_list, per_page, *args, **kwargs)
        self.page_number = page_number
        start = (page_number - 1) * per_page
        rows = list(object_list[start : start + per_page + 1])
        self.has_more = len(rows) > per_page
        self.rows = rows[:per_page]
        self.seen = start + len(rows)

    @property
    def count(self) -> int:  # type: ignore[override]
        """Rows up to the end of this page, plus one when there are more: enough for links, never shown as a total."""
        return self.seen

    def page(self, number: Any) -> Page:
        return Page(self.rows, self.page_number, self)


class MoreChangeList(ChangeList):
    """A changelist without COUNT, ending at MAX_PAGES pages: deeper ones are what filters are for."""

    def get_results(self, request: HttpRequest) -> None:
        if not 1 <= self.page_num <= MAX_PAGES:
            raise IncorrectLookupParameters(f"{PAGE_VAR} is from 1 to {MAX_PAGES}")
        try:
            self.paginator = MorePaginator(self.queryset, self.list_per_page, page_number=self.page_num)
        except DataError as error:  # a value in the address that no row can hold
            raise IncorrectLookupParameters(error) from error
        self.result_list = self.paginator.rows
        self.result_count = self.paginator.seen
        self.full_result_count = self.result_count  # equal, so that no template shows either as a total
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all = False
        self.multi_page = self.paginator.has_more or self.page_num > 1
        self.is_last_page = not self.paginator.has_more or self.page_num == MAX_PAGES
