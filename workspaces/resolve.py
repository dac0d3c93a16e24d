"""From the words of a request to rows: whose machine, which team and project pay, where it stands."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Q

from audit.actors import Actor
from blueprints.models import Blueprint
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.api.errors import BadRequest, Conflict, Denied, Refused
from forge.db import scope
from workspaces.bundles import BUNDLES
from workspaces.capabilities import CAPABILITIES
from workspaces.guards import BlueprintNotFound
from workspaces.intents import Intent, LaunchSpec
from workspaces.models import ApplicationStack, ProviderAccount, WorkSpace
from workspaces.regions.choosing import RegionChoice, choose
from workspaces.tagging.wanted import check_own

Role = Membership.Role
LAUNCHING_ROLES = (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.ADMIN)

LONGEST_POOL_USER = 128
"""Characters of a user name in the user pool of WorkSpaces Applications, which is an email address."""


class MayNotLaunch(Denied):
    code = "may_not_launch"
    title = "Your role does not launch machines"


class MayNotLaunchForOthers(Denied):
    code = "may_not_launch_for_others"
    title = "Only the team's lead or an admin launches for others"


class UnknownOwner(Refused):
    code = "unknown_owner"
    title = "There is no such person"


class NoDirectoryUser(Refused):
    code = "no_directory_user"
    title = "The person has no user in the directory"
    suggested_action = "Ask an admin to set the person's `directory_username`."
    advice = "Ask an admin to set the person's name in the directory."


class TeamRequired(BadRequest):
    code = "team_required"
    title = "Say which team pays"
    suggested_action = "Name one of these teams, by its slug, as `team`."
    advice = "Choose one of the person's teams."


class TeamNotYours(Refused):
    code = "team_not_yours"
    title = "The person is not in this team"
    suggested_action = "Name one of the person's own teams as `team`."
    advice = "Choose one of the person's own teams."


class ProjectNotYours(Refused):
    code = "project_not_yours"
    title = "The team may not charge this project"
    suggested_action = "Choose a project that the team may charge, or none."


class RegionNotOffered(Refused):
    code = "region_not_offered"
    title = "No machine can be launched in this region"
    suggested_action = "Choose a region in which the blueprint offers a bundle."


class ServiceNotOffered(Refused):
    code = "service_not_offered"
    title = "This service is switched off there"
    suggested_action = "Choose another region or service, or ask an admin to switch it on for the provider account."


class ApplicationsNotOffered(Refused):
    code = "applications_not_offered"
    title = "No stack offers these applications together in this form"
    suggested_action = (
        "Choose applications, bundle type, operating system and region of one `GET /api/v1/applications/`."
    )
    advice = "Choose another bundle type, operating system or region."


class StackNotClosed(Conflict):
    code = "stack_not_closed"
    title = "AWS has not been seen to close this stack yet"
    suggested_action = (
        "Try again in five minutes. If it lasts, an admin finds in `GET /api/v1/findings/?check=stack_transfers` why."
    )
    advice = "Try again in five minutes. If it lasts, an admin finds under Findings why."


class RunningModeNotOffered(Refused):
    code = "running_mode_not_offered"
    title = "The service has no such running mode"
    suggested_action = "Leave `running_mode` out, or send AUTO_STOP."
    advice = "Choose AutoStop."


class MachineExists(Conflict):
    code = "machine_exists"
    title = "This person has a machine already"
    suggested_action = "Use the machine named in `workspace`, or terminate it first."
    advice = "Use the machine that the person has, or terminate it first."


@dataclass(frozen=True)
class Launch:
    """A launch with every choice made: the intent that the guards judge, and what else the machine needs."""

    intent: Intent
    spec: LaunchSpec
    provider_account: ProviderAccount
    place: Place
    region_choice: RegionChoice


@dataclass(frozen=True)
class Place:
    """To whom the machine belongs in AWS: the directory and its user, or the stack and the user of the user pool."""

    directory_id: str
    directory_user: str


def resolve_launch(*, actor: Actor, spec: LaunchSpec, now: datetime, only_quote: bool = False) -> Launch:
    """Find every row that the launch names, in the caller's organization only; reads, locks nothing.

    With `only_quote`, a person who has a machine may ask what another would cost, also from a stack not closed yet.

    Raises MayNotLaunch, MayNotLaunchForOthers, UnknownOwner, NoDirectoryUser, TeamRequired, TeamNotYours,
    ProjectNotYours, BlueprintNotFound, RegionRequired, RegionNotOffered, RegionNotAllowed, ServiceNotOffered,
    RunningModeNotOffered, ApplicationsNotOffered, StackNotClosed, TagsRefused.
    """
    caller = actor.user
    if not isinstance(caller, User) or caller.organization is None or not caller.has_role(*LAUNCHING_ROLES):
        raise MayNotLaunch("Machines are launched by contractors, engineers, team leads and admins.")
    check_running_mode(spec)
    check_own(spec.tags)
    organization = caller.organization
    owner = _owner(caller=caller, email=spec.owner)
    team = _team(caller=caller, owner=owner, slug=spec.team)
    role = caller.role_in(team.id)
    if role not in LAUNCHING_ROLES:
        raise MayNotLaunch(f"You have no role in team {team.slug} that launches machines.")
    if owner.id != caller.id and role not in (Role.TEAM_LEAD, Role.ADMIN):
        raise MayNotLaunchForOthers(f"In team {team.slug} you launch for yourself only.")
    is_personal = spec.service_type == WorkSpace.ServiceType.PERSONAL
    find = _computer if is_personal else partial(_right, may_be_open=only_quote)
    blueprint, account, place, choice = find(organization=organization, team=team, owner=owner, spec=spec)
    size = BUNDLES[spec.bundle_type]
    intent = Intent(
        kind="launch",
        actor=actor,
        now=now,
        organization=organization,
        owner=owner,
        team=team,
        project=chargeable_project(organization=organization, team=team, slug=spec.project),
        role=role,
        blueprint=blueprint,
        service_type=spec.service_type,
        application_ids=spec.application_ids,
        bundle_type=spec.bundle_type,
        operating_system=spec.operating_system,
        running_mode=spec.running_mode,
        region=account.region,
        root_volume_gb=size.root_volume_gb if is_personal else 0,
        user_volume_gb=size.user_volume_gb if is_personal else 0,
        lifetime_end=now + timedelta(days=spec.max_lifetime_days),
        workspace_id=WorkSpace._meta.pk.get_default(),
        operation_id=WorkSpace._meta.pk.get_default(),
        correlation_id=actor.correlation_id,
    )
    if not only_quote:
        refuse_second_machine(caller=caller, region=account.region, place=place)
    return Launch(intent=intent, spec=spec, provider_account=account, place=place, region_choice=choice)


def check_running_mode(spec: LaunchSpec) -> None:
    """Raises RunningModeNotOffered for a mode that the service has not."""
    if not CAPABILITIES[spec.service_type].has_running_modes and spec.running_mode != WorkSpace.RunningMode.AUTO_STOP:
        raise RunningModeNotOffered(
            f"{spec.service_type} has no {spec.running_mode}; sessions end by themselves.",
            extra={"offered": [str(WorkSpace.RunningMode.AUTO_STOP)]},
        )


def _computer(
    *, organization: Organization, team: Team, owner: User, spec: LaunchSpec
) -> tuple[Blueprint | None, ProviderAccount, Place, RegionChoice]:
    """A machine of WorkSpaces Personal: from a blueprint, in the account's directory."""
    blueprint = _blueprint(organization=organization, team=team, blueprint_id=spec.blueprint_id)
    account, choice = _account(organization=organization, team=team, owner=owner, blueprint=blueprint, spec=spec)
    if not owner.directory_username:
        raise NoDirectoryUser(
            f"{owner.email} has no directory_username; an admin can set it.", extra={"user": str(owner.id)}
        )
    return blueprint, account, Place(account.directory_id, owner.directory_username), choice


