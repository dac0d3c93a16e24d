"""Exports in the console: the list of entries exports what it shows, and the files that were asked for are listed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from unfold.decorators import display

from audit import actions, searches
from audit.exports import services as exports
from audit.exports.formats import FIELDS, FORMATS
from audit.models import AuditExport, may_export
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.exports import File
from forge.adminkit.links import link
from forge.adminkit.problems import refused_with_message
from forge.api.errors import Problem


class ExportsTheLog:
    """Mixin of the list of entries: bounded searches, and the log's own formats for those who may export."""

    export_fields = FIELDS
    export_formats = {name: form.media_type for name, form in FORMATS.items()}
    audit_export = actions.AUDIT_EXPORT

    def may_export(self, request: HttpRequest) -> bool:
        return may_export(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list; a search that reads too much becomes a message."""
        try:
            return super().changelist_view(request, extra_context)  # type: ignore[misc]
        except Problem as problem:
            return refused_with_message(request, problem, request.path)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list's rows, which are read here; raises SearchTooWide."""
        with searches.bounded():
            return super().get_changelist_instance(request)  # type: ignore[misc]

    def exported(self, request: HttpRequest, queryset: QuerySet, form: str) -> File:
        """The entries, oldest first, in the formats of the API's exports."""
        name, pieces = exports.stream(
            actor=request.actor,  # type: ignore[attr-defined]
            queryset=queryset,
            form=form,
            filters=request.GET.dict(),
        )
        return File(name, pieces)


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
