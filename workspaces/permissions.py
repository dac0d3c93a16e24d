"""Who may do what to a machine (the role table of docs/roles.md)."""

from __future__ import annotations

from forge.accounts.models import Membership, User
from forge.api.errors import Denied
from workspaces.models import WorkSpace

Role = Membership.Role

_OWN = {
    "launch": (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "start": (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "stop": (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "connect": (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "terminate": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "keep-alive": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "extend": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "lease": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "modify": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "tag": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "move": (Role.TEAM_LEAD, Role.ADMIN),
    "reboot": (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "rebuild": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
    "restore": (Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN),
}
_OTHERS = (Role.TEAM_LEAD, Role.ADMIN)


class MayNotControl(Denied):
    code = "may_not_control_machine"
    title = "Your role may not do this to the machine"


def may(user: User, action: str, workspace: WorkSpace) -> bool:
    """True when a role that the person holds in the machine's team, or in the organization, allows `action` on it."""
    if user.organization_id != workspace.organization_id:
        return False
    allowed = _OWN[action] if workspace.owner_id == user.id else _OTHERS
    return any(role in allowed for role, team in user.roles if team is None or team == workspace.team_id)


def require(user: object, action: str, workspace: WorkSpace) -> None:
    """Raises MayNotControl unless `may`."""
    if not isinstance(user, User) or not may(user, action, workspace):
        raise MayNotControl(f"You may not {action} machine {workspace.name}.", extra={"workspace": str(workspace.id)})
