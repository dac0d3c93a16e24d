"""Over the API: what lies ahead of a budget, versions, thresholds, raises for a time and transfers."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Budget, BudgetRaise
from costs.pricing import HOUR, hour_of
from tests import factories, query_counts
from tests import world as worlds
from tests.budgets.test_api import END, LESS_THAN_AN_HOUR, LIST, body, budget_of, client_of
from tests.workspaces.rules.support import idle_samples

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

RAISES = "/api/v1/budget-raises/"
LATER = END + timedelta(days=31)
"""On the last evening of a month, too, machines that rest hold something until then."""


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def test_a_budget_shows_what_lies_ahead_and_what_holds_it(world):
    now = timezone.now()
    own, others = (
        factories.WorkSpaceFactory(
            organization=world.organization, owner=owner, team=world.team, blueprint=world.blueprint,
            history=[(now - HOUR, "PENDING"), (now - HOUR, "AVAILABLE")],
        )
        for owner in (world.engineer, world.lead)
    )  # fmt: skip
    idle_samples(own, now)
    wanted = body("TEAM", world.team.id, amount=str(LESS_THAN_AN_HOUR), period_end=LATER.isoformat())
    made = client_of(world.finance).post(LIST, wanted, format="json").json()
    client = client_of(world.engineer)
    shown = query_counts.hold("GET /api/v1/budgets/{id}/", lambda: client.get(f"{LIST}{made['id']}/")).json()
    forecast = shown["forecast"]
    assert Decimal(forecast["total"]) == Decimal(shown["spent"]) + Decimal(forecast["fees"]) + Decimal(
        forecast["running"]
    )
    assert (forecast["basis"], forecast["running"]) == ("ESTIMATED", "0.000000")
    assert shown["runway"]["says"] == "Launches are refused: no room is left."
    names = {one["workspace"]: one["name"] for one in shown["held_by"]}
    assert names == {str(own.id): own.name, str(others.id): None}
    assert [one["workspace"] for one in shown["make_room"]] == [str(own.id)]
    assert shown["raises"] == []
    listed = client_of(world.finance).get(LIST).json()["results"][0]
    assert "forecast" not in listed


def test_a_change_is_bound_to_the_version_that_was_read(world):
    client = client_of(world.finance)
    made = client.post(LIST, body("TEAM", world.team.id), format="json")
    address = made["Location"]
    assert made["ETag"] == client.get(address)["ETag"] == '"1"'
    changed = client.patch(address, {"amount": "5"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    stale = client.patch(address, {"amount": "6"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (412, "precondition_failed", 2)
    assert Budget.objects.get().amount == 5


def test_thresholds_are_set_shown_and_changed(world):
    client = client_of(world.finance)
    made = client.post(LIST, body("TEAM", world.team.id, thresholds=["1.1", "0.5"]), format="json").json()
    assert [one["fraction"] for one in made["thresholds"]] == ["0.5000", "1.1000"]
    assert (made["warning_threshold"], made["warning_sent_at"], made["hard_limit_reached_at"]) == ("0.50", None, None)
    changed = client.patch(f"{LIST}{made['id']}/", {"thresholds": []}, format="json").json()
    assert (changed["thresholds"], changed["warning_threshold"], changed["version"]) == ([], None, 2)
    refused = client.patch(f"{LIST}{made['id']}/", {"thresholds": ["3"]}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "thresholds_refused")


def _soon():
    return min(hour_of(timezone.now()) + 2 * HOUR, END).isoformat()


def test_a_raise_is_made_shown_and_ended_and_moves_the_limit(world):
    budget = budget_of(world)
    client = client_of(world.finance)
    asked = {"budget": str(budget.id), "amount": "50", "ends_at": _soon(), "reason": "a release"}
    made = client.post(RAISES, asked, format="json")
    assert made.status_code == 201, made.content
    shown = client.get(f"{LIST}{budget.id}/").json()
    assert (shown["amount"], shown["raised"], shown["limit"]) == ("100.000000", "50.000000", "150.000000")
    assert shown["raises"] == [made.json()] == client.get(f"{RAISES}?is_open=true").json()["results"]
    assert made.json()["approved_by"] == world.finance.email
    ended = client.post(f"{RAISES}{made.json()['id']}/end/")
    assert (ended.status_code, ended.json()["ended_by"]) == (200, world.finance.email)
    assert client.get(f"{LIST}{budget.id}/").json()["limit"] == "100.000000"
    again = client.post(f"{RAISES}{made.json()['id']}/end/")
    assert (again.status_code, again.json()["code"]) == (409, "raise_has_ended")


def test_a_raise_that_an_operator_made_and_ended_bears_the_operators_name(world, client):
    """As the organization's audit log has it, though the organization does not see the account."""
    operator = factories.UserFactory(organization=None, directory_username="")
    budget = budget_of(world)
    wanted = {"budget": str(budget.id), "amount": "50", "ends_at": _soon(), "reason": "a release"}
    made = client_of(operator).post(RAISES, wanted, format="json")
    assert (made.status_code, made.json()["approved_by"]) == (201, operator.email)
    finance = client_of(world.finance)
    assert finance.get(made["Location"]).json()["approved_by"] == operator.email
    assert finance.get(f"{LIST}{budget.id}/").json()["raises"][0]["approved_by"] == operator.email
    assert client_of(operator).post(f"{made['Location']}end/").status_code == 200
    [ended] = finance.get(RAISES).json()["results"]
    assert (ended["approved_by"], ended["ended_by"]) == (operator.email, operator.email)
    assert AuditLog.objects.get(action_type="BUDGET_RAISE").user_email == operator.email
    client.force_login(world.finance)
    for page in ("", f"{made.json()['id']}/change/"):
        assert operator.email in client.get(f"/admin/budgets/budgetraise/{page}", follow=True).content.decode()


