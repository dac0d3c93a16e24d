"""Audit action types of this room."""

from audit.registry import register

ORGANIZATION_CREATE = register("ORGANIZATION_CREATE")
TEAM_CREATE = register("TEAM_CREATE")
PROJECT_CREATE = register("PROJECT_CREATE")
MEMBER_CREATE = register("MEMBER_CREATE")
MEMBER_UPDATE = register("MEMBER_UPDATE")
PASSWORD_CHANGE = register("PASSWORD_CHANGE", required=("resource_id",))
ROLE_CHANGE = register("ROLE_CHANGE")
TOKEN_CREATE = register("TOKEN_CREATE")
TOKEN_REVOKE = register("TOKEN_REVOKE")
