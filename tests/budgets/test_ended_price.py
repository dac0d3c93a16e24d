"""A budget that adopts machines whose price has ended holds what they go on to cost."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from budgets import services
from costs import metering
from costs.models import Price
from forge.db import partitions
from tests import world as worlds
from tests.factories import WorkSpaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)


def adopted(world):
    return services.create(
        actor=worlds.actor(world.finance), organization=world.organization, scope="TEAM", scope_id=world.team.id,
        amount=Decimal(100), period_start=MARCH, period_end=APRIL, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("ends", [False, True])
def test_the_last_price_is_what_is_held(ends):
    """40 hours, and what is left of the fee, at the price in force or the one that was the last."""
    partitions.ensure("costs_costrecord", MARCH.date(), MARCH.date())
    world = worlds.build()
    machine = WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=world.engineer, provider_account=world.account,
        blueprint=world.blueprint, history=[(datetime(2026, 3, 10, 9, tzinfo=UTC), "AVAILABLE")],
    )  # fmt: skip
    price = Price.objects.get(
        region=machine.region, bundle_type=machine.bundle_type, operating_system=machine.operating_system,
        running_mode=machine.running_mode, service_type=machine.service_type,
    )  # fmt: skip
    if ends:
        Price.objects.filter(pk=price.pk).update(valid_to=datetime(2026, 3, 11, tzinfo=UTC))
    metering.meter(now=NOW)
    assert adopted(world).reserved == Decimal("18.159274")
