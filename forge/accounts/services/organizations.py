"""Making organizations, teams and projects."""

from __future__ import annotations

import uuid
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.accounts.rules import currency_rule, holds, slug_rule
from forge.accounts.services.authority import MayNotManagePeople, require_unless_command
from forge.api.errors import BadRequest, Conflict, NotFound, Refused
from forge.api.etags import require_version
from forge.api.fields import has_controls
from forge.db.integrity import refusing

Role = Membership.Role


class SlugTaken(Conflict):
    code = "slug_taken"
    title = "This slug is taken"
    advice = "Choose another."


class NotASlug(Refused):
    code = "not_a_slug"
    title = "Not a slug"


class UnknownPerson(Refused):
    code = "unknown_person"
    title = "There is no such person"


class TextRefused(BadRequest):
    code = "text_refused"
    title = "A text cannot be read as it stands"


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
    """A new project, chargeable by `teams` (none = all); for admins. Raises NotASlug, SlugTaken, TextRefused."""
    require_unless_command(actor, organization.id, Role.ADMIN)
    _check_slug(slug)
    _require_readable(name, cost_center)
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


def change_project(
    *,
    actor: Actor,
    project_id: uuid.UUID,
    wanted: Mapping[str, Any],
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> Project:
    """Give a project another name, cost center or owner (a User or None); for admins. What is not named stays.

    Where all is as it was already, nothing is written.

    Hours that begin from `now` on are booked to the new cost center, those before to the old one, whenever they are
    booked: PostgreSQL keeps what held before (`costs` migration 0014). Raises MayNotManagePeople, PreconditionFailed,
    TextRefused.
    """
    if unknown := wanted.keys() - _CHANGEABLE:
        raise ValueError(f"no fields of a project that change: {sorted(unknown)}")
    with transaction.atomic():
        rows = Project.objects.select_for_update(no_key=True, of=("self",)).select_related("owner")
        project = rows.get(pk=project_id)
        require_unless_command(actor, project.organization_id, Role.ADMIN)
        require_version(project, if_match)
        _require_readable(wanted.get("name", ""), wanted.get("cost_center", ""))
        owner = wanted.get("owner")
        if owner is not None and owner.organization_id != project.organization_id:
            raise NotFound("No such person.")
        changed = {name: value for name, value in wanted.items() if value != getattr(project, name)}
        if not changed:
            return project
        before = _told(project, changed)
        for name, value in changed.items():
            setattr(project, name, value)
        project.updated_at = now
        # not by save(), which puts the clock's time in place of `now`, from which on the new center holds
        Project.objects.filter(pk=project.pk).update(**changed, updated_at=now)
        record(
            actor=actor.in_organization(project.organization_id),
            action=actions.PROJECT_UPDATE,
            resource_type="Project",
            resource_id=str(project.id),
            description=f"Changed {', '.join(sorted(changed))} of project {project.id}",
            changes={"before": before, "after": _told(project, changed)},
            occurred_at=now,
        )
    return project


_CHANGEABLE = {"name", "cost_center", "owner"}


def _require_readable(name: str = "", cost_center: str = "") -> None:
    """Raises TextRefused."""
    for field, text in (("name", name), ("cost_center", cost_center)):
        if has_controls(text, kept=""):
            said = "Characters that hide or turn others are not taken."
            raise TextRefused(errors=[{"field": field, "code": "control", "message": said}])


def _told(project: Project, names: Iterable[str]) -> dict[str, Any]:
    """These fields as the audit log has them; the owner by id."""
    values = {"name": project.name, "cost_center": project.cost_center}
    told: dict[str, Any] = {name: values[name] for name in names if name in values}
    if "owner" in names:
        told["owner_id"] = str(project.owner_id) if project.owner_id else None
    return told


def person_of(organization_id: uuid.UUID, email: str) -> User:
    """The person of the organization with this email; raises UnknownPerson."""
    person = User.objects.filter(organization_id=organization_id, email__iexact=email).first()
    if person is None:
        raise UnknownPerson("Nobody in your organization has this email.")
    return person


def _check_slug(slug: str) -> None:
    if not holds(slug_rule, slug):
        raise NotASlug(str(slug_rule.message))