def _right(
    *, organization: Organization, team: Team, owner: User, spec: LaunchSpec, may_be_open: bool
) -> tuple[Blueprint | None, ProviderAccount, Place, RegionChoice]:
    """A machine of WorkSpaces Applications: a stack that offers all that is asked for, the first by name."""
    refuse_service_off(organization=organization, spec=spec)
    if len(owner.email) > LONGEST_POOL_USER:
        raise NoDirectoryUser(
            f"The email address {owner.email} is longer than AWS takes ({LONGEST_POOL_USER}).",
            extra={"user": str(owner.id)},
        )
    fitting = _fitting_stacks(organization=organization, spec=spec, may_be_open=may_be_open)
    choice = choose(
        organization=organization,
        team=team,
        location=owner.location,
        possible={stack.provider_account.region for stack in fitting},
        asked=spec.region,
    )
    stack = next(stack for stack in fitting if stack.provider_account.region == choice.region)
    return None, stack.provider_account, Place(stack.name, owner.email), choice


def _fitting_stacks(*, organization: Organization, spec: LaunchSpec, may_be_open: bool) -> list[ApplicationStack]:
    """The stacks that offer what is asked for, by name.

    Raises StackNotClosed where all that would are open yet, unless they `may_be_open`: a price depends on no setting.
    """
    marked = ApplicationStack.objects.marked().filter(organization=organization)
    stacks = list(marked.select_related("provider_account").order_by("name", "id"))
    wanted = set(spec.application_ids)
    fitting = [
        stack
        for stack in stacks
        if wanted <= set(stack.application_ids)
        and (stack.bundle_type, stack.operating_system) == (spec.bundle_type, spec.operating_system)
        and spec.region in (None, stack.provider_account.region)
    ]
    closed = [stack for stack in fitting if stack.closed_at is not None]
    if wanted and fitting and not closed:
        if may_be_open:
            return fitting
        raise StackNotClosed(
            "AWS was not seen yet to close clipboard, file transfer and printing of "
            f"{', '.join(stack.name for stack in fitting)}; until then nobody launches from it.",
            extra={"stacks": [stack.name for stack in fitting]},
        )
    if not wanted or not closed:
        raise ApplicationsNotOffered(
            f"No stack of your organization offers {', '.join(sorted(wanted)) or 'nothing'} on {spec.bundle_type} "
            f"{spec.operating_system}{f' in {spec.region}' if spec.region else ''}.",
            extra={"offered": [_offer(stack) for stack in stacks if stack.closed_at is not None]},
        )
    return closed


