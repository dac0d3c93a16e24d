"""Every change to organizations, people, teams, projects and their roles."""

from forge.accounts.services.authority import MayNotManagePeople, NoOrganization, organization_of, require_role
from forge.accounts.services.first_admin import (
    OrganizationHasAdmin,
    awaited_admins,
    create_first_admin,
    has_admin,
)
from forge.accounts.services.inviting import AlreadyIn, MayNotComeIn, invite_again, is_awaited, may_invite
from forge.accounts.services.members import (
    DirectoryUsernameTaken,
    EmailTaken,
    PersonIsThere,
    add_member,
    create_member,
    set_active,
)
from forge.accounts.services.operators import create_operator, require_free_email
from forge.accounts.services.organizations import (
    NotASlug,
    SlugTaken,
    TextRefused,
    UnknownCurrency,
    UnknownPerson,
    UnknownTimeZone,
    change_project,
    create_organization,
    create_project,
    create_team,
    person_of,
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
    "TextRefused",
    "UnknownCurrency",
    "UnknownPerson",
    "UnknownTimeZone",
    "add_member",
    "awaited_admins",
    "change_project",
    "create_first_admin",
    "create_member",
    "create_operator",
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
    "person_of",
    "require_free_email",
    "require_role",
    "revoke_role",
    "set_active",
]
