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
AUDIT_VERIFY = register("AUDIT_VERIFY", required=("resource_id", "context.scope"))
AUDIT_VERIFY_REQUEST = register("AUDIT_VERIFY_REQUEST", required=("resource_id", "context.scope"))
OTHER = register("OTHER")
