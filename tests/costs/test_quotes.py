"""Which price holds, what is refused without one, and what a quote reckons."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from budgets.rates import month_ahead, rate_of
from costs.models import Price
from costs.quotes import PriceInOtherCurrency, PriceMissing, of_keeping, price_for, quote
from tests.factories import OrganizationFactory, WorkSpaceFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 17, 10, 20, tzinfo=UTC)
KIND = {"region": "us-east-1", "bundle_type": "STANDARD", "operating_system": "LINUX", "running_mode": "AUTO_STOP"}


def price(**facts):
    terms = {"monthly_amount": Decimal(7), "hourly_amount": Decimal("0.2"), "currency": "USD", "source": "contract"}
    terms |= {"as_of": date(2026, 1, 1), "valid_from": datetime(2026, 1, 1, tzinfo=UTC), "included_storage_gb": 130}
    return Price.objects.create(**KIND | terms | facts)


def test_the_price_for_all_holds_until_the_organization_has_its_own():
    organization, other = OrganizationFactory(), OrganizationFactory()
    common = price_for(organization=organization, now=NOW, **KIND)
    assert (common.organization_id, common.hourly_amount) == (None, Decimal("0.3"))
    own = price(organization=organization)
    assert price_for(organization=organization, now=NOW, **KIND) == own
    assert price_for(organization=other, now=NOW, **KIND) == common


def test_a_price_holds_from_its_first_hour_until_just_before_its_end():
    organization = OrganizationFactory()
    end = NOW.replace(minute=0)
    own = price(organization=organization, valid_to=end)
    assert price_for(organization=organization, now=end - timedelta(microseconds=1), **KIND) == own
    assert price_for(organization=organization, now=end, **KIND).organization_id is None


def test_without_any_price_the_refusal_names_the_kind():
    with pytest.raises(PriceMissing) as refused:
        price_for(organization=OrganizationFactory(), now=NOW, **KIND | {"region": "eu-north-1"})
    assert refused.value.code == "price_missing"
    assert refused.value.extra["region"] == "eu-north-1"


def test_a_price_in_other_currencies_only_is_refused_with_their_names():
    with pytest.raises(PriceInOtherCurrency) as refused:
        price_for(organization=OrganizationFactory(currency="EUR"), now=NOW, **KIND)
    assert refused.value.code == "price_in_other_currency"
    assert (refused.value.extra["currency"], refused.value.extra["priced_in"]) == ("EUR", ["USD"])


def test_another_organizations_price_is_neither_used_nor_told_of():
    price(organization=OrganizationFactory(currency="CHF"), currency="CHF", region="eu-north-1")
    with pytest.raises(PriceMissing) as refused:
        price_for(organization=OrganizationFactory(), now=NOW, **KIND | {"region": "eu-north-1"})
    assert refused.value.code == "price_missing"
    assert "CHF" not in str(refused.value.document())


def test_a_quote_adds_the_fees_to_the_months_end_and_the_hours_asked_for():
    held = price(organization=OrganizationFactory(), storage_gb_month_amount=Decimal("0.1"))
    figures = quote(price=held, storage_gb=180, hours=10, lifetime_end=NOW + timedelta(days=90), now=NOW)
    # 394 of the 744 hours of March had begun before the running one: (7 + 5) · (1 - 394/744) = 5.645162
    assert figures.estimated_cost == Decimal("7.645162")
    assert figures.reservation == Decimal("13.645162")
    assert (figures.hourly, figures.monthly) == (Decimal("0.2"), Decimal(12))
    assert (figures.currency, figures.basis, figures.source) == ("USD", "ESTIMATED", "contract")
    assert figures.as_of == date(2026, 1, 1)


def test_no_more_hours_are_quoted_than_the_month_and_the_lifetime_have():
    held = price(organization=OrganizationFactory(), monthly_amount=Decimal(0))
    late = datetime(2026, 3, 31, 20, 30, tzinfo=UTC)
    assert (
        quote(price=held, storage_gb=0, hours=40, lifetime_end=late + timedelta(days=9), now=late).estimated_cost
        == 4 * held.hourly_amount
    )
    short = quote(price=held, storage_gb=0, hours=40, lifetime_end=NOW + timedelta(hours=3), now=NOW)
    assert short.estimated_cost == short.reservation == 3 * held.hourly_amount


def test_budgets_reckon_with_the_same_price_and_the_same_month():
    organization = OrganizationFactory()
    held = price(organization=organization, storage_gb_month_amount=Decimal("0.1"))
    rate = rate_of(organization=organization, storage_gb=180, now=NOW, **KIND)
    end = NOW + timedelta(days=90)
    figures = quote(price=held, storage_gb=180, hours=10, lifetime_end=end, now=NOW)
    assert month_ahead(rate, now=NOW, lifetime_end=end, hours=10) == figures.estimated_cost


def test_keeping_a_machine_costs_the_fee_and_the_storage_beyond_the_bundles_each_month():
    organization = OrganizationFactory()
    own = price(organization=organization, storage_gb_month_amount=Decimal("0.1"))
    machine = WorkSpaceFactory(organization=organization, root_volume_gb=175, user_volume_gb=100)
    assert of_keeping(workspace=machine, now=NOW) == {
        "amount": Decimal("21.5"),
        "fee": Decimal(7),
        "storage": Decimal("14.5"),
        "hourly": Decimal("0.2"),
        "currency": "USD",
        "basis": "ESTIMATED",
        "price_id": own.id,
        "source": "contract",
        "as_of": date(2026, 1, 1),
    }


@pytest.mark.parametrize("facts", [{"region": "eu-north-1"}, {"region": "eu-north-1", "currency": "EUR"}])
def test_keeping_has_no_price_where_the_book_has_none_in_the_organizations_currency(facts):
    if "currency" in facts:
        price(**facts)
    machine = WorkSpaceFactory(region="eu-north-1")
    assert of_keeping(workspace=machine, now=NOW) is None
