"""Storage of which nobody knows the price: nothing grows by it, what is there is an estimate, and an alarm says so."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from budgets import guards
from costs import metering
from costs.models import CostRecord, Price
from costs.quotes import PriceMissing, price_for, quote
from costs.standing import standing
from forge.console import health, metrics
from tests import world as worlds
from tests.budgets.support import MARCH, World, figures, lock_scopes_of
from tests.costs.books import NOW, own_price, rerated
from tests.costs.meters import assert_sums_agree, total
from tests.costs.test_estimates import BEGAN, START, bases
from tests.factories import OrganizationFactory, WorkSpaceFactory
from tests.workspaces.support import WORKSPACES, client_of, problem
from workspaces.models import WorkSpace

PER_GB = Decimal("0.10")
LARGE = {"root_volume_gb": 80, "user_volume_gb": 200}
"""150 GB more than STANDARD includes."""


@pytest.fixture
def large(db, months):
    """A machine of an organization whose price book is the shipped one."""
    return WorkSpaceFactory(organization=OrganizationFactory(), history=[(BEGAN, "AVAILABLE")], **LARGE)


def test_the_shipped_book_does_not_say_what_storage_costs(db):
    assert set(Price.objects.values_list("storage_gb_month_amount", flat=True)) == {None}


def test_what_is_there_is_an_estimate_until_its_price_is_set(large, spent):
    plain = WorkSpaceFactory(organization=large.organization, history=[(BEGAN, "AVAILABLE")])
    assert metering.meter(now=NOW)["unpriced"] == 0
    assert (bases(large), bases(plain)) == ({"ESTIMATED": 40}, {"METERED": 40})
    assert total(large) == total(plain)
    assert {record.storage_cost for record in CostRecord.objects.all()} == {Decimal(0)}
    own_price(large.organization, START, storage_gb_month_amount=PER_GB)
    rerated()
    assert (bases(large), bases(plain)) == ({"METERED": 40}, {"METERED": 40})
    march, april = 5 * Decimal(15) / 744, 35 * Decimal(15) / 720
    assert total(large) - total(plain) == (march + april).quantize(Decimal("0.000001"))
    assert_sums_agree()


def test_a_correction_that_does_not_say_either_leaves_an_estimate(large):
    metering.meter(now=NOW)
    own_price(large.organization, START, hourly_amount=Decimal("0.31"))
    rerated()
    assert bases(large) == {"ESTIMATED": 40}
    assert {record.storage_cost for record in CostRecord.objects.all()} == {Decimal(0)}


def test_what_it_owes_at_its_end_is_an_estimate_too(large):
    own_price(large.organization, START, hourly_amount=Decimal("0.31"))
    WorkSpace.objects.filter(pk=large.pk).update(state="TERMINATED", state_since=NOW, terminated_at=NOW)
    metering.meter(now=NOW + timedelta(hours=1))
    assert set(bases(large)) == {"ESTIMATED"}
    assert_sums_agree()


def test_the_alarm_tells_of_it_and_of_nothing_else(large, monkeypatch):
    monkeypatch.setattr(health.timezone, "now", lambda: NOW)
    found = standing(NOW)
    assert found.without_storage == ("WORKSPACES_PERSONAL STANDARD LINUX AUTO_STOP in us-east-1",)
    assert (found.missing, found.stale) == ((), ())
    assert "1 without a price of storage" in health.check_prices().detail
    assert health.check_prices().status == "degraded"
    gauges = {family.name: family.samples[0].value for family in metrics.DatabaseCollector(NOW)._prices()}
    assert gauges["forge_prices_missing"] == 1
    WorkSpace.objects.update(user_volume_gb=50)
    assert standing(NOW).problems == []
    WorkSpace.objects.update(**LARGE)
    own_price(large.organization, START, storage_gb_month_amount=PER_GB)
    assert health.check_prices().status == "ok"


# -- What a price keeps of the one before it -----------------------------------------------------------------------


def test_a_price_that_says_nothing_of_storage_keeps_the_amount_before_it(large):
    organization = large.organization
    first = own_price(organization, START, storage_gb_month_amount=PER_GB)
    after = own_price(organization, NOW.replace(hour=12, minute=0), after=first.pk, hourly_amount=Decimal("0.31"))
    corrected = own_price(organization, START, hourly_amount=Decimal("0.32"), valid_to=BEGAN)
    free = own_price(organization, BEGAN, storage_gb_month_amount=Decimal(0), valid_to=NOW.replace(minute=0))
    said = [price.storage_gb_month_amount for price in (after, corrected, free)]
    assert said == [PER_GB, PER_GB, 0]


def test_it_keeps_that_of_all_organizations_where_there_is_no_own(large):
    Price.objects.filter(organization=None).update(storage_gb_month_amount=PER_GB)
    assert own_price(large.organization, START).storage_gb_month_amount == PER_GB


# -- What is new, or grows ------------------------------------------------------------------------------------------


def test_a_quote_beyond_what_is_included_is_refused(large):
    kind = {"region": "us-east-1", "bundle_type": "STANDARD", "operating_system": "LINUX", "running_mode": "AUTO_STOP"}
    price = price_for(organization=large.organization, now=NOW, **kind)
    ahead = {"price": price, "hours": 1, "lifetime_end": NOW + timedelta(days=90), "now": NOW}
    assert quote(**ahead, storage_gb=130).monthly == Decimal("9.75")
    with pytest.raises(PriceMissing):
        quote(**ahead, storage_gb=131)


@pytest.fixture
def asleep(transactional_db):
    """A world, and a STANDARD machine in it that rests."""
    world = World()
    machine = world.running(user=world.person())
    WorkSpace.objects.filter(pk=machine.pk).update(state="STOPPED")
    machine.refresh_from_db()
    return world, machine


def ask(intent):
    with transaction.atomic():
        lock_scopes_of(intent)
        return guards.reserve(intent, dry_run=False)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_volume_does_not_grow_without_a_price_of_it(asleep, dry_run):
    world, machine = asleep
    budget = world.budget(amount=100)
    rests = world.intent(kind="modify", user=machine.owner, workspace=machine, now=MARCH)
    grows = replace(rests, user_volume_gb=100)
    with pytest.raises(PriceMissing) as refused:
        guards.reserve(grows, dry_run=True) if dry_run else ask(grows)
    assert refused.value.extra == {"storage_gb": 180}
    assert figures(budget) == (0, 0)
    guards.reserve(replace(grows, bundle_type="PERFORMANCE"), dry_run=True)  # which includes as much
    Price.objects.update(storage_gb_month_amount=PER_GB)
    assert Decimal(guards.reserve(grows, dry_run=True)["reservation"]) > 0


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_what_has_more_already_starts_and_is_resized(asleep):
    world, machine = asleep
    WorkSpace.objects.filter(pk=machine.pk).update(**LARGE)
    machine.refresh_from_db()
    for kind, changes in (("start", {}), ("modify", {"bundle_type": "PERFORMANCE"})):
        intent = replace(world.intent(kind=kind, user=machine.owner, workspace=machine, now=MARCH), **LARGE, **changes)
        assert Decimal(guards.reserve(intent, dry_run=True)["estimated_cost"]) > 0


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_over_the_api_it_is_price_missing():
    world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    machine = WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=world.engineer, provider_account=world.account,
        blueprint=world.blueprint, history=[(timezone.now() - timedelta(hours=9), "AVAILABLE")],
    )  # fmt: skip
    asked = client_of(world.engineer).post(
        f"{WORKSPACES}{machine.pk}/modify/?dry_run=true", {"user_volume_gb": 100}, format="json"
    )
    assert problem(asked, 422, "price_missing")["storage_gb"] == 180