def test_leads_see_raises_and_make_none(world):
    budget = budget_of(world, raised=Decimal(5))
    one = BudgetRaise.objects.create(
        organization=world.organization, budget=budget, amount=5, ends_at=hour_of(timezone.now()) + HOUR, reason="r"
    )
    client = client_of(world.lead)
    assert [row["id"] for row in client.get(RAISES).json()["results"]] == [str(one.id)]
    asked = {"budget": str(budget.id), "amount": "5", "ends_at": END.isoformat(), "reason": "r"}
    for answer in (client.post(RAISES, asked, format="json"), client.post(f"{RAISES}{one.id}/end/")):
        assert (answer.status_code, answer.json()["code"]) == (403, "may_not_raise_past_limit")
    assert client_of(world.contractor).get(RAISES).json()["results"] == []


def test_money_is_moved_between_teams_once_per_key(world):
    giver = budget_of(world)
    team = factories.TeamFactory(organization=world.organization)
    receiver = budget_of(world, "TEAM", team.id)
    client = client_of(world.finance)
    address = f"{LIST}{giver.id}/transfer/"
    asked = {"to": str(receiver.id), "amount": "30", "reason": "a release"}
    answers = [client.post(address, asked, format="json", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [(answer.status_code, answer.json()["limit"]) for answer in answers] == [(200, "70.000000")] * 2
    assert client.get(f"{LIST}{receiver.id}/").json()["limit"] == "130.000000"
    stranger = budget_of(worlds.build(region="eu-west-1", expire_at=timezone.now() + timedelta(days=30)))
    unknown = client.post(address, asked | {"to": str(stranger.id)}, format="json")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_budget")
    too_much = client.post(address, asked | {"amount": "70.01"}, format="json")
    assert (too_much.json()["code"], too_much.json()["free"]) == ("nothing_to_give", "70.000000")


def test_a_refused_launch_says_what_would_make_room(world):
    now = timezone.now()
    machine = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, blueprint=world.blueprint,
        history=[(now - HOUR, "PENDING"), (now - HOUR, "AVAILABLE"), (now, "STOPPING"), (now, "STOPPED")],
    )  # fmt: skip
    wanted = body("TEAM", world.team.id, amount=str(LESS_THAN_AN_HOUR), period_end=LATER.isoformat())
    client_of(world.finance).post(LIST, wanted, format="json")
    checked = client_of(world.lead).post(f"{LIST}check/", world.body(), format="json").json()
    assert [one["workspace"] for one in checked["make_room"]] == [str(machine.id)]
    for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
        answer = client_of(world.lead).post("/api/v1/workspaces/", world.body(), format="json", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "budget_exceeded")
        [room] = answer.json()["make_room"]
        assert (room["workspace"], room["actions"]) == (str(machine.id), ["terminate"])
