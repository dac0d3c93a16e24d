"""The audit log in the console: to look at and to search, never to change; and the holds on it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from audit import actions, holds, registry
from audit.actors import canonical_address
from audit.exports.admin import ExportsTheLog
from audit.models import AuditCheckpoint, AuditLog, AuditPublication, AuditVerification, LegalHold
from audit.receipts import Receipt
from audit.verification.admin import AuditVerificationAdmin
from audit.verification.standing import Standing, standing
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.links import link
from forge.api.filters import search
from forge.db.months import add_months, month_of

Result = AuditLog.Result
MONTHS_OFFERED = 24
_AT = SafeString("@<wbr>")  # where an address may be broken
_EXACT = "%Y-%m-%d %H:%M:%S.%f UTC"

__all__ = ["AuditCheckpointAdmin", "AuditLogAdmin", "AuditVerificationAdmin", "LegalHoldAdmin"]


class ActionFilter(admin.SimpleListFilter):
    """By action type, from the registry: the table is too big to ask for its distinct values."""

    title = "action"
    parameter_name = "action_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in registry.names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(action_type=self.value()) if self.value() else queryset


class MonthFilter(admin.SimpleListFilter):
    """By month of the log, which is how it is stored; a date hierarchy would read all of it for its links."""

    title = "month"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        last = month_of(timezone.now())
        newest_first = (add_months(last, -back) for back in range(MONTHS_OFFERED))
        return [(f"{month:%Y-%m}", f"{month:%B %Y}") for month in newest_first]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        try:
            first = datetime.strptime(self.value(), "%Y-%m").replace(tzinfo=UTC)
            end = datetime.combine(add_months(first.date(), 1), time.min, UTC)
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
        return queryset.filter(timestamp__gte=first, timestamp__lt=end)


@admin.register(AuditLog)
class AuditLogAdmin(ExportsTheLog, ForgeModelAdmin):
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("shown_time", "action_type", "shown_result", "shown_who", "shown_what")
    list_filter = (
        "result",
        "interface",
        "actor_kind",
        ("timestamp", admin.DateFieldListFilter),
        MonthFilter,
        ActionFilter,
    )
    link_lookups = ("resource_id__exact", "correlation_id__exact", "user_id__exact")
    search_fields = ("resource_id",)  # shows the box; `get_search_results` says what is looked for
    search_help_text = "A whole id, receipt or address, or words"
    ordering = ("-timestamp", "-id")
    list_before_template = "audit/standing.html"
    fieldsets = (
        (None, {"fields": ("recorded", "occurred", "action_type", "result", "action_description")}),
        (
            "Who",
            {
                "fields": (
                    "who", "user_id", "actor_kind", "interface", "credential_id", "shown_source_ip", "shown_user_agent",
                    "organization_id",
                )
            },
        ),
        ("What", {"fields": ("resource", "correlated", "shown_context", "shown_changes", "shown_erased")}),
        ("Proof", {"fields": ("receipt", "shown_content_hash", "shown_previous_log_hash", "content")}),
    )  # fmt: skip

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, and above it how the log stands, for those who see verifications."""
        user: Any = request.user
        shown = {}
        if user.is_operator or user.has_role("auditor", "admin"):
            found = standing(timezone.now())
            shown = {"standing": found, "standing_label": _label_of(found)}
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """All entries of what this one is about; of its request where it is about nothing that has an id."""
        entry = self.get_object(request, object_id)
        if entry is None:
            return super().history_view(request, object_id, extra_context)
        if entry.resource_id:
            return super().history_view(request, quote(entry.resource_id), extra_context)
        return HttpResponseRedirect(self._address_of_request(entry))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Entries about or by the id, of the receipt, from the address, by whoever had the email, else with the words.

        What no index serves ends with SearchTooWide when it takes long: `changelist_view` tells the person so.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        if (address := canonical_address(term)) is not None:
            return queryset.filter(source_ip=address), False
        if (receipt := _receipt(term)) is not None:
            return queryset.filter(id=receipt.entry_id, log_hash=receipt.log_hash), False
        try:
            whose = uuid.UUID(term)
        except ValueError:
            return self._with_words(queryset, term), False
        about = Q(resource_id=str(whose)) | Q(user_id=whose) | Q(correlation_id=whose)
        return queryset.filter(about), False

    def _with_words(self, queryset: QuerySet, term: str) -> QuerySet:
        if "@" in term and " " not in term:
            return queryset.filter(user_email__iexact=term)
        about = queryset.filter(resource_id=term)
        return about if about.exists() else search(queryset, term, ["action_description"])

    @display(
        description="result",
        ordering="result",
        label={Result.SUCCESS: "success", Result.FAILURE: "warning", Result.DENIED: "danger"},
    )
    def shown_result(self, entry: AuditLog) -> tuple[str, str]:
        return entry.result, entry.get_result_display()

    @display(description="recorded at", ordering="timestamp")
    def shown_time(self, entry: AuditLog) -> str:
        """Day and time on a line each."""
        return format_html("{}<br>{} UTC", f"{entry.timestamp:%Y-%m-%d}", f"{entry.timestamp:%H:%M:%S}")

    @display(description="recorded at")
    def recorded(self, entry: AuditLog) -> str:
        """To the microsecond: the database's clock when the entry took its place in the lane."""
        return f"{entry.timestamp:{_EXACT}}"

    @display(description="occurred at")
    def occurred(self, entry: AuditLog) -> str:
        return f"{entry.occurred_at:{_EXACT}}"

    @display(description="who, by which way")
    def shown_who(self, entry: AuditLog) -> str:
        name = format_html_join(_AT, "{}", ((part,) for part in self.who(entry).split("@")))
        return format_html('{}<span class="block text-xs">{}</span>', name, entry.get_interface_display())

    @display(description="what")
    def shown_what(self, entry: AuditLog) -> str:
        """The description, and the resource where that does not name it."""
        if entry.resource_id and entry.resource_id in entry.action_description:
            return entry.action_description
        about = self.resource(entry)
        return format_html('{}<span class="block text-xs">{}</span>', entry.action_description, about)

    @display(description="who")
    def who(self, entry: AuditLog) -> str:
        name = entry.context.get(entry.actor_kind.lower())
        if "user_email" in entry.erased:
            return f"{entry.user_id or entry.get_actor_kind_display()} (erased)"
        return entry.user_email or (f"{entry.get_actor_kind_display()} {name}" if name else str(entry.user_id or "-"))

    @display(description="resource")
    def resource(self, entry: AuditLog) -> str:
        return f"{entry.resource_type} {entry.resource_id}".strip() or "-"

    @display(description="source address")
    def shown_source_ip(self, entry: AuditLog) -> str:
        return "erased" if "source_ip" in entry.erased else entry.source_ip or "-"

    @display(description="user agent")
    def shown_user_agent(self, entry: AuditLog) -> str:
        return "erased" if "user_agent" in entry.erased else entry.user_agent or "-"

    @display(description="erased")
    def shown_erased(self, entry: AuditLog) -> str:
        return ", ".join(entry.erased) or "-"

    @display(description="correlation id")
    def correlated(self, entry: AuditLog) -> str:
        """The id, leading to everything that the same request caused."""
        return link(self._address_of_request(entry), entry.correlation_id)

    def _address_of_request(self, entry: AuditLog) -> str:
        shown = reverse(f"{self.admin_site.name}:audit_auditlog_changelist")
        return f"{shown}?correlation_id__exact={entry.correlation_id}"

    @display(description="context")
    def shown_context(self, entry: AuditLog) -> str:
        return _pretty(entry.full_context)

    @display(description="changes")
    def shown_changes(self, entry: AuditLog) -> str:
        """A line for each value, before and after, with what became of it; as it stands where a side is no object."""
        changes = entry.full_changes
        if changes is None:
            return "None."
        before, after = ({} if changes[side] is None else changes[side] for side in ("before", "after"))
        if not isinstance(before, dict) or not isinstance(after, dict):
            return _pretty(changes)
        lines = []
        for name in sorted(before.keys() | after.keys()):
            what = _became(before, after, name)
            lines.append((f"forge-{what}" if what else "", name, _cell(before, name), _cell(after, name), what))
        rows = format_html_join(
            "", "<tr class='{}'><th scope='row'>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>", lines
        )
        head = "<tr><td></td><th scope='col'>Before</th><th scope='col'>After</th><td></td></tr>"
        return format_html(f"<table class='changes forge-diff'>{head}{{}}</table>", rows)

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
        return format_html('<span class="hash">{}</span>', bytes(checkpoint.root_hash).hex())

    @display(description="signed", boolean=True)
    def signed(self, checkpoint: AuditCheckpoint) -> bool:
        return checkpoint.note is not None


