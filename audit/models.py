"""The audit log's rows as Django reads them; only the SQL functions of migration 0001 write them."""

from __future__ import annotations

from typing import Any

from django.db import models

from audit.receipts import Receipt


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
        ]

    def __str__(self) -> str:
        return f"{self.action_type} {self.lane}-{self.lane_seq}"

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
