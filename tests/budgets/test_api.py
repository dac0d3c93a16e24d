"""/api/v1/budgets/: who sees and sets what, in which words it refuses, and what it leaves in the audit log."""

import json
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from budgets.models import Budget, BudgetThreshold, Reservation
from forge.accounts.token_services import issue_token
from tests import factories
from tests import world as worlds
from tests.budgets.support import STANDARD
from tests.factories import BudgetFactory
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

LIST = "/api/v1/budgets/"
NOW = timezone.now().astimezone(UTC)
START = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
END = (START + timedelta(days=32)).replace(day=1)


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def client_of(user):
    _, text = issue_token(actor=worlds.actor(user), user=user, name="test", now=timezone.now())
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def body(scope, scope_id, /, **changes):
    return {
        "scope": scope,
        "scope_id": str(scope_id),
        "amount": "100.00",
        "period_start": START.isoformat(),
        "period_end": END.isoformat(),
    } | changes


def budget_of(world, scope="TEAM", scope_id=None, **fields):
    return BudgetFactory(
        organization=world.organization,
        scope=scope,
        scope_id=scope_id or {"TEAM": world.team.id, "PROJECT": world.project.id}.get(scope, world.organization.id),
        **({"period_start": START, "period_end": END} | fields),
    )


def test_a_budget_is_set_and_shown_with_its_figures(world):
    client = client_of(world.finance)
    answer = client.post(LIST, body("TEAM", world.team.id, owner=world.lead.email))
    assert answer.status_code == 201, answer.content
    shown = client.get(answer["Location"]).json()
    assert shown == answer.json()
    assert shown["name"] == world.team.slug
    assert shown["owner"] == world.lead.email
    assert (shown["amount"], shown["spent"], shown["reserved"]) == ("100.000000", "0.000000", "0.000000")
    assert (shown["remaining"], shown["overrun"], shown["currency"]) == ("100.000000", "0.000000", "USD")
    assert (shown["utilization"], shown["warning_threshold"]) == ("0.0000", "0.80")
    assert (shown["warning_sent_at"], shown["hard_limit_reached_at"], shown["holders"]) == (None, None, 0)
    assert shown["adopted_at"] is not None
    assert [threshold["fraction"] for threshold in shown["thresholds"]] == ["0.8000", "1.0000"]
    entry = AuditLog.objects.get(action_type="BUDGET_CREATE")
    assert (entry.result, entry.resource_id) == ("SUCCESS", shown["id"])
    assert entry.changes["after"]["amount"] == "100.000000"
    assert answer["Audit-Receipt"]


def test_a_budget_made_late_counts_what_already_runs(world):
    machine = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, history=[(NOW, "PENDING")]
    )
    shown = client_of(world.finance).post(LIST, body("USER", world.engineer.id, amount=str(LESS_THAN_AN_HOUR))).json()
    held = Reservation.objects.get(workspace=machine)
    assert Decimal(shown["reserved"]) == held.remaining > 0
    assert (shown["holders"], shown["remaining"]) == (1, "0.000000")
    reservations = client_of(world.engineer).get(f"{LIST}{shown['id']}/reservations/").json()
    assert [(one["workspace"], one["remaining"]) for one in reservations] == [(str(machine.id), shown["reserved"])]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount": "-1"}, 400, "invalid"),
        ({"amount": "NaN"}, 400, "invalid"),
        ({"amount": "Infinity"}, 400, "invalid"),
        ({"amount": "1e400"}, 400, "invalid"),
        ({"amount": "1.0000001"}, 400, "invalid"),
        ({"amount": None}, 400, "invalid"),
        ({"scope": "PLANET"}, 400, "invalid"),
        ({"scope_id": None}, 400, "invalid"),
        ({"scope_id": "team-1"}, 400, "invalid"),
        ({"period_start": "yesterday"}, 400, "invalid"),
        ({"recurs": "HOURLY"}, 400, "invalid"),
        ({"on_limit": "STOP_ALL"}, 400, "invalid"),
        ({"thresholds": ["0"]}, 422, "thresholds_refused"),
        ({"thresholds": ["2.0001"]}, 422, "thresholds_refused"),
        ({"thresholds": ["0.5", "0.50"]}, 422, "thresholds_refused"),
        ({"thresholds": ["0.5"] * 11}, 400, "invalid"),
        (
            {
                "recurs": "CUSTOM",
                "period_start": END.isoformat(),
                "period_end": (END + timedelta(hours=23)).isoformat(),
            },
            422,
            "period_does_not_recur",
        ),
        ({"owner": "nobody@example.com"}, 422, "unknown_owner"),
        ({"period_end": START.isoformat()}, 422, "period_ends_before_it_starts"),
        ({"period_end": (START - timedelta(hours=1)).isoformat()}, 422, "period_ends_before_it_starts"),
        ({"period_end": (END + timedelta(minutes=30)).isoformat()}, 422, "period_not_whole_hours"),
        ({"period_end": "9999-12-31T00:00:00Z"}, 422, "period_too_long"),
        ({"period_start": "2020-01-01T00:00:00Z", "period_end": "2020-02-01T00:00:00Z"}, 422, "period_is_over"),
        ({"recurs": "MONTHLY", "period_end": (END + timedelta(hours=1)).isoformat()}, 422, "period_does_not_recur"),
    ],
)
def test_what_cannot_be_a_budget_is_refused_by_name(world, changes, status, code):
    answer = client_of(world.finance).post(LIST, body("TEAM", world.team.id, **changes), format="json")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert not Budget.objects.exists()
    assert not BudgetThreshold.objects.exists()


