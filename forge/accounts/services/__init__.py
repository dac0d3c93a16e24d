"""Every change to organizations, people, teams, projects and their roles."""

from forge.accounts.services.authority import MayNotManagePeople, NoOrganization, organization_of, require_role
from forge.accounts.services.inviting import AlreadyIn, MayNotComeIn, invite_again, is_awaited, may_invite
from forge.accounts.services.members import (
    DirectoryUsernameTaken,
    EmailTaken,
    OrganizationHasAdmin,
    PersonIsThere,
    add_member,
    create_first_admin,
    create_member,
    has_admin,
    set_active,
)
from forge.accounts.services.organizations import (
    NotASlug,
    SlugTaken,
    UnknownCurrency,
    UnknownTimeZone,
    create_organization,
    create_project,
    create_team,
)
from forge.accounts.services.roles import (
    ContractorNeedsEnd,
    CredentialsEndInPast,
    LastAdmin,
    RoleIsOrganizationWide,
    RoleNeedsTeam,
    RoleNotOfServices,
    grant_role,
    revoke_role,
)
from forge.accounts.services.service_accounts import ServiceNameTaken, create_service_account

__all__ = [
    "AlreadyIn",
    "ContractorNeedsEnd",
    "CredentialsEndInPast",
    "DirectoryUsernameTaken",
    "EmailTaken",
    "LastAdmin",
    "MayNotComeIn",
    "MayNotManagePeople",
    "NoOrganization",
    "NotASlug",
    "OrganizationHasAdmin",
    "PersonIsThere",
    "RoleIsOrganizationWide",
    "RoleNeedsTeam",
    "RoleNotOfServices",
    "ServiceNameTaken",
    "SlugTaken",
    "UnknownCurrency",
    "UnknownTimeZone",
    "add_member",
    "create_first_admin",
    "create_member",
    "create_organization",
    "create_project",
    "create_service_account",
    "create_team",
    "grant_role",
    "has_admin",
    "invite_again",
    "is_awaited",
    "may_invite",
    "organization_of",
    "require_role",
    "revoke_role",
    "set_active",
]
