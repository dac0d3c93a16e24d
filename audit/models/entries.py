"""Entries, and the heads of the lanes that they stand in."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import Q

from audit.receipts import Receipt

PERSONAL_COLUMNS = ("user_email", "source_ip", "user_agent")
"""Columns that say who acted and from where, and can be erased."""


def _digests_in(content: str) -> dict[str, str | None]:
    """The digests of an entry's personal values by path; none in a row that somebody forged."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    personal = parsed.get("personal") if isinstance(parsed, dict) else None
    return personal if isinstance(personal, dict) else {}


class AuditLogQuerySet(models.QuerySet["AuditLog"]):
    def visible_to(self, user: Any) -> AuditLogQuerySet:
        """Auditors and admins see their organization's log, a lead the team's, others their own; finance none of it."""
        if user.is_operator:
            return self
        here = self.filter(organization_id=user.organization_id)
        if user.has_role("admin", "auditor"):
            return here
        if user.has_role("contractor", "engineer", "team_lead"):
            return here.filter(user_id__in=user.visible_user_ids())
        return self.none()


class AuditLog(models.Model):
    """One action: who, what, on what, with which result, from where; chained to the row before it in its lane.

    Partitioned by month of `timestamp`; the database's key is (id, timestamp), and `id` = lane · 2^44 + lane_seq is
    unique by itself. The value sets are CHECKs of domains (migration 0001). user_email, source_ip, user_agent and
    `personal` hold what can be erased; `content` has salted digests in their place and is what the hash covers.
    """

    class Result(models.TextChoices):
        SUCCESS = "SUCCESS"
        FAILURE = "FAILURE"
        DENIED = "DENIED"

    class Interface(models.TextChoices):
        PORTAL = "PORTAL"
        CLI = "CLI"
        LUCY = "LUCY"
        API = "API"
        ADMIN = "ADMIN"
        COMMAND = "COMMAND"
        JOB = "JOB"

    class ActorKind(models.TextChoices):
        USER = "USER"
        SERVICE = "SERVICE"
        JOB = "JOB"
        COMMAND = "COMMAND"
        ANONYMOUS = "ANONYMOUS"

    id = models.BigIntegerField(primary_key=True)
    timestamp = models.DateTimeField(help_text="The database's clock when the entry took its place in the lane.")
    organization_id = models.UUIDField(null=True)
    user_id = models.UUIDField(null=True)
    user_email = models.TextField(null=True)  # noqa: DJ001  NULL is erased or nobody, and the hash tells it from ""
    actor_kind = models.CharField(max_length=16, choices=ActorKind)
    credential_id = models.UUIDField(null=True)
    action_type = models.CharField(max_length=64)
    action_description = models.TextField()
    resource_type = models.CharField(max_length=128)
    resource_id = models.CharField(max_length=128)
    result = models.CharField(max_length=8, choices=Result)
    source_ip = models.CharField(max_length=45, null=True)  # noqa: DJ001
    user_agent = models.TextField(null=True)  # noqa: DJ001
    interface = models.CharField(max_length=8, choices=Interface)
    correlation_id = models.UUIDField()
    occurred_at = models.DateTimeField(help_text="Business time: when it happened.")
    context = models.JSONField()
    changes = models.JSONField(null=True)
    personal = models.JSONField(null=True)
    salt = models.BinaryField(null=True)
    content = models.TextField()
    hash_version = models.PositiveSmallIntegerField()
    content_hash = models.BinaryField()
    lane = models.PositiveSmallIntegerField()
    lane_seq = models.PositiveBigIntegerField()
    previous_log_hash = models.BinaryField()
    log_hash = models.BinaryField()

    objects = AuditLogQuerySet.as_manager()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        indexes = [
            models.Index("organization_id", "timestamp", "id", name="audit_auditlog_time"),
            models.Index("organization_id", "user_id", "timestamp", "id", name="audit_auditlog_user"),
            models.Index("organization_id", "action_type", "timestamp", "id", name="audit_auditlog_action"),
            models.Index("organization_id", "resource_id", "timestamp", "id", name="audit_auditlog_resource"),
            models.Index("organization_id", "correlation_id", name="audit_auditlog_correlation"),
            models.Index("timestamp", "id", name="audit_auditlog_installation"),
            models.Index("timestamp", name="audit_auditlog_erasures", condition=Q(action_type="AUDIT_ERASE")),
        ]

    def __str__(self) -> str:
        return f"{self.action_type} {self.lane}-{self.lane_seq}"

    @property
    def erased(self) -> list[str]:
        """What was erased: `user_email`, `source_ip`, `user_agent`, and paths such as `context.email`, sorted."""
        if self.salt is not None and self.personal is not None:
            return []
        digests = _digests_in(self.content)
        kept = {} if self.salt is None else {name: getattr(self, name) for name in PERSONAL_COLUMNS}
        return sorted(path for path, value in digests.items() if value is not None and kept.get(path) is None)

    @property
    def full_context(self) -> dict[str, Any]:
        """The context with the personal values that are still there back in their places."""
        return self.context | self._personal_of("context")

    @property
    def full_changes(self) -> dict[str, Any] | None:
        """Before and after with the personal values that are still there back in their places."""
        if self.changes is None:
            return None
        return {
            side: values | self._personal_of(side) if isinstance(values, dict) else values
            for side, values in self.changes.items()
        }

    def _personal_of(self, place: str) -> dict[str, Any]:
        pairs = ((*path.split(".", 1), value) for path, value in (self.personal or {}).items())
        return {key: value for where, key, value in pairs if where == place}

    @property
    def receipt(self) -> Receipt:
        return Receipt(lane=self.lane, lane_seq=self.lane_seq, log_hash=bytes(self.log_hash))


class AuditLane(models.Model):
    """The head of a lane: the number and hash of its last row (0 and zeros while it has none)."""

    lane = models.PositiveSmallIntegerField(primary_key=True)
    lane_seq = models.PositiveBigIntegerField()
    log_hash = models.BinaryField()

    class Meta:
        verbose_name = "audit lane"

    def __str__(self) -> str:
        return f"lane {self.lane} at {self.lane_seq}"
