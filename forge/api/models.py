"""What the API itself remembers: answers under an idempotency key, and counts of refused callers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class IdempotencyKey(models.Model):
    """One answered request; a row that others can see has its answer, for both commit together."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField(null=True, blank=True)
    credential = models.CharField(max_length=100, help_text="token:<id>, or user:<id> of a session.")
    key = models.CharField(max_length=255)
    request_hash = models.BinaryField(max_length=32, help_text="SHA-256 of method, path, query and body.")
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(default="")
    receipt = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["credential", "key"], name="api_idempotencykey_once_per_credential"),
            models.CheckConstraint(
                name="api_idempotencykey_only_answers_that_are_kept",
                condition=Q(status__isnull=True) | Q(status__range=(200, 299)) | Q(status=422),
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="api_idempotencykey_expiry")]

    def __str__(self) -> str:
        return f"{self.credential} {self.key}"


class DenialCount(models.Model):
    """How often one source address and credential prefix was answered 401 or 429 within one minute."""

    id = models.BigAutoField(primary_key=True)
    source_ip = models.CharField(max_length=45, blank=True)
    credential_prefix = models.CharField(max_length=32, blank=True)
    status = models.PositiveSmallIntegerField()
    minute = models.DateTimeField(help_text="Start of the minute.")
    count = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "source_ip", "credential_prefix", "status"], name="api_denialcount_one_row_per_minute"
            ),
            models.CheckConstraint(name="api_denialcount_status_is_counted", condition=Q(status__in=[401, 429])),
        ]

    def __str__(self) -> str:
        return f"{self.count} times {self.status} to {self.source_ip} in {self.minute:%Y-%m-%d %H:%M}"
