"""Who exists, and by what they come in."""

from forge.accounts.models.people import Membership, Organization, Project, Team, User
from forge.accounts.models.saved_lists import SavedList
from forge.accounts.models.sessions import SignInGuard, UserSession
from forge.accounts.models.tokens import ApiToken

__all__ = [
    "ApiToken",
    "Membership",
    "Organization",
    "Project",
    "SavedList",
    "SignInGuard",
    "Team",
    "User",
    "UserSession",
]
