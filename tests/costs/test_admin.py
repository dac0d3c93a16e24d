"""Costs in the console: looked at by those who oversee and by organization, prices changed through the services."""

import csv
import io
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from costs import metering
from costs.models import CostRecord, DailyCost, Price
from forge.operations import runner
from tests import world as worlds
from tests.factories import TeamFactory, UserFactory, WorkSpaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

PRICES = "/admin/costs/price/"
START = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def machine(world):
    machine = WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, blueprint=world.blueprint
    )
    metering.meter(now=timezone.now())
    return machine


def browser(user):
    client = Client()
    client.force_login(user)
    return client


def form(**changes):
    return {
        "service_type": "WORKSPACES_PERSONAL",
        "region": "us-east-1",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "monthly_amount": "8",
        "hourly_amount": "0.25",
        "storage_gb_month_amount": "0",
        "included_storage_gb": "",
        "transfer_gb_amount": "0",
        "currency": "USD",
        "source": "contract 4711",
        "as_of": "2026-01-01",
        "valid_from_0": f"{START:%Y-%m-%d}",
        "valid_from_1": f"{START:%H}:00:00",
        "valid_to_0": "",
        "valid_to_1": "",
        "reason": "a test",
    } | changes


@pytest.mark.parametrize("model", [CostRecord, DailyCost])
def test_costs_are_shown_by_organization_without_counting_and_never_changed(world, machine, model):
    list_ = f"/admin/costs/{model._meta.model_name}/"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = browser(world.finance).get(list_)
    assert page.status_code == 200
    assert world.engineer.full_name in page.content.decode()
    assert not [query for query in queries if "COUNT(" in query["sql"]]
    row = model.objects.first()
    detail = browser(world.lead).get(f"{list_}{row.pk}/change/")
    assert detail.status_code == 200
    assert 'name="_save"' not in detail.content.decode()
    assert browser(world.admin).get(f"{list_}add/").status_code == 403
    assert browser(world.admin).post(f"{list_}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    stranger = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    assert world.engineer.full_name not in browser(stranger.admin).get(list_).content.decode()
    assert browser(stranger.admin).get(f"{list_}{row.pk}/change/").status_code == 302


def test_a_lead_exports_the_costs_of_the_team_and_not_the_own_in_another_and_an_auditor_none(world, machine):
    elsewhere = TeamFactory(organization=world.organization)
    own = WorkSpaceFactory(organization=world.organization, owner=world.lead, team=elsewhere, blueprint=world.blueprint)
    metering.meter(now=timezone.now())
    records = "/admin/costs/costrecord/"
    assert own.name in browser(world.lead).get(records).content.decode()
    for user, found in ((world.lead, {machine.pk}), (world.finance, {machine.pk, own.pk})):
        file = browser(user).get(f"{records}export/csv/").getvalue().decode()
        lines = csv.DictReader(io.StringIO(file, newline=""), strict=True)
        assert {line["workspace_id"] for line in lines} == {str(pk) for pk in found}
    assert browser(world.auditor).get(records).status_code == 200
    assert "export/csv" not in browser(world.auditor).get(records).content.decode()
    assert browser(world.auditor).get(f"{records}export/csv/").status_code == 403
    told = AuditLog.objects.filter(action_type="LIST_EXPORT").order_by("timestamp", "id")
    assert [entry.result for entry in told] == ["SUCCESS", "SUCCESS", "DENIED"]


def test_records_are_found_by_the_machines_id(world, machine):
    page = browser(world.finance).get(f"/admin/costs/costrecord/?q={machine.pk}")
    assert machine.name in page.content.decode()
    other = browser(world.finance).get(f"/admin/costs/costrecord/?q={world.team.pk}0")
    assert machine.name not in other.content.decode()


def test_finance_sets_and_closes_a_price_by_the_services(world):
    client = browser(world.finance)
    assert client.get(f"{PRICES}add/").status_code == 200
    answer = client.post(f"{PRICES}add/", form())
    assert answer.status_code == 302, answer.content.decode()
    price = Price.objects.get(organization=world.organization)
    assert (price.monthly_amount, price.included_storage_gb) == (Decimal(8), 130)
    assert AuditLog.objects.get(action_type="PRICE_CREATE").interface == "ADMIN"
    assert client.get(f"{PRICES}{price.pk}/do/close/").status_code == 200
    client.post(f"{PRICES}{price.pk}/do/close/", {"valid_to_0": "", "valid_to_1": ""})
    price.refresh_from_db()
    assert price.valid_to > timezone.now()
    assert AuditLog.objects.get(action_type="PRICE_CLOSE").resource_id == str(price.pk)


def test_a_correction_needs_a_reason_on_the_form_and_what_it_changed_is_listed(world, machine):
    client = browser(world.finance)
    past = {"valid_from_0": f"{START - timedelta(days=30):%Y-%m-%d}"}
    refused = client.post(f"{PRICES}add/", form(**past, reason=""))
    assert (refused.status_code, "begins in the past" in refused.content.decode()) == (200, True)
    assert client.post(f"{PRICES}add/", form(**past)).status_code == 302
    while runner.run_one():
        pass
    page = client.get("/admin/costs/costrevision/").content.decode()
    assert "a test" in page
    assert machine.name in page
    price = Price.objects.get(organization=world.organization)
    assert client.get(f"{PRICES}{price.pk}/do/confirm/").status_code == 200
    client.post(f"{PRICES}{price.pk}/do/confirm/", {"as_of": f"{timezone.now():%Y-%m-%d}", "source": "the bill"})
    price.refresh_from_db()
    assert (price.as_of, price.source) == (timezone.now().date(), "the bill")


def test_what_the_service_refuses_stands_on_the_form(world):
    client = browser(world.finance)
    for changes, words in (
        ({"currency": "EUR"}, "reckons in USD"),
        ({"hourly_amount": "1000000.01"}, "hourly_amount is from 0 to 1000000"),
    ):
        answer = client.post(f"{PRICES}add/", form(**changes))
        assert (answer.status_code, words in answer.content.decode()) == (200, True)
    assert not Price.objects.filter(organization=world.organization).exists()


def test_operators_set_the_prices_for_all():
    operator = UserFactory(organization=None)
    answer = browser(operator).post(f"{PRICES}add/", form(currency="EUR"))
    assert answer.status_code == 302, answer.content.decode()
    assert Price.objects.get(currency="EUR").organization is None


def test_leads_and_auditors_look_at_prices_and_change_none(world):
    common = Price.objects.filter(organization=None).first()
    for person in (world.lead, world.auditor):
        assert browser(person).get(PRICES).status_code == 200
        assert browser(person).get(f"{PRICES}add/").status_code == 403
        page = browser(person).get(f"{PRICES}{common.pk}/change/")
        assert "do/close" not in page.content.decode()
    browser(world.finance).post(f"{PRICES}{common.pk}/do/close/", {})
    common.refresh_from_db()
    assert common.valid_to is None
