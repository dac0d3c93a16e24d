"""Verifications of the log and what they came to."""

from __future__ import annotations

from typing import Any

from django.db import models


class AuditVerificationQuerySet(models.QuerySet["AuditVerification"]):
    def visible_to(self, user: Any) -> AuditVerificationQuerySet:
        """Auditors and admins of an organization see how the log stands, and operators; nobody else."""
        return self if user.is_operator or user.has_role("admin", "auditor") else self.none()


class AuditVerification(models.Model):
    """One verification of the log and what it came to; append-only.

    `checkpoint` is the one up to which it reached: the newest when it began. One that began `after_checkpoint` looked
    at nothing before that. `first` is the earliest finding as the report has it; `reason` says why nothing was decided.
    """

    class Scope(models.TextChoices):
        FULL = "FULL"
        SINCE = "SINCE"
        MONTH = "MONTH"
        RECEIPT = "RECEIPT"

    class Outcome(models.TextChoices):
        INTACT = "INTACT"
        TAMPERED = "TAMPERED"
        UNDECIDED = "UNDECIDED"

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    scope = models.CharField(max_length=8, choices=Scope)
    subject = models.CharField(max_length=128, blank=True, help_text="The month, or the receipt.")
    outcome = models.CharField(max_length=10, choices=Outcome)
    rows = models.PositiveBigIntegerField(default=0)
    after_checkpoint = models.PositiveBigIntegerField(null=True)
    checkpoint = models.PositiveBigIntegerField(null=True)
    tree_size = models.PositiveBigIntegerField(null=True)
    root_hash = models.BinaryField(null=True)
    findings = models.PositiveIntegerField(default=0)
    first = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    correlation_id = models.UUIDField(help_text="Of its entry in the log.")

    objects = AuditVerificationQuerySet.as_manager()

    class Meta:
        verbose_name = "audit verification"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scope__in=["FULL", "SINCE", "MONTH", "RECEIPT"]),
                name="audit_auditverification_scope_known",
            ),
            models.CheckConstraint(
                condition=models.Q(outcome="INTACT", findings=0, reason="")
                | models.Q(outcome="TAMPERED", findings__gt=0, reason="")
                | models.Q(outcome="UNDECIDED", findings=0) & ~models.Q(reason=""),
                name="audit_auditverification_outcome_says_why",
            ),
            models.CheckConstraint(
                condition=models.Q(finished_at__gte=models.F("started_at")),
                name="audit_auditverification_ends_after_it_began",
            ),
            models.CheckConstraint(
                condition=models.Q(checkpoint__isnull=True, tree_size__isnull=True, root_hash__isnull=True)
                | models.Q(checkpoint__isnull=False, tree_size__isnull=False, root_hash__isnull=False),
                name="audit_auditverification_reached_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.scope.lower()} {self.started_at:%Y-%m-%d %H:%M:%S}"
