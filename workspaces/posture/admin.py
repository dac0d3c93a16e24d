"""Findings in the console: a list of its own, and what stands on the page of a machine or an account."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join

from forge.adminkit.admin import ForgeModelAdmin
from workspaces.models import Finding, ProviderAccount, WorkSpace

SHOWN = 20


def shown_findings(of: WorkSpace | ProviderAccount) -> str:
    """The findings that stand on a machine or anywhere in an account, the newest first."""
    rows = of.findings.open().order_by("-found_at", "-id")[:SHOWN]
    lines = (
        (row.get_severity_display(), row.get_check_name_display(), row.subject, f"{row.found_at:%Y-%m-%d %H:%M}")
        for row in rows
    )
    return format_html_join("", "<div>{}: {} ({}, since {} UTC)</div>", lines) or "None."


@admin.register(Finding)
class FindingAdmin(ForgeModelAdmin):
    view_roles = ("auditor", "admin")
    list_display = ("check_name", "severity", "subject", "workspace", "provider_account", "found_at", "resolved_at")
    list_filter = ("check_name", "severity", ("resolved_at", admin.EmptyFieldListFilter), "provider_account")
    list_select_related = ("workspace", "provider_account")
    search_fields = ("id__exact", "subject", "workspace__id__exact")
    ordering = ("-found_at", "-id")
    show_facets = admin.ShowFacets.NEVER
