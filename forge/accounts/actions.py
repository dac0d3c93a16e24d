"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

ORGANIZATION_CREATE = register("ORGANIZATION_CREATE")
TEAM_CREATE = register("TEAM_CREATE")
PROJECT_CREATE = register("PROJECT_CREATE")
PROJECT_UPDATE = register("PROJECT_UPDATE", required=("resource_id",), personal=("name",))
MEMBER_CREATE = register("MEMBER_CREATE")
MEMBER_UPDATE = register("MEMBER_UPDATE")
OPERATOR_CREATE = register("OPERATOR_CREATE", required=("resource_id",))
MEMBER_INVITE = register("MEMBER_INVITE")
SERVICE_ACCOUNT_CREATE = register("SERVICE_ACCOUNT_CREATE", required=("resource_id",))
PASSWORD_CHANGE = register("PASSWORD_CHANGE", required=("resource_id",))
PASSWORD_RESET_REQUEST = register("PASSWORD_RESET_REQUEST")
PASSWORD_RESET = register("PASSWORD_RESET")
ROLE_CHANGE = register("ROLE_CHANGE")
TOKEN_CREATE = register("TOKEN_CREATE")
TOKEN_REVOKE = register("TOKEN_REVOKE")
LIST_SAVE = register("LIST_SAVE", required=("resource_id",), personal=("name", "query"))
LIST_FORGET = register("LIST_FORGET", required=("resource_id",), personal=("name", "query"))
IDENTITY_LINK = register("IDENTITY_LINK", required=("resource_id",), personal=("uid",))
AUTH_CHALLENGE = register("AUTH_CHALLENGE", required=("resource_id",))
"""The first step of a sign-in succeeded, and a second factor was asked for."""
ACCOUNT_LOCK = register("ACCOUNT_LOCK", required=("resource_id",))
ACCOUNT_UNLOCK = register("ACCOUNT_UNLOCK", required=("resource_id",))
SESSION_REVOKE = register("SESSION_REVOKE", required=("resource_id",))
MFA_ADD = register("MFA_ADD", required=("resource_id",))
MFA_REMOVE = register("MFA_REMOVE", required=("resource_id",))
MFA_UPDATE = register("MFA_UPDATE", required=("resource_id",))
MFA_RESET = register("MFA_RESET", required=("resource_id",))

expect("accounts_organization", actions=[ORGANIZATION_CREATE], organization="id")
expect("accounts_team", actions=[TEAM_CREATE])
expect("accounts_project", actions=[PROJECT_CREATE])
expect("accounts_user", actions=[MEMBER_CREATE, SERVICE_ACCOUNT_CREATE])
expect(
    "accounts_membership",
    actions=[MEMBER_CREATE, ROLE_CHANGE, SERVICE_ACCOUNT_CREATE],
    names="user_id",
    after={"role": "role", "team": "team_id"},
)
expect("accounts_apitoken", actions=[TOKEN_CREATE])
