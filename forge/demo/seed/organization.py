"""The organization of the demo: teams, projects, people, blueprints and the place for machines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.actors import Actor
from blueprints import services as blueprint_services
from blueprints.models import Blueprint
from forge.accounts import services
from forge.accounts.models import Organization, Project, Team, User
from forge.demo.seed.people import TEAMS, Person, people
from workspaces.models import ProviderAccount
from workspaces.providers import register_provider_account
from workspaces.simulator import catalog

SLUG = "robco"
REGION = "us-east-1"
ACCOUNT = "123456789012"
CONTRACT = timedelta(days=180)

PROJECTS = (
    ("forge", "Forge itself", "r-100", ("platform",)),
    ("telemetry", "Fleet telemetry", "r-210", ("platform", "data")),
    ("forecast", "Demand forecast", "r-220", ("data",)),
    ("mark-four", "Mark IV controller", "r-300", ("devices",)),
)

_ALL_SIZES = ("STANDARD", "PERFORMANCE", "POWER", "POWERPRO")
_WITH_GPU = (*_ALL_SIZES, "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN")

# name, team (None: everybody), operating system, (image, software) of each version
BLUEPRINTS: tuple[tuple[str, str | None, str, tuple[tuple[str, dict[str, str]], ...]], ...] = (
    ("ubuntu-desktop", None, "LINUX", (("ubuntu-22-04", {}), ("ubuntu-24-04", {}))),
    ("windows-office", None, "WINDOWS", (("windows-server-2022", {}),)),
    (
        "engineering-linux",
        "platform",
        "LINUX",
        (("engineering-linux-1", {"python": "3.11"}), ("engineering-linux-2", {"python": "3.12"})),
    ),
    (
        "engineering-windows",
        "platform",
        "WINDOWS",
        (("engineering-windows-1", {"dotnet": "8"}), ("engineering-windows-2", {"dotnet": "9"})),
    ),
    (
        "data-science",
        "data",
        "LINUX",
        (("data-science-linux-1", {"jupyter": "4.2"}), ("data-science-linux-2", {"jupyter": "4.4"})),
    ),
    ("firmware", "devices", "LINUX", (("firmware-linux-1", {"gcc-arm": "13.2"}),)),
)


@dataclass
class Seeded:
    """What stands: rows by the names that the plan gives them."""

    organization: Organization
    teams: dict[str, Team]
    projects: dict[str, Project]
    users: dict[str, User]
    people: list[Person]
    blueprints: dict[str, Blueprint]
    account: ProviderAccount


BLUEPRINTS_STAND_FOR = timedelta(days=61)
"""They were made and published before the first machine of the history was launched."""


def seed_organization(*, actor: Actor, now: datetime, password: str) -> Seeded:
    """Make what is not there yet, so that a run that was cut off is completed by the next."""
    organization = Organization.objects.filter(slug=SLUG).first() or services.create_organization(
        actor=actor, slug=SLUG, name="RobCo Industries (demo)", timezone="Europe/Berlin"
    )
    actor = actor.in_organization(organization.id)
    teams = {slug: _team(actor, organization, slug, name) for slug, name in TEAMS.items()}
    projects = {
        slug: _project(actor, organization, slug, name, cost_center, [teams[team] for team in allowed])
        for slug, name, cost_center, allowed in PROJECTS
    }
    plan = people()
    users = {person.email: _person(actor, organization, teams, person, now=now, password=password) for person in plan}
    return Seeded(
        organization=organization,
        teams=teams,
        projects=projects,
        users=users,
        people=plan,
        blueprints={
            name: _blueprint(actor, organization, teams.get(team or ""), name, system, versions, now=now)
            for name, team, system, versions in BLUEPRINTS
        },
        account=_account(actor, organization),
    )


def _team(actor: Actor, organization: Organization, slug: str, name: str) -> Team:
    return Team.objects.filter(organization=organization, slug=slug).first() or services.create_team(
        actor=actor, organization=organization, slug=slug, name=name
    )


def _project(
    actor: Actor, organization: Organization, slug: str, name: str, cost_center: str, teams: list[Team]
) -> Project:
    return Project.objects.filter(organization=organization, slug=slug).first() or services.create_project(
        actor=actor, organization=organization, slug=slug, name=name, cost_center=cost_center, teams=teams
    )


def _person(
    actor: Actor, organization: Organization, teams: dict[str, Team], person: Person, *, now: datetime, password: str
) -> User:
    known = User.objects.filter(email=person.email).first()
    if known is not None:
        return known
    membership = services.create_member(
        actor=actor,
        organization=organization,
        email=person.email,
        full_name=person.full_name,
        role=person.role,
        team=teams[person.team] if person.team else None,
        now=now,
        directory_username=person.username,
        location="Berlin",
        credentials_expire_at=now + CONTRACT if person.role == "contractor" else None,
        password=password if person.has_sign_in else None,
    )
    return membership.user


def _blueprint(
    actor: Actor,
    organization: Organization,
    team: Team | None,
    name: str,
    system: str,
    versions: tuple[tuple[str, dict[str, str]], ...],
    *,
    now: datetime,
) -> Blueprint:
    """Every version of the family, published; the newest is returned."""
    family = Blueprint.objects.filter(organization=organization, team=team, name=name)
    for number, (image, software) in enumerate(versions, start=1):
        version = family.filter(version=number).first() or blueprint_services.draft(
            actor=actor,
            organization=organization,
            team=team,
            name=name,
            operating_system=system,
            description=f"{catalog.IMAGES[image].label}, kept up to date by the team.",
            software_manifest=software,
            bundles=[
                blueprint_services.BundleOffer(
                    REGION, size, catalog.bundle_id(REGION, image, size), catalog.image_id(REGION, image)
                )
                for size in (_WITH_GPU if team is None else _ALL_SIZES)
            ],
        )
        if version.status == Blueprint.Status.DRAFT:
            since = now - BLUEPRINTS_STAND_FOR
            family.filter(pk=version.pk).update(created_at=since)
            blueprint_services.publish(actor=actor, blueprint=version, now=since)
    return family.get(version=len(versions))


def _account(actor: Actor, organization: Organization) -> ProviderAccount:
    return ProviderAccount.objects.filter(organization=organization, region=REGION).first() or (
        register_provider_account(
            actor=actor,
            organization=organization,
            name="Simulated AWS",
            kind=ProviderAccount.Kind.SIMULATOR,
            account=ACCOUNT,
            region=REGION,
            directory_id=catalog.directory_id(REGION),
            subnets=catalog.subnet_ids(REGION),
        )
    )
