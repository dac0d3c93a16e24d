"""Operations in the console: looked at by those who oversee them, called off and asked for again by buttons."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display
from unfold.enums import ActionVariant

from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.adminkit.filters import WordFilter
from forge.operations import services
from forge.operations.handlers import Handler, cancellable_of, handler_of, kinds
from forge.operations.models import Operation

Status = Operation.Status


class KindFilter(WordFilter):
    """By kind; the kinds come from the settings, for the table is too big to ask for its distinct values."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in kinds()]

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        return queryset.filter(kind=word)


class OpenFilter(WordFilter):
    title = "end"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Going on"), ("no", "Ended")]

    def chosen(self, queryset: QuerySet, word: str) -> QuerySet:
        return queryset.filter(finished_at__isnull=word == "yes")


def _may_cancel(user: Any, operation: Operation) -> bool:
    handler = _handler(operation)
    if handler is None or operation.is_final:
        return False
    return operation.id in handler.cancellable([operation]) and handler.may_control(user, operation)


def _may_retry(user: Any, operation: Operation) -> bool:
    handler = _handler(operation)
    return handler is not None and handler.is_retryable(operation) and handler.may_control(user, operation)


def _handler(operation: Operation) -> Handler | None:
    """Whoever carries it out; None for a kind that this installation no longer has."""
    return handler_of(operation.kind) if operation.kind in kinds() else None


def _cancel(request: HttpRequest, operation: Operation) -> str:
    cancelled = services.cancel(operation=operation, actor=request.actor, now=timezone.now())  # type: ignore[attr-defined]
    return "Cancelled." if cancelled.is_final else "Asked for: its worker stops at the next step."


def _retry(request: HttpRequest, operation: Operation) -> str:
    services.retry(operation=operation, actor=request.actor, now=timezone.now())  # type: ignore[attr-defined]
    return "Back in the queue."


def _explain_cancel(request: HttpRequest, operation: Operation) -> list[str]:
    return ["What it reserved is given back. A launch that has begun to act in the cloud ends whatever comes of it."]


def _explain_retry(request: HttpRequest, operation: Operation) -> list[str]:
    return ["It goes back into the queue with its failures forgotten."]


@admin.register(Operation)
class OperationAdmin(ForgeModelAdmin):
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("id", "kind", "shown_status", "target", "progress", "attempt", "created_at", "took", "is_late_now")
    list_filter = (OpenFilter, "status", KindFilter)
    link_lookups = ("created_at__gte", "target_id__exact", "correlation_id__exact")
    search_fields = ("id__exact", "target_id__exact", "correlation_id__exact")
    search_help_text = "The whole id of an operation, its target or its correlation."
    ordering = ("-created_at", "-id")
    ordering_of_all = ("-id",)
    export_fields = (
        "id", "kind", "status", "target_type", "target_id", "progress", "attempt", "created_at", "started_at",
        "finished_at", "actor_id", "owner_id", "team_id", "organization_id", "correlation_id",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("kind", "status", "target", "progress", "shown_steps", "result", "fault")}),
        ("Asked for", {"fields": ("spec", "organization_id", "actor_id", "owner_id", "team_id", "correlation_id")}),
        (
            "Time",
            {
                "fields": (
                    "created_at", "started_at", "finished_at", "took", "deadline_at", "is_late_now", "next_attempt_at",
                )
            },
        ),
        (
            "Worker",
            {
                "fields": (
                    "leased_by", "lease_expires_at", "heartbeat_at", "fencing_token", "attempt", "failures",
                    "may_be_cancelled", "cancel_requested_at", "cancel_requested_by",
                )
            },
        ),
    )  # fmt: skip
    buttons = (
        Button(
            "cancel",
            "Cancel",
            "OPERATION_CANCEL",
            icon="cancel",
            variant=ActionVariant.DANGER,
            run=_cancel,
            legal=_may_cancel,
            explain=_explain_cancel,
        ),
        Button(
            "retry",
            "Try again",
            "OPERATION_RETRY",
            icon="replay",
            run=_retry,
            legal=_may_retry,
            explain=_explain_retry,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With what the fault said itself for admins and operators; it may hold values that others should not see."""
        fieldsets = super().get_fieldsets(request, obj)
        if request.user.is_operator or request.user.has_role("admin"):
            return (*fieldsets, ("For the people on call", {"fields": ("internal",)}))
        return fieldsets

    @display(
        description="status",
        ordering="status",
        label={
            Status.QUEUED: "info",
            Status.WAITING: "info",
            Status.RUNNING: "primary",
            Status.SUCCEEDED: "success",
            Status.FAILED: "danger",
            Status.CANCELLED: "default",
            Status.UNKNOWN: "warning",
        },
    )
    def shown_status(self, operation: Operation) -> tuple[str, str]:
        return operation.status, operation.get_status_display()

    @display(description="target")
    def target(self, operation: Operation) -> str:
        return f"{operation.target_type} {operation.target_id}"

    @display(description="took")
    def took(self, operation: Operation) -> str:
        return f"{operation.duration(timezone.now()).total_seconds():.0f} s"

    @display(description="late", boolean=True)
    def is_late_now(self, operation: Operation) -> bool:
        return operation.is_late(timezone.now())

    @display(description="steps")
    def shown_steps(self, operation: Operation) -> str:
        rows = ((step["at"], step["name"], step["times"], step["detail"] or "") for step in operation.steps)
        return format_html_join("", "<div>{} {} ({} times) {}</div>", rows) or "None yet."

    @display(description="cancelling it has an effect", boolean=True)
    def may_be_cancelled(self, operation: Operation) -> bool:
        return operation.id in cancellable_of([operation])

    @display(description="last fault")
    def fault(self, operation: Operation) -> str:
        error = operation.error
        return f"{error['code']}: {error['detail']} ({error['at']}, attempt {error['attempt']})" if error else "None."

    @display(description="what the fault said")
    def internal(self, operation: Operation) -> str:
        return operation.error.get("internal", "Nothing.")
