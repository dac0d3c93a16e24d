"""Making organizations, teams and projects."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.accounts.rules import currency_rule, holds, slug_rule
from forge.accounts.services.authority import MayNotManagePeople, require_unless_command
from forge.api.errors import Conflict, NotFound, Refused
from forge.db.integrity import refusing

Role = Membership.Role


class SlugTaken(Conflict):
    code = "slug_taken"
    title = "This slug is taken"


class NotASlug(Refused):
    code = "not_a_slug"
    title = "Not a slug"


class UnknownCurrency(Refused):
    code = "unknown_currency"
    title = "Not the code of a currency"


class UnknownTimeZone(Refused):
    code = "unknown_time_zone"
    title = "Not a time zone of the IANA database"


def create_organization(
    *, actor: Actor, slug: str, name: str, timezone: str = "UTC", currency: str = "USD"
) -> Organization:
    """A new organization; for operators of the installation and the command line only.

    Raises MayNotManagePeople, NotASlug, SlugTaken, UnknownTimeZone, UnknownCurrency.
    """
    if actor.kind != "COMMAND" and not (isinstance(actor.user, User) and actor.user.is_operator):
        raise MayNotManagePeople("Only operators of the installation make organizations.")
    if timezone not in zoneinfo.available_timezones():
        raise UnknownTimeZone(f"{timezone!r} is not known.")
    if not holds(currency_rule, currency):
        raise UnknownCurrency(str(currency_rule.message))
    _check_slug(slug)
    with refusing({"accounts_organization_slug_unique": SlugTaken(f"An organization named {slug!r} exists.")}):
        organization = Organization.objects.create(slug=slug, name=name, timezone=timezone, currency=currency)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.ORGANIZATION_CREATE,
            resource_type="Organization",
            resource_id=str(organization.id),
            description=f"Created organization {organization.id}",
            changes={"before": None, "after": {"slug": slug, "timezone": timezone, "currency": currency}},
        )
    return organization


def create_team(*, actor: Actor, organization: Organization, slug: str, name: str) -> Team:
    """A new team; for admins. Raises NotASlug, SlugTaken."""
    require_unless_command(actor, organization.id, Role.ADMIN)
    _check_slug(slug)
    with refusing({"accounts_team_slug_unique": SlugTaken(f"A team named {slug!r} exists.")}):
        team = Team.objects.create(organization=organization, slug=slug, name=name)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.TEAM_CREATE,
            resource_type="Team",
            resource_id=str(team.id),
            description=f"Created team {team.id}",
            changes={"before": None, "after": {"slug": slug}},
        )
    return team


def create_project(
    *,
    actor: Actor,
    organization: Organization,
    slug: str,
    name: str,
    cost_center: str = "",
    owner: User | None = None,
    teams: Sequence[Team] = (),
) -> Project:
    """A new project, chargeable by `teams` (none = all); for admins. Raises NotASlug, SlugTaken."""
    require_unless_command(actor, organization.id, Role.ADMIN)
    _check_slug(slug)
    if any(team.organization_id != organization.id for team in teams):
        raise NotFound("No such team.")
    if owner is not None and owner.organization_id != organization.id:
        raise NotFound("No such person.")
    with refusing({"accounts_project_slug_unique": SlugTaken(f"A project named {slug!r} exists.")}):
        project = Project.objects.create(
            organization=organization, slug=slug, name=name, cost_center=cost_center, owner=owner
        )
        project.teams.set(teams)
        record(
            actor=actor.in_organization(organization.id),
            action=actions.PROJECT_CREATE,
            resource_type="Project",
            resource_id=str(project.id),
            description=f"Created project {project.id}",
            changes={
                "before": None,
                "after": {"slug": slug, "cost_center": cost_center, "teams": sorted(str(team.id) for team in teams)},
            },
        )
    return project


def _check_slug(slug: str) -> None:
    if not holds(slug_rule, slug):
        raise NotASlug(str(slug_rule.message))
