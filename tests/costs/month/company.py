"""The organization whose month is walked through: its teams, projects, people, prices, AWS accounts and budgets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from blueprints.models import Blueprint
from budgets import services as budgets
from costs.models import Price
from forge.accounts.models import Organization, Project, Team, User
from tests import factories
from tests.world import actor
from workspaces.intents import LaunchSpec
from workspaces.simulator import catalog

IMAGES = {"LINUX": "engineering-linux-1", "WINDOWS": "engineering-windows-1"}
PLENTY = Decimal(10_000_000)
JANUARY, FEBRUARY = datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 2, 1, tzinfo=UTC)


@dataclass
class Company:
    organization: Organization
    admin: User
    finance: User
    teams: dict[str, Team] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    people: dict[str, User] = field(default_factory=dict)
    blueprints: dict[str, Blueprint] = field(default_factory=dict)

    def spec(self, facts: dict[str, Any]) -> LaunchSpec:
        """A launch as the plan has it."""
        return LaunchSpec(
            service_type="WORKSPACES_PERSONAL",
            blueprint_id=self.blueprints[facts["operating_system"]].id,
            bundle_type=facts["bundle_type"],
            operating_system=facts["operating_system"],
            running_mode=facts["running_mode"],
            region=facts["region"],
            team=facts["team"],
            project=facts["project"],
            auto_stop_timeout_minutes=facts["idle_minutes"],
            tags={"cost-center": facts["cost_center"]} if facts["cost_center"] else {},
        )


def found(plan: dict[str, Any]) -> Company:
    """Make everything that is there before the first machine."""
    organization = factories.OrganizationFactory()
    company = Company(organization, *(_manager(organization, role) for role in ("admin", "finance")))
    for slug in plan["teams"]:
        company.teams[slug] = factories.TeamFactory(organization=organization, slug=slug)
    for slug, center in plan["projects"].items():
        company.projects[slug] = factories.ProjectFactory(organization=organization, slug=slug, cost_center=center)
    for name, team in plan["people"]:
        user = factories.UserFactory(organization=organization, email=f"{name}@example.com", directory_username=name)
        factories.MembershipFactory(user=user, team=company.teams[team])
        company.people[name] = user
    for system in plan["systems"]:
        company.blueprints[system] = _blueprint(organization, system, plan)
    for region in plan["regions"]:
        factories.ProviderAccountFactory(
            organization=organization, region=region, directory_id=catalog.directory_id(region)
        )
    _set_prices(organization, plan["prices"])
    _set_budgets(company, datetime.fromisoformat(plan["begin"]))
    return company


def _manager(organization: Organization, role: str) -> User:
    user = factories.UserFactory(organization=organization)
    factories.MembershipFactory(user=user, organization=organization, team=None, role=role)
    return user


def _blueprint(organization: Organization, system: str, plan: dict[str, Any]) -> Blueprint:
    """One for all teams, which offers each bundle in each region."""
    blueprint = factories.BlueprintFactory(
        organization=organization, operating_system=system, bundle=None, status="DRAFT"
    )
    for region in plan["regions"]:
        for bundle_type in plan["bundles"]:
            factories.BlueprintBundleFactory(
                blueprint=blueprint,
                region=region,
                bundle_type=bundle_type,
                bundle_id=catalog.bundle_id(region, IMAGES[system], bundle_type),
            )
    return factories.publish(blueprint)


def _set_prices(organization: Organization, rows: list[list[Any]]) -> None:
    names = ("region", "operating_system", "bundle_type", "running_mode", "valid_from", "valid_to", "monthly_amount",
             "hourly_amount", "storage_gb_month_amount", "included_storage_gb")  # fmt: skip
    Price.objects.bulk_create(
        Price(
            organization=organization,
            currency="USD",
            source="the plan of the month",
            as_of=date(2028, 1, 25),
            **dict(zip(names, [*row[:4], row[4] or JANUARY, *row[5:]], strict=True)),
        )
        for row in rows
    )


def _set_budgets(company: Company, now: datetime) -> None:
    """Monthly ones of the organization, of each team and project and of a few people, which nothing can pass."""
    scopes: list[tuple[str, uuid.UUID]] = [("ORGANIZATION", company.organization.id)]
    scopes += [("TEAM", team.id) for team in company.teams.values()]
    scopes += [("PROJECT", project.id) for project in company.projects.values()]
    scopes += [("USER", person.id) for person in list(company.people.values())[:5]]
    for scope, scope_id in scopes:
        budgets.create(
            actor=actor(company.admin),
            organization=company.organization,
            scope=scope,
            scope_id=scope_id,
            amount=PLENTY,
            period_start=JANUARY,
            period_end=FEBRUARY,
            recurs="MONTHLY",
            now=now,
        )
