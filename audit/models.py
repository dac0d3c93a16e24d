"""The audit log's rows as Django reads them; only the SQL functions of migration 0001 write them."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.db import models
from django.db.models import F, Q

from audit.receipts import Receipt
from forge.db.models import TimestampedModel, UUIDModel

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


class AuditLeaf(models.Model):
    """A leaf of the log's Merkle tree: where an entry was sealed, and SHA-256(0x00 || its log_hash).

    Not partitioned, so that its unique place holds over all months; it stays when a month is dropped.
    """

    index = models.PositiveBigIntegerField(primary_key=True)
    lane = models.PositiveSmallIntegerField()
    lane_seq = models.PositiveBigIntegerField()
    hash = models.BinaryField()

    class Meta:
        verbose_name = "audit leaf"
        verbose_name_plural = "audit leaves"
        constraints = [models.UniqueConstraint(fields=["lane", "lane_seq"], name="audit_auditleaf_place")]

    def __str__(self) -> str:
        return f"leaf {self.index} of {self.lane}-{self.lane_seq}"


class AuditNode(models.Model):
    """A complete subtree above the leaves: level (from 1), index in the level, hash (RFC 6962)."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.PositiveSmallIntegerField()
    index = models.PositiveBigIntegerField()
    hash = models.BinaryField()

    class Meta:
        verbose_name = "audit node"

    def __str__(self) -> str:
        return f"node {self.level}/{self.index}"


class AuditCheckpoint(models.Model):
    """The head of the tree at one size: committed first, signed afterwards.

    `id` counts from 1 without holes. `note` is the signed note (C2SP), NULL until it is signed and never changed again.
    `origin` names the log and its incarnation: a log that went on from a restored backup has another origin.
    """

    id = models.PositiveBigIntegerField(primary_key=True)
    incarnation = models.PositiveIntegerField()
    origin = models.TextField()
    tree_size = models.PositiveBigIntegerField()
    root_hash = models.BinaryField()
    sealed_at = models.DateTimeField(help_text="The database's clock when the entries to seal were looked up.")
    note = models.TextField(null=True)  # noqa: DJ001  NULL is not signed yet

    class Meta:
        verbose_name = "audit checkpoint"
        constraints = [
            models.UniqueConstraint(fields=["incarnation", "tree_size"], name="audit_auditcheckpoint_one_per_size")
        ]

    def __str__(self) -> str:
        return f"{self.origin} at {self.tree_size}"


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def visible_to(self, user: Any) -> LegalHoldQuerySet:
        """Admins and auditors see their organization's holds, operators of the installation all."""
        if user.is_operator:
            return self
        if user.has_role("admin", "auditor"):
            return self.filter(organization_id=user.organization_id)
        return self.none()

    def active(self) -> LegalHoldQuerySet:
        return self.filter(released_at=None)


class LegalHold(UUIDModel):
    """Entries that must stay as they are: neither erasure nor retention touches what an active hold covers.

    An entry is covered when it meets all criteria that are given: organization (NULL = the whole installation), person
    (the acting one, or the one that the entry is about), resource, and when it was recorded, [start, end). Holds are
    never deleted, and the only change is their release, once (migration 0004).
    """

    organization_id = models.UUIDField(null=True, blank=True, help_text="Empty: the whole installation.")
    user_id = models.UUIDField(null=True, blank=True, help_text="Entries by this person or about them.")
    resource_type = models.CharField(max_length=128, blank=True, default="", help_text="As in the log: WorkSpace.")
    resource_id = models.CharField(max_length=128, blank=True, default="")
    period_start = models.DateTimeField(null=True, blank=True, help_text="UTC. Empty: from the beginning.")
    period_end = models.DateTimeField(null=True, blank=True, help_text="UTC, not included. Empty: without end.")
    reason = models.CharField(max_length=500)
    placed_by = models.UUIDField()
    placed_at = models.DateTimeField()
    released_by = models.UUIDField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.CharField(max_length=500, blank=True, default="")

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("organization_id", "placed_at", "id", name="audit_legalhold_placed")]
        constraints = [
            models.CheckConstraint(
                condition=Q(user_id__isnull=False)
                | ~Q(resource_type="")
                | Q(period_start__isnull=False)
                | Q(period_end__isnull=False),
                name="audit_legalhold_has_criterion",
            ),
            models.CheckConstraint(
                condition=Q(resource_type="", resource_id="") | (~Q(resource_type="") & ~Q(resource_id="")),
                name="audit_legalhold_whole_resource",
            ),
            models.CheckConstraint(
                condition=Q(period_start__isnull=True)
                | Q(period_end__isnull=True)
                | Q(period_start__lt=F("period_end")),
                name="audit_legalhold_period",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="audit_legalhold_has_reason"),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True, released_by__isnull=True, release_reason="")
                | (Q(released_at__isnull=False, released_by__isnull=False) & ~Q(release_reason="")),
                name="audit_legalhold_whole_release",
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.id}"

    @property
    def is_active(self) -> bool:
        return self.released_at is None

    @property
    def criteria(self) -> dict[str, Any]:
        """What is given of person, resource and period."""
        names = ("user_id", "resource_type", "resource_id", "period_start", "period_end")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, "")}


class AuditPublication(models.Model):
    """That a checkpoint has reached a sink."""

    id = models.BigAutoField(primary_key=True)
    checkpoint = models.ForeignKey(AuditCheckpoint, on_delete=models.PROTECT, related_name="publications")
    sink = models.TextField()
    published_at = models.DateTimeField()

    class Meta:
        verbose_name = "audit publication"
        constraints = [
            models.UniqueConstraint(fields=["sink", "checkpoint"], name="audit_auditpublication_once_per_sink")
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.checkpoint_id} at {self.sink}"


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
        if self.purged_at is not None:
            return self.State.GONE
        return self.State.WRITING if self.finished_at is None else self.State.READY

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
