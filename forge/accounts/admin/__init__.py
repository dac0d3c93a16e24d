"""People, teams, projects, roles and tokens in the console, added by forms and changed by buttons of services."""

from forge.accounts.admin.base import OwnOrganizationAdmin, ServiceForm
from forge.accounts.admin.credentials import ApiTokenAdmin, UserSessionAdmin
from forge.accounts.admin.organizations import OrganizationAdmin, TeamAdmin
from forge.accounts.admin.people import UserAdmin
from forge.accounts.admin.projects import ProjectAdmin
from forge.accounts.admin.roles import MembershipAdmin

__all__ = [
    "ApiTokenAdmin",
    "MembershipAdmin",
    "OrganizationAdmin",
    "OwnOrganizationAdmin",
    "ProjectAdmin",
    "ServiceForm",
    "TeamAdmin",
    "UserAdmin",
    "UserSessionAdmin",
]
