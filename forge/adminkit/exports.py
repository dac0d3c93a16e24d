"""Lists that give what they show as a file, to those who may have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse

from forge.adminkit.problems import refused_with_message
from forge.api.errors import Problem
from forge.api.files import foretold

READS = ("GET", "HEAD")


@dataclass(frozen=True)
class File:
    """A file in pieces, which are closed once they were sent where they can be."""

    name: str
    pieces: Iterable[bytes]


class ExportsWhatItShows:
    """Mixin of admin classes: with `export_fields` the list has a link that gives exactly what it shows as a file.

    The fields are paths of the ORM: what the list and the page of a row show anyway, as data. The file is made by the
    site (`export_list`), which also leaves the entry in the audit log, unless `exported` says otherwise. Where the file
    is less than the list shows, or for fewer people, `may_export` and `exported_rows` say so.
    """

    export_fields: Sequence[str] = ()
    export_formats: Mapping[str, str] = {"csv": "text/csv; charset=utf-8"}  # and the media type of each
    audit_export = "LIST_EXPORT"
    admin_site: Any
    opts: Any

    def may_export(self, request: HttpRequest) -> bool:
        """Whether the person gets files of this list, which they may look at."""
        return True

    def exported_rows(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """What the person may have of the rows that the list shows; raises a Problem where that is nothing."""
        return queryset

    def exported(self, request: HttpRequest, queryset: QuerySet, form: str) -> File:
        """The rows as a file; raises a Problem where they are too many."""
        return self.admin_site.export_list(request, self, queryset)

    def get_urls(self) -> list[URLPattern]:
        if not self.export_fields:
            return super().get_urls()  # type: ignore[misc]
        view = self.admin_site.admin_view(self.export_view)
        view.audit_get = True
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/<slug:form>/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """What the list shows under the same address, as a file; a refusal becomes a message."""
        if not self.has_view_permission(request) or not self.may_export(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if form not in self.export_formats:
            raise Http404
        if request.method not in READS:
            return HttpResponseNotAllowed(READS)
        media_type = self.export_formats[form]
        shown = reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist")
        try:
            rows = self.get_changelist_instance(request).queryset  # type: ignore[attr-defined]
            rows = self.exported_rows(request, rows)
            if request.method == "HEAD":
                return foretold(media_type)
            file = self.exported(request, rows, form)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{shown}?{ERROR_FLAG}=1")
        except Problem as problem:
            return refused_with_message(request, problem, f"{shown}?{request.GET.urlencode()}")
        headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "X-Content-Type-Options": "nosniff"}
        return StreamingHttpResponse(file.pieces, content_type=media_type, headers=headers)

    def export_links(self, request: HttpRequest) -> list[dict[str, str]]:
        """A link for each format, for those who may."""
        if not self.export_fields or not self.may_export(request):
            return []
        query = request.GET.copy()
        for name in (PAGE_VAR, ORDER_VAR, ERROR_FLAG):
            query.pop(name, None)
        view = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_export"
        return [
            {"title": f"Export {form.upper()}", "address": f"{reverse(view, args=(form,))}?{query.urlencode()}"}
            for form in self.export_formats
        ]
