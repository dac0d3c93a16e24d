"""Moving a machine to another team or project of its organization: who is charged for it from the next hour on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import Membership, Project, Team, User
from forge.api.errors import Denied, NothingToChange
from forge.db.ids import uuid7
from forge.operations.models import Operation
from forge.outbox.services import owe
from workspaces import actions, mails
from workspaces.models import WorkSpace
from workspaces.regions.choosing import RegionNotAllowed, allowed_regions
from workspaces.resolve import TeamNotYours, chargeable_project
from workspaces.rules.fitting import refuse_beyond_ceilings
from workspaces.rules.reckoning import apply
from workspaces.services.control import InQuarantine, intent_of, legal_of, queue, require_able, require_may
from workspaces.services.launching import ask_guards, with_repairs
from workspaces.services.tagging import TAG_PROMISE
from workspaces.transitions import lock_machine, lock_scopes_of

Role = Membership.Role


class MayNotMoveThere(Denied):
    code = "may_not_move_there"
    title = "Only an admin, or who leads both teams, moves a machine between them"
    suggested_action = "Ask an admin of the organization."


@dataclass(frozen=True)
class Destination:
    """Whose a machine is to be."""

    team: Team
    project: Project | None


@dataclass(frozen=True)
class Moved:
    """A machine that was moved, the operation that brings its tags in AWS after, and what it came to.

    None of both on a dry run; no operation where AWS takes no tags.
    """

    workspace: WorkSpace | None
    operation: Operation | None
    figures: dict[str, Any]


def move(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    wanted: Mapping[str, str | None],
    now: datetime,
    reason: str = "",
    if_match: frozenset[str] | None = None,
    dry_run: bool = False,
) -> Moved:
    """Charge a machine to another `team` or `project` (slugs; a project None is none; what is not named stays).

    The hours that began before stay with those whom it leaves, with all that was booked. Its money goes over in one
    transaction: the budgets that it enters are asked like those of a launch, those that it leaves get back what they
    hold beyond what the running hour may still bring them. A dry run gives the figures, and neither locks nor writes.
    Raises what `start` raises, MayNotMoveThere, NothingToChange, TeamNotYours, ProjectNotYours, RegionNotAllowed,
    BeyondCeilings, and what the guards refuse.
    """

    def admit() -> Moved:
        seen = _read(workspace_id)
        require_may(actor, "move", seen)
        aim = _destination(seen, wanted, actor=actor)
        lock_scopes_of(workspace_id, team_id=aim.team.id, project_id=aim.project.id if aim.project else None)
        workspace = lock_machine(workspace_id)
        aim, figures = _judge(workspace, wanted, actor=actor, now=now, if_match=if_match, dry_run=False)
        return _carry_out(workspace, aim, figures, actor=actor, reason=reason, now=now)

    if not dry_run:
        return with_repairs(admit)
    _, figures = _judge(_read(workspace_id), wanted, actor=actor, now=now, if_match=if_match, dry_run=True)
    return Moved(None, None, figures)


def _read(workspace_id: uuid.UUID) -> WorkSpace:
    return WorkSpace.objects.select_related("owner", "team", "project", "organization", "blueprint").get(
        pk=workspace_id
    )


def _judge(
    workspace: WorkSpace,
    wanted: Mapping[str, str | None],
    *,
    actor: Actor,
    now: datetime,
    if_match: frozenset[str] | None,
    dry_run: bool,
) -> tuple[Destination, dict[str, Any]]:
    """Whose the machine is to be and the figures of that; raises whatever stands in the way, the budgets last."""
    require_able(workspace, actor=actor, action="move", if_match=if_match)
    if not workspace.owner.is_active or workspace.quarantines.open().exists():
        raise InQuarantine("Whom it is handed over to is of its team.", extra={"legal": legal_of(workspace)})
    aim = _destination(workspace, wanted, actor=actor)
    before, after = _named(workspace.team, workspace.project), _named(aim.team, aim.project)
    if before == after:
        raise NothingToChange("It is charged to this team and project already.")
    if aim.team.id != workspace.team_id:
        _require_region(workspace, aim.team)
        refuse_beyond_ceilings(workspace, team=aim.team, now=now)
    intent = intent_of(workspace, kind="move", actor=actor, operation_id=uuid7(), now=now)
    role = actor.user.role_in(aim.team.id) if actor.has_account else None
    intent = replace(intent, team=aim.team, project=aim.project, role=role or "")
    figures = ask_guards(intent, dry_run=dry_run)
    return aim, {**figures, "changes": {"before": before, "after": after}}


def _destination(workspace: WorkSpace, wanted: Mapping[str, str | None], *, actor: Actor) -> Destination:
    """Raises MayNotMoveThere, TeamNotYours where its owner is not of the team, ProjectNotYours."""
    slug = wanted.get("team") or workspace.team.slug
    team = workspace.team if slug == workspace.team.slug else _team(workspace, slug, actor=actor)
    project = wanted.get("project", workspace.project.slug if workspace.project else None)
    return Destination(team, chargeable_project(organization=workspace.organization, team=team, slug=project))


def _team(workspace: WorkSpace, slug: str, *, actor: Actor) -> Team:
    """Another team of the organization; a lead hears only of those led."""
    team = Team.objects.filter(organization_id=workspace.organization_id, slug=slug).first()
    person = actor.user
    is_bound = isinstance(person, User) and not person.has_role(Role.ADMIN)
    if is_bound and (team is None or team.id not in person.led_team_ids()):
        raise MayNotMoveThere(f"You lead no team {slug!r}.")
    owner = workspace.owner
    if team is None or not (team.id in owner.team_ids() or owner.has_role(Role.ADMIN)):
        teams = Team.objects.filter(id__in=owner.team_ids()).order_by("slug")
        names = list(teams.values_list("slug", flat=True))
        raise TeamNotYours(f"The machine's owner may charge: {', '.join(names) or 'no team'}.", extra={"teams": names})
    return team


def _require_region(workspace: WorkSpace, team: Team) -> None:
    allowed = allowed_regions(workspace.organization_id, team.id)
    if allowed is not None and workspace.region not in allowed:
        raise RegionNotAllowed(
            f"Team {team.slug} may have no machine in {workspace.region}.",
            extra={"region": workspace.region, "allowed": sorted(allowed)},
            suggested_action="Ask an admin to change the team's region policy.",
        )


def _carry_out(
    workspace: WorkSpace, aim: Destination, figures: dict[str, Any], *, actor: Actor, reason: str, now: datetime
) -> Moved:
    """The row, what people are told, the operation and the entry; the budgets are done already."""
    before = _facts(workspace)
    workspace.team, workspace.project, workspace.attributed_at = aim.team, aim.project, now
    workspace.save(update_fields=["team", "project", "attributed_at", "updated_at"])
    apply([workspace], now=now)
    _tell(workspace, before, actor=actor, now=now)
    changes = {"before": before, "after": _facts(workspace)}
    description = f"Machine {workspace.id} moved to team {aim.team.id}"
    context = {"reason": reason, "charged_from": figures.get("charged_from")}
    if workspace.capabilities.takes_tags:
        operation = queue(
            workspace,
            actor=actor,
            verb="tag",
            audit_action=actions.WORKSPACE_MOVE,
            operation_id=uuid7(),
            now=now,
            promise=TAG_PROMISE,
            changes=changes,
            description=description,
            context=context,
        )
        return Moved(workspace, operation, figures)
    workspace.version += 1
    workspace.save(update_fields=["version", "updated_at"])
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=actions.WORKSPACE_MOVE,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=description,
        changes=changes,
        context={"state": workspace.state, **context},
        occurred_at=now,
    )
    return Moved(workspace, None, figures)


def _tell(workspace: WorkSpace, before: Mapping[str, Any], *, actor: Actor, now: datetime) -> None:
    """The owner and the leads of the team that is charged from now on hear of it, but for whoever did it."""
    leads = Membership.objects.filter(team_id=workspace.team_id, role=Role.TEAM_LEAD, user__is_active=True)
    readers = {workspace.owner_id, *leads.values_list("user_id", flat=True)} - {actor.user_id}
    facts = {"before": dict(before), "after": _facts(workspace), "at": now.isoformat()}

    def owed(reader: uuid.UUID) -> Any:
        once = f"{now.timestamp():.6f}"
        return mails.about(workspace, mails.MOVED, actor=actor, once=once, facts=facts, recipient_id=reader)

    owe([owed(reader) for reader in sorted(readers)], now=now, events=[owed(workspace.owner_id).event])


def _facts(workspace: WorkSpace) -> dict[str, Any]:
    return {
        "team_id": str(workspace.team_id),
        "project_id": str(workspace.project_id) if workspace.project_id else None,
    }


def _named(team: Team, project: Project | None) -> dict[str, str | None]:
    return {"team": team.slug, "project": project.slug if project else None}
