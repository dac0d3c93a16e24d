"""Budgets in the console: looked at by those who oversee, set and changed through the services."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Budget
from tests import world as worlds
from tests.factories import BudgetFactory, ReservationFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

LIST = "/admin/budgets/budget/"
START = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
END = (START + timedelta(days=32)).replace(day=1)


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def budget(world):
    return BudgetFactory(
        organization=world.organization,
        scope="TEAM",
        scope_id=world.team.id,
        spent=Decimal(62),
        reserved=Decimal(20),
        period_start=START,
        period_end=END,
    )


def browser(user):
    client = Client()
    client.force_login(user)
    return client


def form(**changes):
    return {
        "scope": "TEAM",
        "person": "",
        "team": "",
        "project": "",
        "amount": "250",
        "period_start_0": f"{START:%Y-%m-%d}",
        "period_start_1": "00:00:00",
        "period_end_0": f"{END:%Y-%m-%d}",
        "period_end_1": "00:00:00",
        "recurs": "MONTHLY",
        "on_limit": "BLOCK_LAUNCHES",
    } | changes


def test_the_list_tells_spent_and_reserved_in_words(world, budget):
    with CaptureQueriesContext(connection) as queries:
        html = browser(world.finance).get(LIST).content.decode()
    assert world.team.slug in html
    assert "62 % spent, 20 % reserved" in html
    assert "100.00 USD" in html
    assert "18.00 USD" in html
    asked = [query["sql"] for query in queries if 'FROM "budgets_budget"' in query["sql"]]
    assert len(asked) == 1
    assert "COUNT(" not in asked[0]


def test_a_lead_sees_the_team_and_its_people_only(world, budget):
    BudgetFactory(organization=world.organization, period_start=START, period_end=END)
    html = browser(world.lead).get(LIST).content.decode()
    assert str(budget.id) in html
    assert html.count("% reserved") == 1
    assert browser(world.engineer).get(LIST).status_code == 302


def test_the_detail_is_for_looking_and_its_marks_stand_there(world, budget):
    html = browser(world.auditor).get(f"{LIST}{budget.id}/change/").content.decode()
    assert 'name="_save"' not in html
    assert "62.00 USD" in html
    assert "80 %: not reached" in html
    assert "Change amount" not in html
    assert "Launches are not refused in this period." in html
    assert "No machine in it rests or is idle." in html
    assert "62.00 USD spent, 0.00 USD fees to come" in html
    assert browser(world.auditor).post(f"{LIST}{budget.id}/change/", {"spent": "0"}).status_code == 403


@pytest.mark.parametrize("scope", ["USER", "TEAM", "PROJECT", "ORGANIZATION"])
def test_a_budget_is_set_by_the_service(world, scope):
    target = {
        "USER": {"person": world.engineer.email},
        "TEAM": {"team": str(world.team.id)},
        "PROJECT": {"project": str(world.project.id)},
        "ORGANIZATION": {},
    }[scope]
    answer = browser(world.finance).post(f"{LIST}add/", form(scope=scope, **target))
    assert answer.status_code == 302, answer.context["errors"]
    made = Budget.objects.get()
    assert (made.scope, made.amount, made.recurs) == (scope, 250, "MONTHLY")
    assert made.adopted_at is not None
    entry = AuditLog.objects.get(action_type="BUDGET_CREATE")
    assert (entry.interface, entry.user_id) == ("ADMIN", world.finance.id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"team": ""}, "Say whom the budget is for"),
        ({"scope": "USER", "person": "nobody@example.com"}, "Say whom the budget is for"),
        ({"period_end_0": f"{START:%Y-%m-%d}"}, "must lie after"),
        ({"period_end_1": "00:30:00"}, "whole UTC hours"),
        ({"amount": "-1"}, "An amount is from 0"),
    ],
)
def test_what_the_service_refuses_stands_on_the_form(world, changes, words):
    answer = browser(world.finance).post(f"{LIST}add/", form(team=str(world.team.id)) | changes)
    assert answer.status_code == 200
    assert words in answer.content.decode(), answer.context["errors"]
    assert not Budget.objects.exists()


def test_another_organizations_people_and_teams_are_not_offered(world):
    stranger = UserFactory()
    answer = browser(world.finance).post(f"{LIST}add/", form(scope="USER", person=stranger.email))
    assert answer.status_code == 200
    assert not Budget.objects.exists()


def test_forms_that_are_open_at_once_offer_their_own_organizations_teams_and_projects(world):
    """Two requests under threads: the second one's form is built before the first one's is filled."""
    stranger = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    model_admin = site._registry[Budget]
    forms = []
    for person in (world.finance, stranger.finance):
        request = RequestFactory().get(f"{LIST}add/")
        request.user = person
        forms.append(model_admin.get_form(request))
    for form, own in zip([built() for built in forms], (world, stranger), strict=True):
        assert list(form.fields["team"].queryset) == [own.team]
        assert list(form.fields["project"].queryset) == [own.project]


def test_the_amount_is_changed_by_a_button(world, budget):
    page = f"{LIST}{budget.id}/do/amount/"
    client = browser(world.finance)
    assert "62.00 USD" in client.get(page).content.decode()
    client.post(page, {"amount": "300"})
    budget.refresh_from_db()
    assert budget.amount == 300
    assert AuditLog.objects.filter(action_type="BUDGET_UPDATE").count() == 1
    browser(world.auditor).post(page, {"amount": "1"})
    budget.refresh_from_db()
    assert budget.amount == 300


def test_the_owner_is_changed_by_a_button(world, budget):
    page, client = f"{LIST}{budget.id}/do/owner/", browser(world.finance)
    for email, owner in ((world.lead.email, world.lead), (UserFactory().email, world.lead), ("", None)):
        client.post(page, {"owner": email})
        budget.refresh_from_db()
        assert budget.owner == owner
    assert AuditLog.objects.filter(action_type="BUDGET_UPDATE", result="SUCCESS").count() == 2


def test_a_budget_is_switched_off_and_on_by_buttons(world, budget):
    client = browser(world.admin)
    client.post(f"{LIST}{budget.id}/do/off/")
    budget.refresh_from_db()
    assert (budget.is_active, budget.reserved) == (False, 0)
    client.post(f"{LIST}{budget.id}/do/on/")
    budget.refresh_from_db()
    assert budget.is_active
    assert budget.adopted_at is not None


def test_reservations_are_only_looked_at(world, budget):
    held = ReservationFactory(budget=budget)
    client = browser(world.admin)
    assert str(held.id) in client.get("/admin/budgets/reservation/").content.decode()
    narrowed = client.get(f"/admin/budgets/reservation/?budget__id__exact={budget.pk}&released_at__isnull=True")
    assert str(held.id) in narrowed.content.decode()
    assert client.get(f"/admin/budgets/reservation/{held.id}/change/").status_code == 200
    assert client.get("/admin/budgets/reservation/add/").status_code == 403
