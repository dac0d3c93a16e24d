"""The tree over the entries, its checkpoints, and which sinks they have reached."""

from __future__ import annotations

from django.db import models


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
