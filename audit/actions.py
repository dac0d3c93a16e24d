"""Audit action types that belong to no single room; each room declares its own beside its services."""

from audit.registry import register

AUTH_LOGIN = register("AUTH_LOGIN", required=("user_id",))
AUTH_LOGOUT = register("AUTH_LOGOUT")
AUTH_FAILED = register("AUTH_FAILED", personal=("identifier",))
ACCESS_DENIED = register("ACCESS_DENIED")
RATE_LIMITED = register("RATE_LIMITED")
LUCY_PROVISION = register("LUCY_PROVISION")
LUCY_QUERY = register("LUCY_QUERY")
LUCY_ACTION = register("LUCY_ACTION")
AUDIT_NEW_INCARNATION = register("AUDIT_NEW_INCARNATION", required=("context.reason",))
OPERATION_CANCEL = register("OPERATION_CANCEL")
OPERATION_RETRY = register("OPERATION_RETRY")
"""Of refused requests, which know no handler; one that is heard leaves what the operation's handler says."""
AUDIT_ERASE = register("AUDIT_ERASE", required=("context.reason", "context.month"))
LEGAL_HOLD_PLACE = register("LEGAL_HOLD_PLACE", required=("resource_id", "context.reason"), personal=("reason",))
LEGAL_HOLD_RELEASE = register("LEGAL_HOLD_RELEASE", required=("resource_id", "context.reason"), personal=("reason",))
AUDIT_EXPORT = register("AUDIT_EXPORT", required=("context.format",), personal=("filters",))
AUDIT_EXPORT_REQUEST = register("AUDIT_EXPORT_REQUEST", required=("resource_id",), personal=("filters",))
AUDIT_EXPORT_DOWNLOAD = register("AUDIT_EXPORT_DOWNLOAD", required=("resource_id",))
AUDIT_EXPORT_PURGE = register("AUDIT_EXPORT_PURGE", required=("resource_id",))
AUDIT_VERIFY = register("AUDIT_VERIFY", required=("resource_id", "context.scope"))
AUDIT_VERIFY_REQUEST = register("AUDIT_VERIFY_REQUEST", required=("resource_id", "context.scope"))
OTHER = register("OTHER")
AUDIT_MONTH_DETACH = register("AUDIT_MONTH_DETACH", required=("resource_id",))
AUDIT_MONTH_EXPORT = register("AUDIT_MONTH_EXPORT", required=("resource_id", "context.manifest_sha256"))
AUDIT_MONTH_DROP = register("AUDIT_MONTH_DROP", required=("resource_id", "context.manifest_sha256"))