class HoldForm(forms.ModelForm):
    """A new hold; the service says what it must name."""

    class Meta:
        model = LegalHold
        fields = (
            "organization_id", "user_id", "resource_type", "resource_id", "period_start", "period_end", "reason",
        )  # fmt: skip

    def _get_validation_exclusions(self) -> set[str]:
        """No constraint of the model is tried: the service judges, in words that say more."""
        return {field.name for field in LegalHold._meta.fields}


class ReleaseForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def _release(request: HttpRequest, hold: LegalHold, *, reason: str) -> str:
    holds.release(actor=request.actor, hold=hold, reason=reason, now=timezone.now())  # type: ignore[attr-defined]
    return "The hold is released."


@admin.register(LegalHold)
class LegalHoldAdmin(ForgeModelAdmin):
    """What must stay in the log; placed and released by admins, each of their organization, and by operators."""

    form = HoldForm
    audit_add = actions.LEGAL_HOLD_PLACE
    view_roles = ("auditor",)
    add_roles = ("admin",)
    list_display = ("id", "covers", "reason", "placed_at", "shown_state")
    list_filter = (("released_at", admin.EmptyFieldListFilter),)
    link_lookups = ("user_id__exact", "resource_id__exact")
    search_fields = ("id__exact", "user_id__exact", "resource_id__exact")
    search_help_text = "A whole id, of a hold, person or resource."
    ordering = ("-placed_at", "-id")
    buttons = (
        Button(
            "release",
            "Release",
            audit_action=actions.LEGAL_HOLD_RELEASE,
            icon="lock_open",
            variant=ActionVariant.DANGER,
            run=_release,
            form=ReleaseForm,
            legal=lambda user, hold: hold.is_active and holds.may_hold(user, hold),
            explain=lambda *_: ["What it covers may be erased and dropped again. This cannot be taken back."],
        ),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        given = ("user_id", "resource_type", "resource_id", "period_start", "period_end", "reason")
        if obj is None:
            return ("organization_id", *given) if request.user.is_operator else given  # type: ignore[union-attr]
        released = () if obj.is_active else ("released_by", "released_at", "release_reason")
        return ("organization_id", *given, "placed_by", "placed_at", *released)

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> LegalHold:
        hold = holds.place(actor=request.actor, now=timezone.now(), **form.cleaned_data)  # type: ignore[attr-defined]
        if holds.covers_entries(hold) is False:
            messages.warning(request, "No entry of the log is covered by this hold yet. Are its type and ids right?")
        return hold

    @display(description="covers")
    def covers(self, hold: LegalHold) -> str:
        whose = "of one organization" if hold.organization_id else "of the whole installation"
        given = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in hold.criteria.items())
        return f"{given}, {whose}"

    @display(description="state", label={"active": "warning", "released": "success"})
    def shown_state(self, hold: LegalHold) -> str:
        return "active" if hold.is_active else "released"


def _label_of(found: Standing) -> str:
    """Green only where the verification that is told of has found the log intact."""
    if found.problems:
        return "danger"
    if found.last is None:
        return "default"
    return "success" if found.last.outcome == AuditVerification.Outcome.INTACT else "warning"


def _receipt(text: str) -> Receipt | None:
    try:
        return Receipt.parse(text)
    except ValueError:
        return None


def _became(before: dict[str, Any], after: dict[str, Any], name: str) -> str:
    """What became of a value, in a word; empty where it stayed."""
    if name not in before:
        return "added"
    if name not in after:
        return "removed"
    return "changed" if before[name] != after[name] else ""


def _cell(side: dict[str, Any], name: str) -> str:
    return json.dumps(side[name], ensure_ascii=False) if name in side else ""


def _pretty(value: Any) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))
