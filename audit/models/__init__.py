"""The audit log's rows as Django reads them; only the SQL functions of migration 0001 write entries."""

from audit.models.entries import PERSONAL_COLUMNS, AuditLane, AuditLog, AuditLogQuerySet
from audit.models.exports import AuditExport, AuditExportPart, AuditExportQuerySet, may_export
from audit.models.holds import LegalHold, LegalHoldQuerySet
from audit.models.seals import AuditCheckpoint, AuditLeaf, AuditNode, AuditPublication
from audit.models.verifications import AuditVerification, AuditVerificationQuerySet

__all__ = [
    "PERSONAL_COLUMNS",
    "AuditCheckpoint",
    "AuditExport",
    "AuditExportPart",
    "AuditExportQuerySet",
    "AuditLane",
    "AuditLeaf",
    "AuditLog",
    "AuditLogQuerySet",
    "AuditNode",
    "AuditPublication",
    "AuditVerification",
    "AuditVerificationQuerySet",
    "LegalHold",
    "LegalHoldQuerySet",
    "may_export",
]
