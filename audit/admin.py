"""The audit log in the console: to look at and to search, never to change."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from audit import registry
from audit.actors import canonical_address
from audit.models import AuditCheckpoint, AuditLog, AuditPublication, AuditVerification
from audit.verification.standing import standing
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin

Result, Outcome = AuditLog.Result, AuditVerification.Outcome
_PLACE = ("lane", "lane_seq", "partition", "timestamp", "after", "before")


class ActionFilter(admin.SimpleListFilter):
    """By action type, from the registry: the table is too big to ask for its distinct values."""

    title = "action"
    parameter_name = "action_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in registry.names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(action_type=self.value()) if self.value() else queryset


@admin.register(AuditLog)
class AuditLogAdmin(ForgeModelAdmin):
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("timestamp", "action_type", "shown_result", "who", "resource", "action_description", "interface")
    list_filter = (("timestamp", admin.DateFieldListFilter), "result", "interface", "actor_kind", ActionFilter)
    link_lookups = ("resource_id__exact", "correlation_id__exact", "user_id__exact")
    search_fields = ("resource_id",)  # shows the box; `get_search_results` says what is looked for
    search_help_text = "A whole id (of a resource, person or correlation) or a source address."
    ordering = ("-timestamp", "-id")
    list_before_template = "audit/standing.html"
    fieldsets = (
        (None, {"fields": ("timestamp", "occurred_at", "action_type", "result", "action_description")}),
        (
            "Who",
            {
                "fields": (
                    "who", "user_id", "actor_kind", "interface", "credential_id", "source_ip", "user_agent",
                    "organization_id",
                )
            },
        ),
        ("What", {"fields": ("resource", "correlation_id", "shown_context", "shown_changes")}),
        ("Proof", {"fields": ("receipt", "shown_content_hash", "shown_previous_log_hash", "content")}),
    )  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, and above it how the log stands, for those who see verifications."""
        user: Any = request.user
        shown = {}
        if user.is_operator or user.has_role("auditor", "admin"):
            found = standing(timezone.now())
            shown = {"standing": found, "standing_label": "danger" if found.problems else "success"}
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Entries about or by the id, or from the address; Django's own search would read the whole log."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (address := canonical_address(term)) is not None:
            return queryset.filter(source_ip=address), False
        try:
            whose = uuid.UUID(term)
        except ValueError:
            return queryset.filter(resource_id=term), False
        about = Q(resource_id=str(whose)) | Q(user_id=whose) | Q(correlation_id=whose)
        return queryset.filter(about), False

    @display(
        description="result",
        ordering="result",
        label={Result.SUCCESS: "success", Result.FAILURE: "warning", Result.DENIED: "danger"},
    )
    def shown_result(self, entry: AuditLog) -> tuple[str, str]:
        return entry.result, entry.get_result_display()

    @display(description="who")
    def who(self, entry: AuditLog) -> str:
        name = entry.context.get(entry.actor_kind.lower())
        return entry.user_email or (f"{entry.get_actor_kind_display()} {name}" if name else str(entry.user_id or "-"))

    @display(description="resource")
    def resource(self, entry: AuditLog) -> str:
        return f"{entry.resource_type} {entry.resource_id}".strip() or "-"

    @display(description="context")
    def shown_context(self, entry: AuditLog) -> str:
        return _pretty(entry.full_context)

    @display(description="changes")
    def shown_changes(self, entry: AuditLog) -> str:
        return _pretty(entry.full_changes)

    @display(description="content hash")
    def shown_content_hash(self, entry: AuditLog) -> str:
        return bytes(entry.content_hash).hex()

    @display(description="hash of the entry before")
    def shown_previous_log_hash(self, entry: AuditLog) -> str:
        return bytes(entry.previous_log_hash).hex()


class AuditPublicationInline(ForgeInline):
    model = AuditPublication
    view_roles = ("auditor", "admin")
    fields = ("sink", "published_at")
    show_change_link = False


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ForgeModelAdmin):
    """The log's sealed sizes; sizes and hashes of the installation, nobody's data."""

    view_roles = ("auditor", "admin")
    list_display = ("id", "origin", "tree_size", "shown_root", "sealed_at", "signed")
    ordering = ("-id",)
    fieldsets = ((None, {"fields": ("origin", "tree_size", "shown_root", "sealed_at", "note")}),)
    inlines = (AuditPublicationInline,)

    @display(description="root")
    def shown_root(self, checkpoint: AuditCheckpoint) -> str:
        return bytes(checkpoint.root_hash).hex()

    @display(description="signed", boolean=True)
    def signed(self, checkpoint: AuditCheckpoint) -> bool:
        return checkpoint.note is not None


@admin.register(AuditVerification)
class AuditVerificationAdmin(ForgeModelAdmin):
    """What verifications came to; the words of a finding may name rows of any organization, so operators see them."""

    view_roles = ("auditor", "admin")
    list_display = (
        "started_at", "shown_outcome", "scope", "subject", "after_checkpoint", "checkpoint", "rows", "findings"
    )  # fmt: skip
    list_filter = ("outcome", "scope")
    ordering = ("-id",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = (
            "started_at", "finished_at", "scope", "subject", "outcome", "rows", "after_checkpoint", "checkpoint",
            "tree_size", "findings", "shown_first", "correlation_id",
        )  # fmt: skip
        return (*fields, "shown_words", "reason") if request.user.is_operator else fields

    @display(
        description="outcome",
        ordering="outcome",
        label={Outcome.INTACT: "success", Outcome.TAMPERED: "danger", Outcome.UNDECIDED: "warning"},
    )
    def shown_outcome(self, row: AuditVerification) -> str:
        return row.outcome

    @display(description="first finding")
    def shown_first(self, row: AuditVerification) -> str:
        first = row.first or {}
        parts = [first.get("kind"), *(f"{name} {first[name]}" for name in _PLACE if first.get(name) is not None)]
        return ", ".join(filter(None, parts)) or "-"

    @display(description="in words")
    def shown_words(self, row: AuditVerification) -> str:
        return (row.first or {}).get("detail") or "-"


def _pretty(value: Any) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))
