"""Exports of entries that an operation writes, part by part."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from forge.db.models import TimestampedModel, UUIDModel


class AuditExportQuerySet(models.QuerySet["AuditExport"]):
    def visible_to(self, user: Any) -> AuditExportQuerySet:
        """Those who may export see the exports of their organization; whoever lost the role sees none, not the own."""
        if user.is_operator:
            return self
        return self.filter(organization_id=user.organization_id) if may_export(user) else self.none()


def may_export(user: Any) -> bool:
    """Whether `user` may export the log: auditors and admins of an organization, operators of the installation."""
    return user.is_operator or user.has_role("admin", "auditor")


class AuditExport(UUIDModel, TimestampedModel):
    """A file of entries that an operation writes: what was asked for, how far it is, where it ends.

    `as_of` and `heads` say what the log held when it was asked for (audit.exports.rows.Cut). The place is that of the
    last entry written; it commits with the part that holds this entry, so a killed worker loses and doubles nothing.
    """

    class Format(models.TextChoices):
        CSV = "csv"
        NDJSON = "ndjson"

    class State(models.TextChoices):
        WRITING = "WRITING"
        READY = "READY"
        GONE = "GONE"

    organization_id = models.UUIDField()
    asked_by_id = models.UUIDField(null=True, help_text="Who asked for it.")
    operation_id = models.UUIDField(help_text="The operation that writes it.")
    format = models.CharField(max_length=8, choices=Format)
    filters = models.JSONField(default=dict, help_text="As in the address of the list; emptied with the file.")
    as_of = models.DateTimeField(help_text="What the log held then is exported.")
    heads = models.JSONField()
    place_timestamp = models.DateTimeField(null=True)
    place_id = models.BigIntegerField(null=True)
    entries = models.PositiveBigIntegerField(default=0, help_text="Entries written so far.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file so far.")
    written_at = models.DateTimeField(null=True, help_text="When its last line was written.")
    sha256 = models.CharField(max_length=64, default="", help_text="Of the whole file, hexadecimal.")
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="From then on it is not given out, and purged.")
    purged_at = models.DateTimeField(null=True, help_text="When its content was deleted.")

    objects = AuditExportQuerySet.as_manager()

    class Meta:
        verbose_name = "audit export"
        indexes = [
            models.Index("organization_id", "id", name="audit_auditexport_list"),
            models.Index("expires_at", condition=Q(purged_at=None), name="audit_auditexport_due"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(format__in=["csv", "ndjson"]), name="audit_auditexport_format"),
            models.CheckConstraint(
                condition=Q(place_timestamp=None, place_id=None)
                | Q(place_timestamp__isnull=False, place_id__isnull=False),
                name="audit_auditexport_place_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None, sha256="")
                | (Q(finished_at__isnull=False, written_at__isnull=False) & ~Q(sha256="")),
                name="audit_auditexport_finished_is_written",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.format} export {self.id}"

    @property
    def state(self) -> str:
        """GONE from `expires_at` on, also where the job that deletes the content has not come by yet."""
        if self.purged_at is not None or self.is_expired(timezone.now()):
            return self.State.GONE
        return self.State.WRITING if self.finished_at is None else self.State.READY

    def is_expired(self, now: datetime) -> bool:
        """Whether the whole file is there, and no longer given out."""
        return self.finished_at is not None and self.expires_at <= now

    @property
    def file_name(self) -> str:
        return f"audit-{self.as_of:%Y%m%dT%H%M%SZ}-{self.id}.{self.format}"


class AuditExportPart(models.Model):
    """A stretch of an export's file, compressed by zlib; `number` counts from 0 without holes."""

    id = models.BigAutoField(primary_key=True)
    export = models.ForeignKey(AuditExport, on_delete=models.PROTECT, db_index=False, related_name="parts")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        verbose_name = "part of an audit export"
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="audit_auditexportpart_number")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.export_id}"

    @property
    def plain(self) -> bytes:
        return zlib.decompress(self.content)
