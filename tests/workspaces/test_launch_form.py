"""Launching from the console: the price and what the budgets would have left stand there before anything is spent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Reservation
from costs.models import Price
from tests import factories
from tests import world as worlds
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db
ADD = "/admin/workspaces/workspace/add/"


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def browser(world):
    browser = Client()
    browser.force_login(world.lead)
    return browser


@pytest.fixture
def wanted(world) -> dict[str, Any]:
    """What the form is filled with."""
    return {
        "owner_email": world.engineer.email, "blueprint": world.blueprint.pk, "bundle_type": "STANDARD",
        "running_mode": "AUTO_STOP", "region": "us-east-1", "team": "", "project": "", "max_lifetime_days": "90",
    }  # fmt: skip


def shown(answer):
    """The price that the page shows, None where it shows none."""
    assert answer.status_code == 200
    return answer.context["adminform"].form.price


def priced(browser, wanted):
    """The same form as the page with its price would send it."""
    page = browser.post(ADD, wanted)
    return wanted | {"price_seen": page.context["adminform"].form["price_seen"].value()}


def test_the_empty_form_offers_to_show_the_price_and_nothing_else(browser):
    page = browser.get(ADD).content.decode()
    assert "See the price" in page
    assert "Launch\n" not in page
    assert 'name="price_seen"' not in page


def test_the_first_press_shows_what_a_quote_and_a_dry_run_say_and_spends_nothing(world, browser, wanted, client):
    budget = factories.BudgetFactory(
        organization=world.organization, scope="TEAM", scope_id=world.team.pk, amount=500,
        spent=Decimal("120.5"), period_start=_month(0), period_end=_month(1),
    )  # fmt: skip
    before = AuditLog.objects.count()
    answer = browser.post(ADD, wanted)
    assert AuditLog.objects.count() == before
    price = shown(answer)
    client.force_login(world.lead)
    dry = client.post(
        "/api/v1/workspaces/?dry_run=true", world.body(owner=world.engineer.email), content_type="application/json"
    ).json()
    quoted = client.post(
        "/api/v1/costs/quote/", world.body(owner=world.engineer.email), content_type="application/json"
    ).json()
    for name in ("hourly", "monthly"):
        assert f"{price[name]:.6f}" == dry[name] == quoted[name]
    assert price["currency"] == dry["currency"]
    assert price["basis"] == dry["basis"] == "ESTIMATED"
    [row] = price["budgets"]
    assert (row["id"], row["limit"], row["spent"]) == (str(budget.pk), 500, Decimal("120.5"))
    assert row["left"] == 500 - Decimal(dry["budgets"][0]["after"])
    page = answer.content.decode()
    for said in (f"{price['hourly']:,.2f} USD", f"{price['monthly']:,.2f} USD", "120.50", f"{row['left']:,.2f}"):
        assert said in page
    assert "Launch\n" in page
    assert not WorkSpace.objects.exists()
    assert not Reservation.objects.exists()


def test_the_second_press_launches_at_that_price(world, browser, wanted):
    answer = browser.post(ADD, priced(browser, wanted), follow=True)
    machine = WorkSpace.objects.get()
    assert (machine.owner, machine.state) == (world.engineer, "PENDING")
    assert f"{machine.name} is launched." in answer.content.decode()


@pytest.mark.parametrize("change", [{"bundle_type": "PERFORMANCE"}, {"running_mode": "ALWAYS_ON"}, {"owner_email": ""}])
def test_what_is_changed_after_the_price_was_shown_is_priced_anew(world, browser, wanted, change):
    first = priced(browser, wanted)
    answer = browser.post(ADD, first | change)
    assert shown(answer) is not None
    assert not WorkSpace.objects.exists()
    again = answer.context["adminform"].form["price_seen"].value()
    assert again != first["price_seen"]
    assert browser.post(ADD, first | change | {"price_seen": again}).status_code == 302


def test_a_price_that_changed_meanwhile_is_shown_before_it_is_spent(browser, wanted):
    first = priced(browser, wanted)
    Price.objects.filter(bundle_type="STANDARD", running_mode="AUTO_STOP").update(hourly_amount=Decimal("9.87"))
    answer = browser.post(ADD, first)
    assert shown(answer)["hourly"] == Decimal("9.87")
    assert "The price is another now" in answer.content.decode()
    assert not WorkSpace.objects.exists()


def test_what_the_budgets_cannot_hold_is_refused_at_the_first_press_and_recorded(world, browser, wanted):
    factories.BudgetFactory(
        organization=world.organization, scope="TEAM", scope_id=world.team.pk,
        amount=Decimal("0.01"),  # too little for the last hour of a month, too
        period_start=_month(0), period_end=_month(1),
    )  # fmt: skip
    answer = browser.post(ADD, wanted)
    assert shown(answer) is None
    said = answer.content.decode()
    assert f"team budget of {world.team.slug} has 0.01 USD until {_month(1):%Y-%m-%d} 00:00 UTC" in said
    assert "Limit 0.01" not in said
    entry = AuditLog.objects.latest("id")
    assert (entry.action_type, entry.result) == ("WORKSPACE_PROVISION", "DENIED")


def test_a_form_with_a_fault_shows_the_fault_and_no_price(browser, wanted):
    answer = browser.post(ADD, wanted | {"max_lifetime_days": "0"})
    assert shown(answer) is None
    assert answer.context["errors"]


def _month(ahead: int):
    first = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32 * ahead)).replace(day=1)
