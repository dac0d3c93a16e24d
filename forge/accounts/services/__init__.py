"""Every change to organizations, people, teams, projects and their roles."""

from forge.accounts.services.authority import MayNotManagePeople, NoOrganization, organization_of, require_role
from forge.accounts.services.members import (
    DirectoryUsernameTaken,
    EmailTaken,
    PersonIsThere,
    add_member,
    create_member,
    set_active,
)
from forge.accounts.services.organizations import (
    NotASlug,
    SlugTaken,
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
    "ContractorNeedsEnd",
    "CredentialsEndInPast",
    "DirectoryUsernameTaken",
    "EmailTaken",
    "LastAdmin",
    "MayNotManagePeople",
    "NoOrganization",
    "NotASlug",
    "PersonIsThere",
    "RoleIsOrganizationWide",
    "RoleNeedsTeam",
    "RoleNotOfServices",
    "ServiceNameTaken",
    "SlugTaken",
    "UnknownCurrency",
    "UnknownPerson",
    "UnknownTimeZone",
    "add_member",
    "change_project",
    "create_member",
    "create_organization",
    "create_project",
    "create_service_account",
    "create_team",
    "grant_role",
    "organization_of",
    "person_of",
    "require_role",
    "revoke_role",
    "set_active",
]
