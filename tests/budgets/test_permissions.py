"""Who may set, change and switch off budgets, and what those who may not are told."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from budgets import permissions
from budgets.models import Budget
from tests import factories
from tests import world as worlds
from tests.budgets.test_api import END, LIST, START, body, budget_of, client_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def test_a_lead_stays_within_the_teams_own_budget_and_below_a_reached_limit(world):
    budget_of(world, "TEAM", amount=Decimal(50))
    client = client_of(world.lead)
    answer = client.post(LIST, body("USER", world.engineer.id, amount="50.01"))
    assert (answer.status_code, answer.json()["code"]) == (403, "beyond_team_budget")
    assert answer.json()["team_limit"] == "50.000000"
    made = client.post(LIST, body("USER", world.engineer.id, amount="40"))
    assert made.status_code == 201
    address = f"{LIST}{made.json()['id']}/"
    assert client.patch(address, {"amount": "45"}).status_code == 200
    assert client.patch(address, {"amount": "51"}).json()["code"] == "beyond_team_budget"
    Budget.objects.filter(pk=made.json()["id"]).update(spent=Decimal(45))
    assert client.patch(address, {"amount": "48"}).json()["code"] == "may_not_raise_past_limit"
    assert client_of(world.finance).patch(address, {"amount": "48"}).status_code == 200
    assert client.patch(f"{LIST}{Budget.objects.get(scope='TEAM').id}/", {"amount": "99"}).status_code == 403


def test_a_lead_is_held_by_the_teams_budgets_of_the_same_time_only(world):
    after = {"period_start": END, "period_end": END + timedelta(days=1)}
    budget_of(world, "TEAM", amount=Decimal(50), **after)
    budget_of(world, "TEAM", amount=Decimal(50), period_start=START - timedelta(days=1), period_end=START)
    client = client_of(world.lead)
    assert client.post(LIST, body("USER", world.engineer.id, amount="100")).status_code == 201
    later = {name: at.isoformat() for name, at in after.items()}
    refused = client.post(LIST, body("USER", world.engineer.id, amount="100", **later))
    assert refused.json()["code"] == "beyond_team_budget"
    Budget.objects.filter(scope="TEAM", period_start=END).update(is_active=False)
    assert client.post(LIST, body("USER", world.engineer.id, amount="100", **later)).status_code == 201


def test_a_used_up_budget_of_another_time_holds_no_lead(world):
    budget_of(
        world, "USER", world.engineer.id, amount=Decimal(1), spent=Decimal(1), is_active=False,
        period_start=START - timedelta(days=31), period_end=START,
    )  # fmt: skip
    assert client_of(world.lead).post(LIST, body("USER", world.engineer.id)).status_code == 201


def test_a_lead_does_not_get_past_a_limit_by_setting_another_budget(world):
    client, finance = client_of(world.lead), client_of(world.finance)
    made = client.post(LIST, body("USER", world.engineer.id, amount="10")).json()
    Budget.objects.update(spent=Decimal(10))
    address = f"{LIST}{made['id']}/"
    refused = client.patch(address, {"is_active": False})
    assert (refused.status_code, refused.json()["code"]) == (403, "may_not_raise_past_limit")
    assert AuditLog.objects.get(result="DENIED").resource_id == made["id"]
    assert finance.patch(address, {"is_active": False}).status_code == 200
    larger = client.post(LIST, body("USER", world.engineer.id, amount="10.01"))
    assert (larger.status_code, larger.json()["code"]) == (403, "may_not_raise_past_limit")
    assert AuditLog.objects.filter(result="DENIED").count() == 2
    assert client.post(LIST, body("USER", world.engineer.id, amount="10")).status_code == 201
    assert finance.patch(f"{LIST}{Budget.objects.get(is_active=True).id}/", {"is_active": False}).status_code == 200
    assert finance.post(LIST, body("USER", world.engineer.id, amount="500")).status_code == 201


def test_a_used_up_budget_is_not_raised_by_a_lead_while_it_is_switched_off(world):
    gone = budget_of(world, "USER", world.engineer.id, amount=Decimal(10), spent=Decimal(10), is_active=False)
    small = budget_of(world, "USER", world.engineer.id, amount=Decimal(5))
    client = client_of(world.lead)
    for address in (f"{LIST}{gone.id}/", f"{LIST}{small.id}/"):
        assert client.patch(address, {"amount": "11"}).json()["code"] == "may_not_raise_past_limit"
    assert client.patch(f"{LIST}{small.id}/", {"amount": "10"}).status_code == 200


def test_a_lead_switches_off_only_what_he_or_she_has_set(world):
    client = client_of(world.lead)
    own = client.post(LIST, body("USER", world.engineer.id, amount="10")).json()
    finances = client_of(world.finance).post(LIST, body("USER", world.lead.id, amount="10")).json()
    assert client.patch(f"{LIST}{own['id']}/", {"is_active": False}).status_code == 200
    refused = client.patch(f"{LIST}{finances['id']}/", {"is_active": False})
    assert (refused.status_code, refused.json()["code"]) == (403, "may_not_switch_off")
    assert Budget.objects.get(pk=finances["id"]).is_active


@pytest.mark.parametrize("who", ["contractor", "engineer", "lead"])
def test_who_may_not_set_a_budget_does_not_learn_whom_there_is(world, who):
    """The answer is the same for somebody, for nobody, and for another organization; and nothing is locked for it."""
    stranger = factories.UserFactory(organization=world.organization)
    client = client_of(getattr(world, who))
    asked = [("USER", stranger.id), ("USER", uuid4()), ("USER", factories.UserFactory().id), ("TEAM", world.team.id)]
    asked += [("TEAM", uuid4()), ("PROJECT", world.project.id), ("PROJECT", uuid4())]
    with CaptureQueriesContext(connection) as queries:
        answers = [client.post(LIST, body(*scope)) for scope in asked]
    assert {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers} == {
        (403, "may_not_set_budget", permissions.WHO_SETS)
    }
    assert not [query for query in queries if "FOR UPDATE" in query["sql"] and "accounts_" in query["sql"]]
    assert AuditLog.objects.filter(result="DENIED").count() == len(asked)


def test_who_sets_no_budgets_does_not_learn_whose_email_there_is(world):
    client = client_of(world.engineer)
    for email in (world.lead.email, "nobody@example.com"):
        answer = client.post(LIST, body("TEAM", world.team.id, owner=email))
        assert answer.json()["code"] == "may_not_set_budget"


def test_the_owner_is_changed_and_taken_away_on_record(world):
    made = client_of(world.finance).post(LIST, body("TEAM", world.team.id, owner=world.lead.email)).json()
    client, address = client_of(world.finance), f"{LIST}{made['id']}/"
    assert client.patch(address, {"owner": world.finance.email.upper()}).json()["owner"] == world.finance.email
    assert client.patch(address, {"owner": None}, format="json").json()["owner"] is None
    entries = AuditLog.objects.filter(action_type="BUDGET_UPDATE").order_by("id")
    lead, finance = str(world.lead.id), str(world.finance.id)
    assert [entry.changes for entry in entries] == [
        {"before": {"owner_id": lead}, "after": {"owner_id": finance}},
        {"before": {"owner_id": finance}, "after": {"owner_id": None}},
    ]
    for email in ("nobody@example.com", factories.UserFactory().email):
        answer = client.patch(address, {"owner": email})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_owner")
    assert client_of(world.engineer).patch(address, {"owner": world.engineer.email}).status_code == 403
