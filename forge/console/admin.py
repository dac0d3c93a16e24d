"""Tables of the foundation in the console: job runs, job switches, idempotency keys, denial counts."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.db.models import Field
from django.forms import ChoiceField
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from forge.adminkit.admin import ForgeModelAdmin
from forge.api.models import DenialCount, IdempotencyKey
from forge.console import actions, switches
from forge.db.models import JobRun, JobSwitch

admin.site.unregister(auth_admin.Group)  # roles are Memberships; Django's groups and permissions decide nothing here


@admin.register(JobRun)
class JobRunAdmin(ForgeModelAdmin):
    """When jobs ran, and how they ended; what they did for all organizations is for operators alone."""

    view_roles = ("admin", "auditor")
    list_display = ("job", "slot", "shown_outcome", "attempt", "started_at", "finished_at")
    list_filter = ("outcome", "job")
    search_fields = ("job",)
    ordering = ("-id",)

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
    """The switch that pauses a job of the schedule; for operators of the installation alone."""

    audit_add = audit_change = actions.JOB_SWITCH
    list_display = ("job", "shown_state", "reason", "updated_at")
    list_filter = ("is_paused",)
    search_fields = ("job", "reason")
    ordering = ("job",)
    fields = ("job", "is_paused", "reason")

    @display(description="state", ordering="is_paused", label={"paused": "warning", "on": "success"})
    def shown_state(self, switch: JobSwitch) -> str:
        return "paused" if switch.is_paused else "on"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("job",) if obj else ()

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "job":
            names = sorted(settings.CELERY_BEAT_SCHEDULE)
            return ChoiceField(choices=[(name, name) for name in names], widget=UnfoldAdminSelectWidget)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_by_service(self, request: HttpRequest, obj: JobSwitch, form: Any, *, change: bool) -> JobSwitch:
        return switches.set_switch(
            actor=request.actor,  # type: ignore[attr-defined]
            job=obj.job,
            is_paused=obj.is_paused,
            reason=obj.reason,
            now=timezone.now(),
        )


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