def test_nan_as_a_bare_word_is_not_json(world):
    text = json.dumps(body("TEAM", world.team.id, amount=float("nan")))
    assert "NaN" in text
    answer = client_of(world.finance).post(LIST, text, content_type="application/json")
    assert answer.status_code == 400


def test_zero_is_a_limit(world):
    answer = client_of(world.finance).post(LIST, body("TEAM", world.team.id, amount="0"))
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["utilization"], shown["is_limit_reached"]) == (None, True)


def test_periods_of_one_scope_do_not_overlap(world):
    client = client_of(world.finance)
    first = client.post(LIST, body("TEAM", world.team.id)).json()
    later = START + timedelta(days=3)
    answer = client.post(LIST, body("TEAM", world.team.id, period_start=later.isoformat()))
    document = answer.json()
    assert (answer.status_code, document["code"]) == (409, "periods_overlap")
    in_the_way = [document[name] for name in ("budget", "period_start", "period_end")]
    assert in_the_way == [first["id"], first["period_start"], first["period_end"]]
    assert client.post(LIST, body("PROJECT", world.project.id)).status_code == 201
    after = {"period_start": END.isoformat(), "period_end": (END + timedelta(days=1)).isoformat()}
    assert client.post(LIST, body("TEAM", world.team.id, **after)).status_code == 201


@pytest.mark.parametrize("scope", ["USER", "TEAM", "PROJECT", "ORGANIZATION"])
def test_another_organizations_ids_are_unknown(world, scope):
    other = worlds.build(region="eu-west-1", expire_at=timezone.now() + timedelta(days=30))
    theirs = {
        "USER": other.engineer.id,
        "TEAM": other.team.id,
        "PROJECT": other.project.id,
        "ORGANIZATION": other.organization.id,
    }
    answer = client_of(world.finance).post(LIST, body(scope, theirs[scope]))
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_scope")
    assert AuditLog.objects.get(result="DENIED").action_type
    budget = budget_of(other)
    for answer in (
        client_of(world.admin).get(f"{LIST}{budget.id}/"),
        client_of(world.admin).patch(f"{LIST}{budget.id}/", {"amount": "1"}),
    ):
        assert answer.status_code == 404
    assert client_of(world.admin).get(LIST).json()["results"] == []