def refuse_service_off(*, organization: Organization, spec: LaunchSpec) -> None:
    """Raises ServiceNotOffered where the accounts that could serve the launch are on, and the service is in none."""
    accounts = ProviderAccount.objects.filter(organization=organization, enabled=True).order_by("region")
    asked = [account for account in accounts if spec.region in (None, account.region)]
    if asked and not any(account.offers(spec.service_type) for account in asked):
        title = WorkSpace.ServiceType(spec.service_type).label
        elsewhere = [account.region for account in accounts if account.offers(spec.service_type)]
        raise ServiceNotOffered(
            f"{title} is switched off in {', '.join(account.region for account in asked)}.",
            extra={"service_type": spec.service_type, "offered": elsewhere},
        )


def _offer(stack: ApplicationStack) -> dict[str, Any]:
    return {
        "stack": stack.name,
        "region": stack.provider_account.region,
        "bundle_type": stack.bundle_type,
        "operating_system": stack.operating_system,
        "application_ids": stack.application_ids,
    }


def refuse_second_machine(*, caller: User, region: str, place: Place) -> None:
    """Raises MachineExists when the directory user has a live machine; PostgreSQL enforces it all the same.

    User names are the same whatever their case, as in AWS. What belongs to another organization is not told of, only
    that there is something, as PostgreSQL's refusal would: so a dry run is refused where the launch is. The name of
    one that the caller does not see is not told either.
    """
    machines = WorkSpace.objects.live().filter(
        region=region, directory_id=place.directory_id, directory_user__iexact=place.directory_user
    )
    with scope.system():  # the directory user may be held where this organization sees nothing
        held = machines.first()
    if held is None:
        return
    if held.organization_id != caller.organization_id:
        raise MachineExists("The directory user has a machine already.", suggested_action="Ask your administrator.")
    is_seen = WorkSpace.objects.visible_to(caller).filter(pk=held.pk).exists()
    raise MachineExists(
        f"Machine {held.name} is {held.state}; AWS allows one per user of a directory or stack."
        if is_seen
        else f"The directory user has a machine, which is {held.state}; AWS allows one per user.",
        extra={"workspace": str(held.pk), "state": held.state},
    )


