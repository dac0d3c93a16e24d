"""The small world that everybody knows: one organization with a team, its people, a blueprint and a simulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from audit.actors import Actor, Interface, Kind
from blueprints.models import Blueprint, BlueprintBundle
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.db.ids import uuid7
from tests import factories
from workspaces.intents import LaunchSpec
from workspaces.models import ProviderAccount
from workspaces.simulator import catalog

REGION = "us-east-1"
IMAGE = "engineering-linux-1"


@dataclass(frozen=True)
class World:
    """`engineer`, `lead`, `contractor` are of `team`; `admin`, `auditor`, `finance` of the whole organization."""

    organization: Organization
    team: Team
    project: Project
    engineer: User
    lead: User
    contractor: User
    admin: User
    auditor: User
    finance: User
    blueprint: Blueprint
    account: ProviderAccount

    def spec(self, **changes: object) -> LaunchSpec:
        """A launch of STANDARD Linux from the world's blueprint."""
        wanted = {
            "service_type": "WORKSPACES_PERSONAL",
            "blueprint_id": self.blueprint.id,
            "bundle_type": "STANDARD",
            "operating_system": "LINUX",
            "running_mode": "AUTO_STOP",
            "region": REGION,
        }
        return LaunchSpec(**{**wanted, **changes})

    def body(self, **changes: object) -> dict[str, object]:
        """The same launch as the body of a POST."""
        wanted = {
            "service_type": "WORKSPACES_PERSONAL",
            "blueprint": str(self.blueprint.id),
            "bundle_type": "STANDARD",
            "operating_system": "LINUX",
            "running_mode": "AUTO_STOP",
            "region": REGION,
        }
        return {**wanted, **changes}


def actor(user: User) -> Actor:
    """A person acting through the portal."""
    return Actor(
        kind=Kind.USER,
        interface=Interface.PORTAL,
        user=user,
        user_id=user.id,
        email=user.email,
        organization_id=user.organization_id,
        correlation_id=uuid7(),
    )


def engineers(world: World, count: int) -> list[User]:
    """More engineers of the world's team."""
    return _members(world.organization, [(world.team, "engineer", {})] * count)


def beside(world: World) -> World:
    """Another team of the organization with an engineer, a lead, a project, a blueprint and an account of its own.

    Its account is in another region. The lead of `world` leads this team too; everybody else is the same.
    """
    organization = world.organization
    number = ProviderAccount.objects.filter(organization=organization).count() + 1
    region = f"eu-central-{number}"
    team = factories.TeamFactory(organization=organization)
    engineer, lead = _members(organization, [(team, "engineer", {}), (team, "team_lead", {})])
    factories.MembershipFactory(user=world.lead, team=team, role="team_lead")
    project = factories.ProjectFactory(organization=organization, owner=engineer)
    project.teams.add(team)
    return replace(
        world,
        team=team,
        project=project,
        engineer=engineer,
        lead=lead,
        blueprint=factories.BlueprintFactory(
            organization=organization, team=team, created_by=engineer, bundle__region=region
        ),
        account=factories.ProviderAccountFactory(organization=organization, region=region),
    )


def build(*, region: str = REGION, expire_at: datetime | None = None) -> World:
    """Make the world; `expire_at` is the end of the contractor's credentials."""
    organization = factories.OrganizationFactory()
    team = factories.TeamFactory(organization=organization)
    blueprint = factories.BlueprintFactory(organization=organization, team=team, bundle=None, status="DRAFT")
    BlueprintBundle.objects.bulk_create(
        factories.BlueprintBundleFactory.build(
            blueprint=blueprint,
            region=region,
            bundle_type=bundle_type,
            bundle_id=catalog.bundle_id(region, IMAGE, bundle_type),
        )
        for bundle_type in ("STANDARD", "PERFORMANCE", "GRAPHICSPRO_G4DN")
    )
    factories.publish(blueprint)
    engineer, lead, contractor, admin, auditor, finance = _members(
        organization,
        [
            (team, "engineer", {}),
            (team, "team_lead", {}),
            (team, "contractor", {"credentials_expire_at": expire_at}),
            (None, "admin", {}),
            (None, "auditor", {}),
            (None, "finance", {}),
        ],
    )
    return World(
        organization=organization,
        team=team,
        project=factories.ProjectFactory(organization=organization),
        engineer=engineer,
        lead=lead,
        contractor=contractor,
        admin=admin,
        auditor=auditor,
        finance=finance,
        blueprint=blueprint,
        account=factories.ProviderAccountFactory(organization=organization, region=region, **_directory(region)),
    )


def _directory(region: str) -> dict[str, str]:
    """A directory that the simulator has and nobody else uses; beside more worlds than that, one that it has not."""
    taken = set(ProviderAccount.objects.filter(region=region).values_list("directory_id", flat=True))
    known = (catalog.directory_id(region, number) for number in range(1, catalog.DIRECTORIES_PER_REGION + 1))
    free = next((directory_id for directory_id in known if directory_id not in taken), None)
    return {"directory_id": free} if free else {}


def _members(organization: Organization, wanted: list[tuple[Team | None, str, dict[str, object]]]) -> list[User]:
    """A person per (team, role, further fields), in two statements: most tests begin with these."""
    people = [factories.UserFactory.build(organization=organization, **facts) for _, _, facts in wanted]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(
        factories.MembershipFactory.build(user=user, organization=organization, team=team, role=role)
        for user, (team, role, _) in zip(people, wanted, strict=True)
    )
    return people