def test_the_same_key_sets_one_budget(world):
    client = client_of(world.finance)
    answers = [client.post(LIST, body("TEAM", world.team.id), headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Budget.objects.count() == 1


def test_everybody_sees_what_the_role_table_says(world):
    mate, stranger = worlds.engineers(world, 1)[0], factories.UserFactory(organization=world.organization)
    other = factories.TeamFactory(organization=world.organization)
    factories.MembershipFactory(user=stranger, organization=world.organization, team=other)
    budgets = {
        "own": budget_of(world, "USER", world.engineer.id),
        "mate": budget_of(world, "USER", mate.id),
        "contractor": budget_of(world, "USER", world.contractor.id),
        "stranger": budget_of(world, "USER", stranger.id),
        "team": budget_of(world, "TEAM"),
        "other team": budget_of(world, "TEAM", other.id),
        "project": budget_of(world, "PROJECT"),
        "organization": budget_of(world, "ORGANIZATION"),
    }
    seen = {
        "contractor": {"contractor"},
        "engineer": {"own", "team"},
        "lead": {"own", "mate", "contractor", "team"},
        "finance": set(budgets),
        "auditor": set(budgets),
        "admin": set(budgets),
    }
    for role, names in seen.items():
        client = client_of(getattr(world, role))
        ids = {row["id"] for row in client.get(LIST).json()["results"]}
        assert ids == {str(budgets[name].id) for name in names}, role
        for name, budget in budgets.items():
            assert (client.get(f"{LIST}{budget.id}/").status_code == 200) == (name in names), (role, name)


@pytest.mark.parametrize(
    ("role", "scope", "allowed"),
    [
        ("contractor", "USER", False),
        ("engineer", "USER", False),
        ("auditor", "TEAM", False),
        ("lead", "USER", True),
        ("lead", "TEAM", False),
        ("lead", "PROJECT", False),
        ("lead", "ORGANIZATION", False),
        ("finance", "TEAM", True),
        ("finance", "ORGANIZATION", True),
        ("admin", "PROJECT", True),
    ],
)
def test_who_sets_what(world, role, scope, allowed):
    ids = {
        "USER": world.engineer.id,
        "TEAM": world.team.id,
        "PROJECT": world.project.id,
        "ORGANIZATION": world.organization.id,
    }
    answer = client_of(getattr(world, role)).post(LIST, body(scope, ids[scope]))
    assert answer.status_code == (201 if allowed else 403), answer.content
    assert Budget.objects.exists() == allowed
    if not allowed:
        assert answer.json()["code"] == "may_not_set_budget"
        assert AuditLog.objects.filter(result="DENIED").count() == 1


def test_a_raise_lets_the_marks_fire_again(world):
    budget = budget_of(world, spent=Decimal(100))
    BudgetThreshold.objects.filter(budget=budget).update(fired_at=NOW)
    client = client_of(world.finance)
    shown = client.get(f"{LIST}{budget.id}/").json()
    assert shown["warning_sent_at"] is not None
    assert shown["hard_limit_reached_at"] is not None
    shown = client.patch(f"{LIST}{budget.id}/", {"amount": "110"}).json()
    assert shown["warning_sent_at"] is not None  # 100 of 110 is still above 80 %
    assert shown["hard_limit_reached_at"] is None
    entry = AuditLog.objects.get(action_type="BUDGET_UPDATE")
    assert entry.changes == {"before": {"amount": "100.000000"}, "after": {"amount": "110.000000"}}


def test_a_budget_switched_off_binds_nobody_and_switched_on_counts_anew(world):
    machine = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, history=[(NOW, "PENDING")]
    )
    client = client_of(world.finance)
    made = client.post(LIST, body("TEAM", world.team.id)).json()
    address = f"{LIST}{made['id']}/"
    off = client.patch(address, {"is_active": False}).json()
    assert (off["is_active"], off["reserved"], off["holders"], off["adopted_at"]) == (False, "0.000000", 0, None)
    on = client.patch(address, {"is_active": True}).json()
    assert (on["reserved"], on["holders"]) == (made["reserved"], 1)
    assert list(Reservation.objects.live().values_list("workspace_id", flat=True)) == [machine.id]
    client.patch(address, {"is_active": False})
    assert client.post(LIST, body("TEAM", world.team.id, amount="5")).status_code == 201
    answer = client.patch(address, {"is_active": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "periods_overlap")
    assert Budget.objects.get(pk=made["id"]).is_active is False


def test_an_empty_change_is_malformed_and_the_same_value_changes_nothing(world):
    budget = budget_of(world)
    client = client_of(world.finance)
    assert client.patch(f"{LIST}{budget.id}/", {}, format="json").status_code == 400
    assert client.patch(f"{LIST}{budget.id}/", {"amount": "100"}).status_code == 200
    entries = AuditLog.objects.filter(action_type="BUDGET_UPDATE").order_by("id")
    assert [(entry.result, entry.changes) for entry in entries] == [("FAILURE", None), ("SUCCESS", None)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("scope=TEAM", {"TEAM"}),
        ("scope__in=TEAM,PROJECT", {"TEAM", "PROJECT"}),
        ("amount__gte=200", {"PROJECT"}),
        pytest.param(f"at={NOW.strftime('%Y-%m-%dT%H:%M:%SZ')}", {"TEAM", "PROJECT"}, id="at=now"),
        ("at=2000-01-01T00:00:00Z", set()),
        ("is_active=false", set()),
        ("q=project", {"PROJECT"}),
    ],
)
def test_lists_are_filtered(world, query, found):
    budget_of(world, "TEAM")
    budget_of(world, "PROJECT", amount=Decimal(200))
    answer = client_of(world.finance).get(f"{LIST}?{query}")
    assert {row["scope"] for row in answer.json()["results"]} == found


def test_an_unknown_filter_is_refused(world):
    answer = client_of(world.finance).get(f"{LIST}?colour=red")
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")


def test_a_list_takes_as_many_queries_as_its_first_row(world, django_assert_max_num_queries):
    budget_of(world, "TEAM")
    client = client_of(world.finance)
    client.get(LIST)
    for _ in range(10):
        budget_of(world, "USER", factories.UserFactory(organization=world.organization).id)
    with django_assert_max_num_queries(8):
        assert len(client.get(LIST).json()["results"]) == 11


def test_check_says_whether_an_amount_fits_and_changes_nothing(world):
    budget_of(world, "TEAM", spent=Decimal(70), reserved=Decimal(20))
    client = client_of(world.engineer)
    before = AuditLog.objects.count()
    fits = client.post(f"{LIST}check/", {"amount": "10"}).json()
    assert (fits["fits"], fits["budgets"][0]["after"]) == (True, "100.000000")
    tight = client.post(f"{LIST}check", {"amount": "10.000001"}).json()
    assert (tight["fits"], tight["currency"], len(tight["budgets"])) == (False, "USD", 1)
    assert AuditLog.objects.count() == before
    assert not Reservation.objects.exists()


def test_check_takes_the_body_of_a_launch(world):
    budget = budget_of(world, "TEAM", amount=Decimal(0))
    client = client_of(world.engineer)
    refused = client.post(f"{LIST}check/", world.body(), format="json")
    assert refused.status_code == 200, refused.content
    assert (refused.json()["fits"], refused.json()["budgets"][0]["id"]) == (False, str(budget.id))
    assert refused.json()["make_room"] == []
    Budget.objects.filter(pk=budget.pk).update(amount=STANDARD)
    fits = client.post(f"{LIST}check/", world.body(), format="json").json()
    assert fits["fits"] is True
    assert Decimal(fits["needed"]) <= STANDARD


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"amount": "1", "project": "no-such"}, 422, "unknown_payer"),
        ({"amount": "1", "team": "no-such"}, 422, "unknown_payer"),
        ({"amount": "1", "owner": "nobody@example.com"}, 422, "unknown_payer"),
        ({"amount": "x"}, 400, "invalid"),
        ({}, 400, "invalid"),
    ],
)
def test_check_refuses_what_is_not_the_callers(world, asked, status, code):
    answer = client_of(world.engineer).post(f"{LIST}check/", asked, format="json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


# -- Launches --------------------------------------------------------------------------------------------------------

LESS_THAN_AN_HOUR = Decimal("0.01")
"""Of any machine: on the last day of a month a launch reserves for a few hours alone."""
MACHINES = "/api/v1/workspaces/"


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a-launch"}])
def test_a_launch_that_meets_a_budget_to_adopt_adopts_it_and_is_admitted(world, headers):
    """The guard asks for a repair; with a key the whole request is one transaction, and the repair is inside it."""
    budget = budget_of(world, "TEAM", adopted_at=None)
    own = budget_of(world, "USER", world.engineer.id, adopted_at=None)
    answer = client_of(world.engineer).post(MACHINES, world.body(), format="json", headers=headers)
    assert answer.status_code == 202, answer.content
    for row in (budget, own):
        row.refresh_from_db()
        assert row.adopted_at is not None
        assert row.reserved == Decimal(answer.json()["reservation"]) > 0
    assert {entry["id"] for entry in answer.json()["budgets"]} == {str(budget.id), str(own.id)}


def test_a_refused_launch_carries_the_figures_and_leaves_nothing_but_its_entry(world):
    budget = budget_of(world, "TEAM", amount=LESS_THAN_AN_HOUR)
    answer = client_of(world.engineer).post(MACHINES, world.body(), format="json")
    shown = answer.json()
    assert (answer.status_code, shown["code"]) == (422, "budget_exceeded")
    assert (shown["limit"], shown["spent"], shown["reserved"]) == ("0.010000", "0.000000", "0.000000")
    assert Decimal(shown["needed"]) > LESS_THAN_AN_HOUR
    assert shown["period_end"] == END.isoformat().replace("+00:00", "Z")
    assert (shown["budget"], shown["scope"], shown["currency"]) == (str(budget.id), "TEAM", "USD")
    assert not Reservation.objects.exists()
    assert not WorkSpace.objects.exists()
    assert AuditLog.objects.get(result="DENIED").action_type


def test_a_dry_run_of_a_launch_reserves_nothing(world):
    budget = budget_of(world, "TEAM")
    answer = client_of(world.engineer).post(f"{MACHINES}?dry_run=true", world.body(), format="json").json()
    assert answer["estimated_cost"] == answer["reservation"] == answer["budgets"][0]["after"]
    assert (answer["currency"], answer["budgets"][0]["limit"]) == ("USD", "100.000000")
    budget.refresh_from_db()
    assert budget.reserved == 0