def _owner(*, caller: User, email: str | None) -> User:
    if email is None or email.lower() == caller.email.lower():
        return caller
    owner = User.objects.filter(organization=caller.organization, email__iexact=email, is_active=True).first()
    if owner is None or not caller.has_role(Role.TEAM_LEAD, Role.ADMIN):
        if owner is not None:
            raise MayNotLaunchForOthers("You launch for yourself only.")
        raise UnknownOwner("Nobody in your organization has the email in `owner`.")
    return owner


def _team(*, caller: User, owner: User, slug: str | None) -> Team:
    teams = list(Team.objects.filter(organization=caller.organization, id__in=owner.team_ids()).order_by("slug"))
    if owner.id != caller.id and not caller.has_role(Role.ADMIN):
        teams = [team for team in teams if team.id in caller.led_team_ids()]
    names = [team.slug for team in teams]
    if slug is None and len(teams) == 1:
        return teams[0]
    if slug is None and teams:
        raise TeamRequired(f"Give `team` as one of: {', '.join(names)}.", extra={"teams": names})
    if slug is None and owner.has_role(Role.ADMIN):
        raise TeamRequired("Give `team`: an admin is in none.")
    team = next((team for team in teams if team.slug == slug), None)
    if team is None and owner.has_role(Role.ADMIN):
        team = Team.objects.filter(organization=caller.organization, slug=slug).first()
    if team is None:
        raise TeamNotYours(f"The machine's owner may charge: {', '.join(names) or 'no team'}.", extra={"teams": names})
    return team


def chargeable_project(*, organization: Organization, team: Team, slug: str | None) -> Project | None:
    """The project of that slug, None for none; raises ProjectNotYours where the team may not charge it."""
    if slug is None:
        return None
    project = Project.objects.filter(organization=organization, slug=slug).chargeable_by([team.id]).first()
    if project is None:
        raise ProjectNotYours(f"Team {team.slug} may not charge a project {slug!r}.")
    return project


def _blueprint(*, organization: Organization, team: Team, blueprint_id: uuid.UUID | None) -> Blueprint:
    """The blueprint as the team sees it; another team's and another organization's are as if they did not exist."""
    of_team = Blueprint.objects.filter(Q(team__isnull=True) | Q(team=team), organization=organization)
    blueprint = of_team.filter(id=blueprint_id).first() if blueprint_id else None
    if blueprint is None:
        raise BlueprintNotFound(f"Team {team.slug} has no such blueprint.", extra={"blueprint": str(blueprint_id)})
    return blueprint


def _account(
    *, organization: Organization, team: Team, owner: User, blueprint: Blueprint, spec: LaunchSpec
) -> tuple[ProviderAccount, RegionChoice]:
    refuse_service_off(organization=organization, spec=spec)
    offering = ProviderAccount.objects.offering(spec.service_type).filter(organization=organization)
    accounts = {account.region: account for account in offering}
    if spec.region is not None and spec.region not in accounts:
        raise RegionNotOffered(f"{spec.region} is not open to your organization.", extra={"offered": sorted(accounts)})
    if not accounts:
        raise RegionNotOffered("Your organization has no provider account; an admin can add one.")
    offered = set(blueprint.bundles.filter(bundle_type=spec.bundle_type).values_list("region", flat=True))
    possible = (offered & accounts.keys()) or set(accounts)
    choice = choose(
        organization=organization,
        team=team,
        location=owner.location,
        possible=possible | {spec.region} if spec.region else possible,
        asked=spec.region,
    )
    return accounts[choice.region], choice
