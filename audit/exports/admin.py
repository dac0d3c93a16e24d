"""Exports in the console: the list of entries exports what it shows, and the files that were asked for are listed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from audit import actions, searches
from audit.exports import services as exports
from audit.exports.answers import file_response
from audit.exports.formats import FORMATS
from audit.models import AuditExport, may_export
from forge.adminkit.admin import ForgeModelAdmin, sentence_of
from forge.adminkit.links import link
from forge.api.errors import Problem


class ExportsWhatItShows:
    """Mixin of the list of entries: bounded searches, and a link per format for those who may export."""

    list_before_template = "audit/export_links.html"
    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/<slug:form>/", view, name="audit_auditlog_export"), *super().get_urls()]  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, with links that export exactly what it shows."""
        context = (extra_context or {}) | {"export_links": self._export_links(request)}
        try:
            with searches.bounded():
                return super().changelist_view(request, context)  # type: ignore[misc]
        except Problem as problem:
            return _back(request, problem, request.path)

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """What the list shows under the same address, oldest first, as a file; a refusal becomes a message."""
        if not may_export(request.user):
            raise PermissionDenied
        if form not in FORMATS:
            raise Http404
        shown = reverse(f"{self.admin_site.name}:audit_auditlog_changelist")
        try:
            with searches.bounded():
                queryset = self.get_changelist_instance(request).queryset  # type: ignore[attr-defined]
            name, pieces = exports.stream(
                actor=request.actor,  # type: ignore[attr-defined]
                queryset=queryset,
                form=form,
                filters=request.GET.dict(),
            )
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{shown}?{ERROR_FLAG}=1")
        except Problem as problem:
            return _back(request, problem, f"{shown}?{request.GET.urlencode()}")
        return file_response(name, form, pieces)

    export_view.audit_action = actions.AUDIT_EXPORT  # type: ignore[attr-defined]
    export_view.audit_get = True  # type: ignore[attr-defined]

    def _export_links(self, request: HttpRequest) -> list[dict[str, str]]:
        if not may_export(request.user):
            return []
        query = request.GET.copy()
        for name in (PAGE_VAR, ORDER_VAR, ERROR_FLAG):
            query.pop(name, None)
        view = f"{self.admin_site.name}:audit_auditlog_export"
        return [
            {"title": f"Export {form.upper()}", "address": f"{reverse(view, args=(form,))}?{query.urlencode()}"}
            for form in FORMATS
        ]


@admin.register(AuditExport)
class AuditExportAdmin(ForgeModelAdmin):
    """Files of the log that were asked for through the API."""

    view_roles = ("auditor", "admin")
    list_display = ("id", "shown_format", "shown_state", "entries", "shown_size", "created_at", "expires_at", "file")
    list_filter = ("format",)
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("format", "shown_state", "entries", "size", "sha256", "file")}),
        ("Asked for", {"fields": ("filters", "as_of", "asked_by_id", "organization_id", "operation_id")}),
        ("Time", {"fields": ("created_at", "finished_at", "expires_at", "purged_at")}),
    )

    @display(
        description="state",
        label={
            AuditExport.State.WRITING: "info",
            AuditExport.State.READY: "success",
            AuditExport.State.GONE: "default",
        },
    )
    def shown_state(self, export: AuditExport) -> tuple[str, str]:
        return export.state, str(AuditExport.State(export.state).label)

    @display(description="format", ordering="format")
    def shown_format(self, export: AuditExport) -> str:
        return export.format.upper()

    @display(description="size", ordering="size")
    def shown_size(self, export: AuditExport) -> str:
        return filesizeformat(export.size)

    @display(description="file")
    def file(self, export: AuditExport) -> str:
        if export.state != AuditExport.State.READY:
            return "-"
        address = reverse("audit-export-download", args=(export.pk,))
        return link(address, "Download", download=True)


def _back(request: HttpRequest, problem: Problem, address: str) -> HttpResponse:
    """To `address`, with the refusal as a message, and on the answer for the audit log."""
    messages.error(request, sentence_of(problem))
    response = HttpResponseRedirect(address)
    response.problem = problem  # type: ignore[attr-defined]
    return response
