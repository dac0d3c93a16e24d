"""Long work as rows: what was asked for, who is working on it, how far it is and how it ended."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from forge.db.models import TimestampedModel, UUIDModel

DUE_AT = Coalesce("lease_expires_at", "next_attempt_at")
"""When somebody should look at an operation: when its lease runs out, or else at its next attempt."""


class OperationQuerySet(models.QuerySet["Operation"]):
    def visible_to(self, user) -> "OperationQuerySet":
        """The operations `user` asked for or owns, those of teams it leads; admins and auditors see them all."""
        if user.is_operator:
            return self
        here = self.filter(organization_id=user.organization_id)
        if user.has_role("admin", "auditor"):
            return here
        return here.filter(Q(owner_id=user.id) | Q(actor_id=user.id) | Q(team_id__in=user.led_team_ids()))

    def open(self) -> "OperationQuerySet":
        """Operations that have not ended."""
        return self.filter(finished_at__isnull=True)

    def due(self, now: datetime) -> "OperationQuerySet":
        """What a worker may claim at `now`, longest waiting first: resting and due, or running on a lease run out."""
        return self.open().annotate(due_at=DUE_AT).filter(due_at__lte=now).order_by("due_at", "id")


class Operation(UUIDModel, TimestampedModel):
    """One piece of long work, e.g. a launch: committed with its business rows, then carried out by workers.

    A worker owns the row while its lease lasts; `fencing_token` rises with every claim, so whoever lost the lease
    can no longer write. `waiting` without `next_attempt_at` waits for a person, not for a time.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        UNKNOWN = "unknown"

    FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    organization_id = models.UUIDField()
    actor_id = models.UUIDField(null=True, blank=True, help_text="Who asked for it; none for jobs and commands.")
    owner_id = models.UUIDField(null=True, blank=True, help_text="Whom the target belongs to.")
    team_id = models.UUIDField(null=True, blank=True)
    correlation_id = models.UUIDField()
    parent_id = models.UUIDField(null=True, blank=True)

    kind = models.CharField(max_length=64)
    target_type = models.CharField(max_length=64)
    target_id = models.UUIDField()
    spec = models.JSONField(default=dict, blank=True, help_text="What was asked for, as validated.")

    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    steps = models.JSONField(default=list, blank=True)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Per cent.")
    result = models.JSONField(default=dict, blank=True)
    error = models.JSONField(default=dict, blank=True, help_text="The last fault, or why it failed.")

    lease_expires_at = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=200, blank=True, default="")
    fencing_token = models.PositiveBigIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveIntegerField(default=0, help_text="Claims so far; a poll after a wait is not one.")
    failures = models.PositiveIntegerField(default=0, help_text="Attempts in a row without progress.")
    next_attempt_at = models.DateTimeField(null=True, blank=True)

    cancellable = models.BooleanField(default=True, help_text="Until the handler passes its point of no return.")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.UUIDField(null=True, blank=True)

    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="When it was promised to be done.")

    due_at: datetime  # only where `OperationQuerySet.due` has annotated it

    objects = OperationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(DUE_AT, "id", condition=Q(finished_at__isnull=True), name="operations_operation_due"),
            models.Index(fields=["organization_id", "created_at", "id"], name="operations_operation_org"),
            models.Index(fields=["organization_id", "owner_id", "created_at", "id"], name="operations_operation_owner"),
            models.Index(fields=["organization_id", "actor_id", "created_at", "id"], name="operations_operation_actor"),
            models.Index(fields=["organization_id", "team_id", "created_at", "id"], name="operations_operation_team"),
            models.Index(fields=["target_id", "created_at"], name="operations_operation_target"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["queued", "waiting", "running", "succeeded", "failed", "cancelled", "unknown"]),
                name="operations_operation_status_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="running",
                    lease_expires_at__isnull=False,
                    heartbeat_at__isnull=False,
                    started_at__isnull=False,
                    fencing_token__gt=0,
                )
                & ~Q(leased_by="")
                | ~Q(status="running") & Q(lease_expires_at__isnull=True, leased_by=""),
                name="operations_operation_leased_while_running",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False)
                | Q(status__in=["queued", "waiting", "running", "unknown"], finished_at__isnull=True),
                name="operations_operation_finished_when_final",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "unknown"], next_attempt_at__isnull=False)
                | Q(status="waiting")
                | Q(status__in=["running", "succeeded", "failed", "cancelled"], next_attempt_at__isnull=True),
                name="operations_operation_next_attempt_while_resting",
            ),
            models.CheckConstraint(
                condition=~Q(status="failed") | ~Q(error={}), name="operations_operation_failed_says_why"
            ),
            models.CheckConstraint(condition=Q(progress__lte=100), name="operations_operation_progress_per_cent"),
            models.CheckConstraint(
                condition=~Q(kind="") & ~Q(target_type=""), name="operations_operation_kind_and_target_named"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL

    def is_leased(self, now: datetime) -> bool:
        """Whether a worker holds it."""
        return self.lease_expires_at is not None and self.lease_expires_at > now

    def is_controllable_by(self, user) -> bool:
        """Whether `user` may cancel and retry it: its owner, whoever asked for it, the team's lead, admins."""
        if user.is_operator:
            return True
        if user.organization_id != self.organization_id:
            return False
        own = user.id in (self.owner_id, self.actor_id)
        return own or self.team_id in user.led_team_ids() or user.has_role("admin")

    def duration(self, now: datetime) -> timedelta:
        """From the request to the end, or to `now` while it has not ended."""
        return (self.finished_at or now) - self.created_at

    def queued_for(self, now: datetime) -> timedelta:
        """From the request to the first claim."""
        return (self.started_at or self.finished_at or now) - self.created_at

    def ran_for(self, now: datetime) -> timedelta:
        """From the first claim to the end."""
        return (self.finished_at or now) - self.started_at if self.started_at else timedelta()

    def is_late(self, now: datetime) -> bool:
        """Whether it ended, or goes on, past the time that was promised."""
        return self.deadline_at is not None and (self.finished_at or now) > self.deadline_at
