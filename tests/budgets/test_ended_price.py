"""Machines whose price has ended: what they go on to cost is held, and they may be started and enlarged."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from budgets import guards, services
from budgets.models import Budget, Reservation
from costs import metering
from costs.models import Price
from costs.quotes import PriceInOtherCurrency, PriceMissing
from forge.db import partitions
from tests import world as worlds
from tests.budgets.support import World, figures, lock_scopes_of
from tests.factories import WorkSpaceFactory
from tests.workspaces.support import WORKSPACES, client_of, problem
from workspaces.models import WorkSpace

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


def test_a_machine_with_storage_of_no_known_price_holds_and_is_topped_up_to_the_rest():
    """Its storage is held at nothing: that this is not known must not make all that it owes unknown."""
    partitions.ensure("costs_costrecord", MARCH.date(), MARCH.date())
    world = worlds.build()
    WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=world.engineer, provider_account=world.account,
        blueprint=world.blueprint, history=[(datetime(2026, 3, 10, 9, tzinfo=UTC), "AVAILABLE")], user_volume_gb=200,
    )  # fmt: skip
    metering.meter(now=NOW)
    budget = adopted(world)
    assert budget.reserved == Decimal("18.159274")
    Reservation.objects.update(remaining=1)
    Budget.objects.update(reserved=1)
    metering.meter(now=NOW + timedelta(hours=1))
    assert figures(budget)[1] > 17


# -- Starts and modifications ----------------------------------------------------------------------------------------


def ask(intent):
    with transaction.atomic():
        lock_scopes_of(intent)
        return guards.reserve(intent, dry_run=False)


def end_prices(**of):
    Price.objects.filter(**of).update(valid_to=MARCH + timedelta(days=10))


@pytest.fixture
def asleep():
    """A world, and a STANDARD machine in it that rests and holds nothing."""
    world = World()
    machine = world.running(user=world.person())
    WorkSpace.objects.filter(pk=machine.pk).update(state="STOPPED")
    machine.refresh_from_db()
    return world, machine


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_start_holds_the_last_price_and_says_so(asleep, dry_run):
    world, machine = asleep
    budget = world.budget(amount=100, on_limit="BLOCK_STARTS")
    intent = world.intent(kind="start", user=machine.owner, workspace=machine, now=NOW)
    expected = guards.reserve(intent, dry_run=True)
    end_prices()
    answer = guards.reserve(intent, dry_run=True) if dry_run else ask(intent)
    assert Decimal(answer["reservation"]) > 0
    assert expected["is_price_current"] is True
    assert answer == expected | {"is_price_current": False}
    assert answer["basis"] == "ESTIMATED"
    assert figures(budget) == (0, 0 if dry_run else Decimal(answer["reservation"]))


def test_over_the_api_it_starts_and_nothing_new_does():
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    machine = WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=world.engineer, provider_account=world.account,
        blueprint=world.blueprint,
        history=[(timezone.now() - timedelta(hours=9), "AVAILABLE"), (timezone.now() - timedelta(hours=2), "STOPPED")],
    )  # fmt: skip
    end_prices()
    client = client_of(world.engineer)
    answer = client.post(f"{WORKSPACES}{machine.pk}/start/")
    assert (answer.status_code, answer.json().get("is_price_current")) == (202, False), answer.content
    problem(client_of(world.lead).post(WORKSPACES, world.body(), format="json"), 422, "price_missing")


def test_a_start_that_the_last_price_does_not_fit_is_refused(asleep):
    world, machine = asleep
    world.budget(amount=1, on_limit="BLOCK_STARTS")
    end_prices()
    with pytest.raises(guards.BudgetExceeded):
        ask(world.intent(kind="start", user=machine.owner, workspace=machine, now=NOW))


def test_a_volume_grows_at_the_last_price(asleep):
    world, machine = asleep
    budget = world.budget(amount=100)
    Price.objects.update(included_storage_gb=130, storage_gb_month_amount=Decimal("0.10"))
    intent = replace(world.intent(kind="modify", user=machine.owner, workspace=machine, now=NOW), user_volume_gb=100)
    expected = guards.reserve(intent, dry_run=True)
    end_prices()
    answer = ask(intent)
    assert answer == expected | {"is_price_current": False}
    assert figures(budget) == (0, Decimal(answer["reservation"]))
    assert Decimal(answer["reservation"]) > 0


def test_a_machine_whose_price_has_ended_becomes_one_that_has_a_price(asleep):
    """What it is to become is priced as a launch is; what it was is held against that at its last price."""
    world, machine = asleep
    world.budget(amount=1000)
    intent = replace(
        world.intent(kind="modify", user=machine.owner, workspace=machine, now=NOW), bundle_type="PERFORMANCE"
    )
    expected = guards.reserve(intent, dry_run=True)
    end_prices(bundle_type="STANDARD")
    assert ask(intent) == expected


def test_what_begins_anew_needs_a_price_in_force(asleep):
    world, machine = asleep
    end_prices(bundle_type="PERFORMANCE")
    with pytest.raises(PriceMissing):
        ask(world.intent(now=NOW, bundle_type="PERFORMANCE"))
    with pytest.raises(PriceMissing):
        ask(
            replace(
                world.intent(kind="modify", user=machine.owner, workspace=machine, now=NOW), bundle_type="PERFORMANCE"
            )
        )


def test_a_start_is_refused_where_no_price_was_ever_known(asleep):
    world, machine = asleep
    Price.objects.update(currency="EUR")
    with pytest.raises(PriceInOtherCurrency):
        ask(world.intent(kind="start", user=machine.owner, workspace=machine, now=NOW))
