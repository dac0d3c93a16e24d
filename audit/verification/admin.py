"""Verifications in the console: what they came to, and a form that has one made."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from audit import actions
from audit.models import AuditVerification
from audit.verification import operation as verification
from forge.adminkit.admin import ForgeModelAdmin

Outcome = AuditVerification.Outcome
_PLACE = ("lane", "lane_seq", "partition", "timestamp", "after", "before")


class VerificationForm(forms.ModelForm):
    """What is to be looked at."""

    scope = forms.ChoiceField(
        choices=verification.ASKED,
        initial=AuditVerification.Scope.FULL,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="An operation does it and its result appears in this list. One at a time, for all organizations.",
    )

    class Meta:
        model = AuditVerification
        fields = ("scope",)

    def _get_validation_exclusions(self) -> set[str]:
        """No constraint of the model is tried: the row is written when the verification has ended."""
        return {field.name for field in AuditVerification._meta.fields}


@admin.register(AuditVerification)
class AuditVerificationAdmin(ForgeModelAdmin):
    """What verifications came to; the words of a finding may name rows of any organization, so operators see them.

    Auditors and admins have one made here, as by the API; operators of the installation run the command.
    """

    form = VerificationForm
    audit_add = actions.AUDIT_VERIFY_REQUEST
    add_roles = ("auditor", "admin")
    list_display = (
        "started_at", "shown_outcome", "scope", "subject", "after_checkpoint", "checkpoint", "rows", "findings"
    )  # fmt: skip
    list_filter = ("outcome", "scope")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user: Any = request.user
        return super().has_add_permission(request) and not user.is_operator

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("scope",)
        fields = (
            "started_at", "finished_at", "scope", "subject", "outcome", "rows", "after_checkpoint", "checkpoint",
            "tree_size", "findings", "shown_first", "correlation_id",
        )  # fmt: skip
        return (*fields, "shown_words", "reason") if request.user.is_operator else fields  # type: ignore[union-attr]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """With one way to send it: there is nothing to go on with."""
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False, "title": "Verify the log"}
        return super().add_view(request, form_url, {**(extra_context or {}), **only_save})

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Model:
        scope = form.cleaned_data["scope"]
        request.asked = verification.ask(actor=request.actor, scope=scope, now=timezone.now())  # type: ignore[attr-defined]
        return obj

    def response_add(self, request: HttpRequest, obj: Model, post_url_continue: str | None = None) -> HttpResponse:
        """To the operation: the verification's own row is written when it has ended."""
        messages.success(request, "Asked for. This operation verifies the log; reload the page to see how far it is.")
        shown = reverse(f"{self.admin_site.name}:operations_operation_change", args=(request.asked.pk,))  # type: ignore[attr-defined]
        return HttpResponseRedirect(shown)

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
