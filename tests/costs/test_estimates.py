"""Hours without a price, or with one that nobody has read for long, are estimates until somebody sets or reads one."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from costs import metering, reports
from costs.models import CostRecord, CostRevision, DailyCost, Price
from costs.services import PriceConfirmedEarlier, PriceReadInFuture, confirm_price
from costs.standing import standing
from forge.console import health, metrics
from forge.operations.models import Operation
from tests.costs.books import ACTOR, NOW, own_price, rerated
from tests.costs.meters import assert_sums_agree, reach, total
from tests.factories import OrganizationFactory, WorkSpaceFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

END = datetime(2026, 4, 1, tzinfo=UTC)
BEFORE = {"now": datetime(2026, 3, 1, tzinfo=UTC), "reason": ""}
START = datetime(2026, 3, 2, tzinfo=UTC)
BEGAN = END - timedelta(hours=5)


@pytest.fixture(autouse=True)
def _ninety_days(settings):
    settings.FORGE_PRICE_STALE_DAYS = 90


@pytest.fixture
def organization():
    Price.objects.filter(organization=None, bundle_type="STANDARD").delete()
    return OrganizationFactory()


def running(organization, since=BEGAN):
    return WorkSpaceFactory(organization=organization, history=[(since, "AVAILABLE")])


def bases(workspace):
    """Basis → hours booked."""
    found = {}
    for basis in CostRecord.objects.filter(workspace=workspace).values_list("basis", flat=True):
        found[basis] = found.get(basis, 0) + 1
    return found


def test_a_machine_whose_price_has_ended_is_booked_at_it_as_an_estimate(organization, spent):
    own_price(organization, START, valid_to=END, **BEFORE)
    machine = running(organization)
    assert metering.meter(now=NOW)["unpriced"] == 0
    assert bases(machine) == {"METERED": 5, "ESTIMATED": 35}
    estimated = CostRecord.objects.get(workspace=machine, period_start=END)
    assert (estimated.compute_cost, estimated.billed_hours) == (Decimal("0.3") + Decimal("0.013542"), 1)
    assert {(row.day, row.basis) for row in DailyCost.objects.all()} == {
        (date(2026, 3, 31), "METERED"), (date(2026, 4, 1), "ESTIMATED"), (date(2026, 4, 2), "ESTIMATED"),
    }  # fmt: skip
    assert reports.total(DailyCost.objects.all())["basis"] == "MIXED"
    assert_sums_agree()


def test_when_a_price_arrives_estimates_become_metered_at_it(organization, spent):
    own_price(organization, START, valid_to=END, **BEFORE)
    machine = running(organization)
    metering.meter(now=NOW)
    was = total(machine)
    own_price(organization, END, hourly_amount=Decimal("0.5"), as_of=date(2026, 4, 1), reason="the list came late")
    rerated()
    assert bases(machine) == {"METERED": 40}
    assert total(machine) == was + 35 * Decimal("0.2")
    assert {row.basis for row in DailyCost.objects.all()} == {"METERED"}
    assert reports.total(DailyCost.objects.all())["basis"] == "METERED"
    assert set(CostRevision.objects.values_list("old_basis", "new_basis")) == {("ESTIMATED", "METERED")}
    assert_sums_agree()


def test_what_becomes_known_late_of_an_estimate_stays_an_estimate(organization, spent):
    own_price(organization, START, valid_to=END, **BEFORE)
    machine = running(organization)
    metering.meter(now=NOW)
    reach(machine, END + timedelta(hours=4), "STOPPED")
    metering.meter(now=NOW)
    assert bases(machine) == {"METERED": 5, "ESTIMATED": 35}
    assert sum(CostRecord.objects.filter(workspace=machine).values_list("billed_hours", flat=True)) == 9
    assert_sums_agree()


def test_a_price_that_is_still_to_come_is_the_estimate_where_none_has_been(organization):
    own_price(organization, NOW.replace(minute=0) + timedelta(hours=5), reason="")
    machine = running(organization)
    metering.meter(now=NOW)
    assert bases(machine) == {"ESTIMATED": 40}


def test_the_price_for_all_in_force_goes_before_an_own_one_that_has_ended(organization):
    own_price(organization, START, valid_to=END, hourly_amount=Decimal(7), **BEFORE)
    own_price(None, START, **BEFORE)
    machine = running(organization)
    metering.meter(now=NOW)
    assert bases(machine) == {"METERED": 40}
    assert CostRecord.objects.get(workspace=machine, period_start=END).price.organization is None


def test_a_price_that_was_withdrawn_is_no_estimate(organization):
    own_price(organization, START, valid_to=END, hourly_amount=Decimal(7), **BEFORE)
    corrected = own_price(organization, START, valid_to=END)
    machine = running(organization)
    metering.meter(now=NOW)
    assert set(CostRecord.objects.filter(workspace=machine).values_list("price", flat=True)) == {corrected.pk}


# -- Stale ----------------------------------------------------------------------------------------------------------


def test_a_price_that_nobody_has_read_for_90_days_books_estimates_until_somebody_does(organization, spent):
    price = own_price(organization, START, as_of=date(2026, 1, 1), **BEFORE)
    machine = running(organization)
    metering.meter(now=NOW)
    assert price.stale_at == END
    assert bases(machine) == {"METERED": 5, "ESTIMATED": 35}
    was = total(machine)
    confirm_price(actor=ACTOR, price_id=price.pk, as_of=date(2026, 4, 2), source="the list of April", now=NOW)
    (result,) = rerated()
    assert result == {"records": 35, "difference": "0.000000"}
    assert (bases(machine), total(machine)) == ({"METERED": 40}, was)
    assert len(spent) == 40
    assert {row.basis for row in DailyCost.objects.all()} == {"METERED"}
    assert_sums_agree()


def test_days_until_a_price_is_stale_are_a_setting(organization, settings):
    settings.FORGE_PRICE_STALE_DAYS = 120
    own_price(organization, START, as_of=date(2026, 1, 1), **BEFORE)
    machine = running(organization)
    metering.meter(now=NOW)
    assert bases(machine) == {"METERED": 40}


def test_a_price_that_is_not_stale_is_confirmed_without_rerating(organization):
    running(organization)
    price = own_price(organization, START, **BEFORE)
    Operation.objects.all().delete()
    confirm_price(actor=ACTOR, price_id=price.pk, as_of=date(2026, 4, 1), now=NOW)
    price.refresh_from_db()
    assert (price.as_of, price.source) == (date(2026, 4, 1), "a contract")
    assert not Operation.objects.exists()
    with pytest.raises(PriceConfirmedEarlier):
        confirm_price(actor=ACTOR, price_id=price.pk, as_of=date(2026, 3, 31), now=NOW)
    with pytest.raises(PriceReadInFuture):
        confirm_price(actor=ACTOR, price_id=price.pk, as_of=date(2026, 4, 3), now=NOW)


# -- The alarm ------------------------------------------------------------------------------------------------------


def test_the_standing_tells_of_missing_and_stale_prices_of_live_machines_alone(organization):
    assert standing(NOW).problems == []
    running(organization)
    WorkSpaceFactory(organization=organization, bundle_type="POWER", history=[(BEGAN, "AVAILABLE"), (END, "FAILED")])
    found = standing(NOW)
    assert found.missing == ("WORKSPACES_PERSONAL STANDARD LINUX AUTO_STOP in us-east-1",)
    assert "1 without a price" in str(found)
    own_price(organization, START, as_of=date(2026, 1, 1), **BEFORE)
    found = standing(NOW)
    assert (len(found.missing), len(found.stale), found.oldest) == (0, 1, NOW - datetime(2026, 1, 1, tzinfo=UTC))
    assert "read over 90 days ago" in str(found)
    assert standing(END - timedelta(hours=1)).problems == []


def test_readyz_and_metrics_show_it(organization, monkeypatch):
    running(organization)
    monkeypatch.setattr(health.timezone, "now", lambda: NOW)
    assert health.check_prices().status == "degraded"
    found = {family.name: family.samples[0].value for family in metrics.DatabaseCollector(NOW)._prices()}
    assert found == {"forge_price_age_seconds": 0, "forge_prices_missing": 1, "forge_prices_stale": 0}
    own_price(organization, START, **BEFORE)
    assert health.check_prices() == health.Finding("ok", "oldest price in use read 60 days ago")
