"""Tables of the foundation in the console: job runs, job switches, mail, idempotency keys, denial counts."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.db.models import Field, OuterRef, QuerySet, Subquery
from django.forms import ChoiceField, TypedChoiceField
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from forge.accounts.admin.base import ServiceForm
from forge.accounts.models import Organization, User
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.filters import WordFilter
from forge.api.models import DenialCount, IdempotencyKey
from forge.console import actions, mails, switches
from forge.console.webhooks import WebhookAdmin, WebhookDeliveryAdmin
from forge.db.models import JobRun, JobSwitch
from forge.outbox import letters
from forge.outbox.models import Mail, Webhook, WebhookDelivery

admin.site.unregister(auth_admin.Group)  # roles are Memberships; Django's groups and permissions decide nothing here
admin.site.register(Webhook, WebhookAdmin)
admin.site.register(WebhookDelivery, WebhookDeliveryAdmin)


@admin.register(JobRun)
class JobRunAdmin(ForgeModelAdmin):
    """When jobs ran, and how they ended; what they did for all organizations is for operators alone."""

    view_roles = ("admin", "auditor")
    list_display = ("job", "slot", "shown_outcome", "attempt", "started_at", "finished_at")
    list_filter = ("outcome", "job")
    search_fields = ("job",)
    ordering = ("-id",)
    export_fields = ("id", "job", "slot", "outcome", "attempt", "started_at", "finished_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = ("job", "slot", "attempt", "outcome", "started_at", "finished_at")
        return (*fields, "figures", "error") if request.user.is_operator else fields

    @display(
        description="outcome",
        ordering="outcome",
        label={
            JobRun.Outcome.RUNNING: "info",
            JobRun.Outcome.SUCCEEDED: "success",
            JobRun.Outcome.FAILED: "danger",
            JobRun.Outcome.PAUSED: "warning",
            JobRun.Outcome.LOST: "danger",
        },
    )
    def shown_outcome(self, run: JobRun) -> str:
        return run.outcome


@admin.register(JobSwitch)
class JobSwitchAdmin(ForgeModelAdmin):
    """The switch that pauses a job: operators' for all or for one organization, admins' for their own."""

    audit_add = audit_change = actions.JOB_SWITCH
    form = ServiceForm  # what the unique key forbids, the service takes for the switch that there is
    view_roles = ("admin",)
    list_display = ("job", "shown_organization", "shown_state", "reason", "updated_at")
    list_filter = ("is_paused",)
    search_fields = ("job", "reason")
    ordering = ("job",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if not request.user.is_operator:
            return ("job", "is_paused", "reason")
        return ("job", "shown_organization" if obj else "organization_id", "is_paused", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """All for operators; for admins their organization's own, and not why operators paused a job for all."""
        rows, user = super().get_queryset(request), request.user
        rows = rows if user.is_operator else rows.filter(organization_id=user.organization_id)
        names = Organization.objects.filter(id=OuterRef("organization_id")).values("name")
        return rows.annotate(organization_name=Subquery(names))

    @display(description="organization")
    def shown_organization(self, switch: JobSwitch) -> str:
        return "All" if switch.organization_id is None else switch.organization_name or str(switch.organization_id)  # type: ignore[attr-defined]  # annotated above

    @display(description="state", ordering="is_paused", label={"paused": "warning", "on": "success"})
    def shown_state(self, switch: JobSwitch) -> str:
        return "paused" if switch.is_paused else "on"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("job", "shown_organization") if obj else ()

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "job":
            names = sorted(settings.CELERY_BEAT_SCHEDULE if request.user.is_operator else switches.BY_ORGANIZATION)
            return ChoiceField(choices=[(name, name) for name in names], widget=UnfoldAdminSelectWidget)
        if db_field.name == "organization_id":
            one_each = [(row.pk, row.name) for row in Organization.objects.order_by("name")]
            return TypedChoiceField(
                label="organization",
                choices=[("", "All"), *one_each],
                coerce=UUID,
                empty_value=None,
                required=False,
                help_text=f"Only {', '.join(switches.BY_ORGANIZATION)} is paused for one organization.",
                widget=UnfoldAdminSelectWidget,
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_by_service(self, request: HttpRequest, obj: JobSwitch, form: Any, *, change: bool) -> JobSwitch:
        is_own = not (change or request.user.is_operator)
        return switches.set_switch(
            actor=request.actor,  # type: ignore[attr-defined]
            organization_id=request.user.organization_id if is_own else obj.organization_id,
            job=obj.job,
            is_paused=obj.is_paused,
            reason=obj.reason,
            now=timezone.now(),
        )


class MailKindFilter(WordFilter):
    """By kind; the kinds come from the settings, for the table is too big to ask for its distinct values."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in letters.kinds()]

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        return queryset.filter(kind=word)


def _retry(request: HttpRequest, mail: Mail) -> str:
    mails.retry(actor=request.actor, mail=mail, now=timezone.now())  # type: ignore[attr-defined]
    return "It is sent with the next run of send_mails."


def _explain_retry(request: HttpRequest, mail: Mail) -> list[str]:
    return ["It is due at once, and its tries are counted anew."]


@admin.register(Mail)
class MailAdmin(ForgeModelAdmin):
    """Who was told what and when; without the text, which may hold how to connect to somebody's machine."""

    view_roles = ("admin", "auditor")
    list_display = ("kind", "recipient", "target", "shown_state", "created_at", "due_at", "sent_at")
    list_filter = ("state", MailKindFilter)
    search_fields = ("target_id__exact", "recipient_id__exact", "id__exact")
    search_help_text = "The whole id of a mail, its recipient or what it is about."
    ordering = ("-id",)
    export_fields = (
        "id", "kind", "recipient_id", "address", "target_type", "target_id", "state", "created_at", "due_at",
        "sent_at", "attempts", "last_error",
    )  # fmt: skip
    fields = (
        "kind", "recipient", "target", "facts", "state", "created_at", "due_at", "useless_after", "sent_at", "attempts",
        "last_error", "withdrawn_because", "message_id", "correlation_id",
    )  # fmt: skip
    buttons = (
        Button(
            "retry",
            "Try again",
            actions.MAIL_RETRY,
            icon="replay",
            run=_retry,
            legal=lambda user, mail: mail.is_retryable and mails.may_retry(user, mail),
            explain=_explain_retry,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        address = User.objects.filter(id=OuterRef("recipient_id")).values("email")
        return super().get_queryset(request).annotate(address=Subquery(address))

    @display(description="recipient")
    def recipient(self, mail: Mail) -> str:
        return mail.address or str(mail.recipient_id)  # type: ignore[attr-defined]  # annotated above

    @display(description="about")
    def target(self, mail: Mail) -> str:
        return f"{mail.target_type} {mail.target_id}"

    @display(
        description="state",
        ordering="state",
        label={
            Mail.State.DUE: "info",
            Mail.State.SENT: "success",
            Mail.State.GIVEN_UP: "danger",
            Mail.State.WITHDRAWN: "default",
        },
    )
    def shown_state(self, mail: Mail) -> tuple[str, str]:
        return mail.state, mail.get_state_display()


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ForgeModelAdmin):
    """Without the stored answers, which belong to their callers alone."""

    list_display = ("credential", "key", "status", "created_at", "expires_at")
    list_filter = ("status",)
    search_fields = ("credential", "key")
    ordering = ("-id",)
    fields = ("credential", "key", "status", "receipt", "organization_id", "created_at", "expires_at")


@admin.register(DenialCount)
class DenialCountAdmin(ForgeModelAdmin):
    list_display = ("minute", "source_ip", "credential_prefix", "status", "count", "last_at")
    list_filter = ("status",)
    search_fields = ("source_ip", "credential_prefix")
    ordering = ("-id",)
