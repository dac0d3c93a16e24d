"""Who launches in a storm: organizations with AWS accounts, regions, directories, teams, blueprints and budgets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from blueprints.models import Blueprint
from costs.models import Price
from forge.accounts.models import Organization, Team, User
from forge.db.ids import uuid7
from tests import factories
from tests.world import IMAGE
from workspaces.intents import LaunchSpec
from workspaces.models import ProviderAccount
from workspaces.simulator import catalog

REGIONS = (("us-east-1", "eu-west-1"), ("us-west-2", "eu-central-1"))
"""Two organizations share each pair, with a directory of the region each."""

BUNDLES = ("STANDARD", "PERFORMANCE", "POWER")
PLENTY = Decimal(1_000_000)


@dataclass(frozen=True)
class Crew:
    """A team with a blueprint of its own."""

    organization: Organization
    team: Team
    blueprint: Blueprint
    accounts: Sequence[ProviderAccount]

    def hire(self, **facts: object) -> User:
        """One more engineer."""
        user = factories.UserFactory(organization=self.organization, **facts)
        factories.MembershipFactory(user=user, organization=self.organization, team=self.team, role="engineer")
        return user

    def spec(self, **changes: object) -> LaunchSpec:
        """STANDARD Linux in the first region."""
        wanted = {
            "service_type": "WORKSPACES_PERSONAL",
            "blueprint_id": self.blueprint.id,
            "bundle_type": "STANDARD",
            "operating_system": "LINUX",
            "running_mode": "ALWAYS_ON",
            "region": self.accounts[0].region,
            "tags": {"cost-center": self.team.slug},
        }
        return LaunchSpec(**{**wanted, **changes})

    def any_spec(self, chance: random.Random) -> LaunchSpec:
        """One of those that the blueprint offers."""
        return self.spec(
            bundle_type=chance.choice(BUNDLES),
            running_mode=chance.choice(("ALWAYS_ON", "AUTO_STOP")),
            region=chance.choice(self.accounts).region,
        )


def build(*, organizations: int, accounts: int, regions: int, now: datetime) -> list[Crew]:
    """Organizations (4 at most) in AWS accounts and regions (2 at most), each with two teams and their budgets."""
    _price_as_at_home({region for pair in REGIONS for region in pair[:regions]})
    numbers = [(number, number % accounts + 1) for number in range(organizations)]
    return [crew for number, account in numbers for crew in _organization(number, account, regions, now)]


def _organization(number: int, account: int, regions: int, now: datetime) -> Iterator[Crew]:
    organization = factories.OrganizationFactory()
    accounts = [
        factories.ProviderAccountFactory(
            organization=organization,
            account=f"{account:012d}",
            region=region,
            directory_id=catalog.directory_id(region, number % 2 + 1),
        )
        for region in REGIONS[number // 2][:regions]
    ]
    _budget(organization, "ORGANIZATION", organization.id, now)
    for _ in range(2):
        team = factories.TeamFactory(organization=organization)
        _budget(organization, "TEAM", team.id, now)
        yield Crew(organization, team, _blueprint(organization, team, accounts), accounts)


def _blueprint(organization: Organization, team: Team, accounts: Sequence[ProviderAccount]) -> Blueprint:
    blueprint = factories.BlueprintFactory(organization=organization, team=team, bundle=None, status="DRAFT")
    for account in accounts:
        for bundle_type in BUNDLES:
            factories.BlueprintBundleFactory(
                blueprint=blueprint,
                region=account.region,
                bundle_type=bundle_type,
                bundle_id=catalog.bundle_id(account.region, IMAGE, bundle_type),
            )
    return factories.publish(blueprint)


def _budget(organization: Organization, scope: str, scope_id: object, now: datetime, amount: Decimal = PLENTY) -> None:
    """From this month to the end of the next, so that no storm passes its end."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=organization,
        scope=scope,
        scope_id=scope_id,
        amount=amount,
        period_start=start,
        period_end=(start + timedelta(days=62)).replace(day=1),
        adopted_at=now,
    )


def take_all_money(user: User, now: datetime) -> None:
    """Let a budget of the person's own admit nothing."""
    _budget(user.organization, "USER", user.id, now, amount=Decimal(0))


def _price_as_at_home(regions: set[str]) -> None:
    """The migrations' price book knows one region; the others get its prices."""
    at_home = list(Price.objects.filter(region="us-east-1", organization=None))
    for region in regions - {"us-east-1"}:
        for price in at_home:
            price.pk, price.region, price._state.adding = uuid7(), region, True
            price.save()
