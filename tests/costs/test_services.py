"""The price book is changed by those who may, as a whole and on record, and what was booked keeps its price."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from audit.actors import Actor
from audit.models import AuditLog
from audit.services import AuditUnavailable
from costs import quotes, services
from costs.api.serializers import QuoteSerializer
from costs.models import Price
from costs.permissions import MayNotSetPrices
from costs.services import PriceTerms, close_price, set_price
from tests import world as worlds
from tests.factories import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 17, 10, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
TERMS = PriceTerms(
    region="us-east-1",
    bundle_type="STANDARD",
    operating_system="LINUX",
    running_mode="AUTO_STOP",
    monthly_amount=Decimal("7.5"),
    hourly_amount=Decimal("0.2"),
    currency="USD",
    source="contract 4711",
    as_of=date(2026, 3, 1),
    valid_from=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.fixture
def world():
    return worlds.build(expire_at=NOW + timedelta(days=30))


def set_own(world, user=None, reason="a test", **changes):
    return set_price(
        actor=worlds.actor(user or world.finance),
        organization=world.organization,
        terms=replace(TERMS, **changes),
        now=NOW,
        reason=reason,
    )


def test_finance_sets_a_price_and_the_log_has_its_terms(world):
    price = set_own(world)
    assert price.included_storage_gb == 130
    entry = AuditLog.objects.get(action_type="PRICE_CREATE")
    assert (entry.resource_id, entry.organization_id) == (str(price.pk), world.organization.id)
    assert entry.changes["after"]["monthly_amount"] == "7.5"
    assert entry.changes["after"]["valid_from"] == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize("name", services.AMOUNTS)
def test_an_amount_that_no_machine_costs_is_refused(world, name):
    with pytest.raises(services.AmountOutOfRange, match=f"{name} is from 0 to 1000000"):
        set_own(world, **{name: services.MOST + Decimal("0.000001")})
    assert not Price.objects.filter(organization=world.organization).exists()


def test_whatever_follows_from_the_highest_price_fits(world):
    held = set_own(world, included_storage_gb=0, **dict.fromkeys(services.AMOUNTS, services.MOST))
    start = datetime(2026, 3, 1, tzinfo=UTC)
    figures = quotes.quote(price=held, storage_gb=4000, hours=744, lifetime_end=NOW + timedelta(days=90), now=start)
    shown = QuoteSerializer(figures).data
    assert shown["estimated_cost"] == "4745000000.000000"


@pytest.mark.parametrize("who", ["engineer", "lead", "contractor", "auditor"])
def test_other_roles_set_no_prices(world, who):
    with pytest.raises(MayNotSetPrices):
        set_own(world, getattr(world, who))


def test_nobody_sets_prices_of_another_organization_or_for_all(world):
    for organization in (OrganizationFactory(), None):
        with pytest.raises(MayNotSetPrices):
            set_price(actor=worlds.actor(world.admin), organization=organization, terms=TERMS, now=NOW, reason="a test")


def test_operators_set_prices_for_all_in_any_currency():
    operator = worlds.actor(UserFactory(organization=None))
    price = set_price(actor=operator, organization=None, terms=replace(TERMS, currency="EUR"), now=NOW, reason="x")
    assert (price.organization_id, price.currency) == (None, "EUR")
    assert AuditLog.objects.get(action_type="PRICE_CREATE").organization_id is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"monthly_amount": Decimal(-1)}, "amount_out_of_range"),
        ({"hourly_amount": Decimal("NaN")}, "amount_out_of_range"),
        ({"monthly_amount": Decimal("1e12")}, "amount_out_of_range"),
        ({"monthly_amount": Decimal("0.0000001")}, "amount_out_of_range"),
        ({"running_mode": "ALWAYS_ON"}, "hourly_when_always_on"),
        ({"valid_from": NOW}, "price_not_whole_hours"),
        ({"valid_to": NOW}, "price_not_whole_hours"),
        ({"valid_to": TERMS.valid_from}, "price_ends_before_it_starts"),
        ({"as_of": NOW.date() + timedelta(days=1)}, "price_read_in_future"),
        ({"currency": "EUR"}, "currency_not_used"),
    ],
)
def test_what_cannot_be_a_price_is_refused_by_name(world, changes, code):
    before = Price.objects.count()
    with pytest.raises(services.Refused) as refused:
        set_own(world, **changes)
    assert refused.value.code == code
    assert Price.objects.count() == before


def test_two_prices_for_the_same_at_the_same_time_are_a_conflict(world):
    first = set_own(world)
    with pytest.raises(services.PricesOverlap):
        set_own(world, valid_from=NOW.replace(minute=0) + HOUR)
    close_price(actor=worlds.actor(world.admin), price_id=first.pk, now=NOW)
    second = set_own(world, valid_from=NOW.replace(minute=0) + HOUR)
    first.refresh_from_db()
    assert first.valid_to == second.valid_from == datetime(2026, 3, 17, 11, tzinfo=UTC)
    entry = AuditLog.objects.get(action_type="PRICE_CLOSE")
    assert entry.changes == {"before": {"valid_to": None}, "after": {"valid_to": "2026-03-17T11:00:00Z"}}


def test_an_end_that_lies_ahead_can_be_moved_but_not_over_another_price(world):
    actor = worlds.actor(world.finance)
    first = set_own(world, valid_to=datetime(2026, 4, 1, tzinfo=UTC))
    set_own(world, valid_from=datetime(2026, 5, 1, tzinfo=UTC))
    moved = close_price(actor=actor, price_id=first.pk, valid_to=datetime(2026, 5, 1, tzinfo=UTC), now=NOW)
    assert moved.valid_to == datetime(2026, 5, 1, tzinfo=UTC)
    with pytest.raises(services.PricesOverlap):
        close_price(actor=actor, price_id=first.pk, valid_to=datetime(2026, 6, 1, tzinfo=UTC), now=NOW)


@pytest.mark.parametrize(
    ("valid_to", "code"),
    [
        (NOW.replace(minute=0), "price_ends_in_past"),
        (NOW + HOUR, "price_not_whole_hours"),
    ],
)
def test_an_end_in_the_past_or_within_an_hour_is_refused(world, valid_to, code):
    price = set_own(world)
    with pytest.raises(services.Refused) as refused:
        close_price(actor=worlds.actor(world.finance), price_id=price.pk, valid_to=valid_to, now=NOW)
    assert refused.value.code == code


def test_what_has_ended_stays_ended(world):
    price = set_own(world, valid_to=datetime(2026, 3, 10, tzinfo=UTC))
    with pytest.raises(services.PriceEndsInPast):
        close_price(
            actor=worlds.actor(world.finance), price_id=price.pk, valid_to=NOW.replace(minute=0) + HOUR, now=NOW
        )


def test_a_price_for_all_is_not_closed_by_an_organization(world):
    common = Price.objects.filter(organization=None).first()
    with pytest.raises(MayNotSetPrices):
        close_price(actor=worlds.actor(world.admin), price_id=common.pk, now=NOW)
    assert close_price(actor=Actor.command("tests"), price_id=common.pk, now=NOW).valid_to is not None


def test_when_the_audit_entry_cannot_be_written_the_price_is_gone_too(world, monkeypatch):
    def fail(entry):
        raise AuditUnavailable()

    monkeypatch.setattr(services, "append", fail)
    with pytest.raises(AuditUnavailable):
        set_own(world)
    assert not Price.objects.filter(organization=world.organization).exists()
