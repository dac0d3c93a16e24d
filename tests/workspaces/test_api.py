"""`/api/v1/workspaces/` by HTTP, with real tokens."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import F
from django.utils import timezone

from audit.models import AuditLog
from budgets.models import Reservation
from costs.models import Price
from forge.accounts import services as accounts
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.workspaces.support import WORKSPACES, client_of, entries, problem
from tests.world import actor
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db):
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def engineer(world):
    return client_of(world.engineer)


def launch(client, world, headers=None, query="", **changes):
    return client.post(f"{WORKSPACES}{query}", world.body(**changes), format="json", headers=headers or {})


def machine_of(world, owner, **facts):
    return factories.WorkSpaceFactory(
        organization=world.organization,
        owner=owner,
        connection_url="https://clients.example.com/webclient#registrationCode=SLiad+ABC123",
        **{"team": world.team, "provider_account": world.account, **facts},
    )


def in_state(machine, state):
    WorkSpace.objects.filter(pk=machine.pk).update(state=state)
    return machine


# -- launch ------------------------------------------------------------------------------------------------------
def test_a_launch_is_answered_202_with_operation_reservation_and_one_audit_entry(world, engineer):
    answer = launch(engineer, world, tags={"cost-center": "r-100"}, project=world.project.slug)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert answer["Location"] == f"/api/v1/operations/{body['operation']['id']}/"
    assert (body["state"], body["owner"], body["team"]) == ("PENDING", world.engineer.email, world.team.slug)
    assert body["connection_url"] is None
    assert {"reservation", "estimated_cost", "currency", "budgets"} <= body.keys()
    [entry] = entries(engineer)
    assert (entry.action_type, entry.result, entry.interface) == ("WORKSPACE_PROVISION", "SUCCESS", "API")
    assert (entry.resource_type, entry.resource_id) == ("WorkSpace", body["id"])
    assert (entry.organization_id, entry.credential_id) == (world.organization.id, engineer.token.id)
    assert str(entry.correlation_id) == str(Operation.objects.get().correlation_id)
    assert answer["Audit-Receipt"].endswith(bytes(entry.log_hash).hex())


def test_the_same_key_twice_is_one_machine(world, engineer):
    first, again = (launch(engineer, world, {"Idempotency-Key": "launch-1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert WorkSpace.objects.count() == Operation.objects.count() == entries(engineer).count() == 1
    problem(launch(engineer, world, {"Idempotency-Key": "launch-1"}, name="x"), 422, "idempotency_key_reused")


def test_a_keyed_launch_adopts_a_budget_that_is_not_yet_adopted(world, engineer):
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=world.organization,
        scope="TEAM",
        scope_id=world.team.id,
        period_start=month,
        period_end=(month + timedelta(days=32)).replace(day=1),
        adopted_at=None,
    )
    assert launch(engineer, world, {"Idempotency-Key": "launch-1"}).status_code == 202
    assert Reservation.objects.count() == 1


def test_a_dry_run_answers_figures_and_leaves_nothing(world, engineer):
    answer = launch(engineer, world, query="?dry_run=true")
    assert answer.status_code == 200
    assert {"estimated_cost", "reservation", "currency", "budgets"} <= answer.json().keys()
    assert not WorkSpace.objects.exists()
    assert not entries(engineer).exists()


def test_a_second_launch_names_the_machine_that_exists(world, engineer):
    first = launch(engineer, world).json()["id"]
    document = problem(launch(engineer, world), 409, "machine_exists")
    assert document["workspace"] == first
    assert [entry.result for entry in entries(engineer)] == ["SUCCESS", "FAILURE"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"auto_stop_timeout_minutes": 14}, "auto_stop_timeout_minutes"),
        ({"auto_stop_timeout_minutes": 2881}, "auto_stop_timeout_minutes"),
        ({"auto_stop_timeout_minutes": 10**18}, "auto_stop_timeout_minutes"),
        ({"auto_stop_timeout_minutes": True}, "auto_stop_timeout_minutes"),
        ({"max_lifetime_days": 0}, "max_lifetime_days"),
        ({"max_lifetime_days": 3651}, "max_lifetime_days"),
        ({"bundle_type": "HUGE"}, "bundle_type"),
        ({"bundle_type": ["STANDARD"]}, "bundle_type"),
        ({"operating_system": None}, "operating_system"),
        ({"running_mode": "MANUAL"}, "running_mode"),
        ({"blueprint": "not-a-uuid"}, "blueprint"),
        ({"blueprint": None}, "blueprint"),
        ({"application_ids": ["word"]}, "application_ids"),
        ({"owner": "nobody"}, "owner"),
        ({"name": "n" * 101}, "name"),
        ({"name": "bell\x07"}, "name"),
        ({"tags": ["a"]}, "tags"),
        ({"tags": {"key": 1}}, "tags.key"),
        ({"team": 7}, "team"),
    ],
)
def test_a_malformed_launch_names_the_field_and_leaves_one_failure(world, engineer, changes, field):
    document = problem(launch(engineer, world, **changes), 400, "invalid")
    assert field in [error["field"] for error in document["errors"]]
    assert [entry.result for entry in entries(engineer)] == ["FAILURE"]
    assert not WorkSpace.objects.exists()


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"bundle_type": "POWER"}, 422, "bundle_not_offered"),
        ({"bundle_type": "GRAPHICSPRO_G4DN"}, 422, "bundle_not_allowed"),
        ({"operating_system": "WINDOWS"}, 422, "operating_system_not_offered"),
        ({"region": "mars-north-1"}, 422, "region_not_offered"),
        ({"blueprint": str(uuid.uuid4())}, 422, "blueprint_not_found"),
        ({"team": "nowhere"}, 422, "team_not_yours"),
        ({"project": "nowhere"}, 422, "project_not_yours"),
        ({"tags": {f"k{n}": "v" for n in range(41)}}, 422, "too_many_tags"),
        ({"tags": {"aws:name": "v"}}, 422, "tag_key_reserved"),
        (
            {
                "service_type": "WORKSPACES_APPLICATIONS",
                "blueprint": None,
                "application_ids": ["word"],
            },
            422,
            "applications_not_offered",
        ),
    ],
)
def test_a_refused_launch_says_why_and_leaves_one_denial(world, engineer, changes, status, code):
    problem(launch(engineer, world, **changes), status, code)
    assert [entry.result for entry in entries(engineer)] == ["DENIED"]
    assert not WorkSpace.objects.exists()


@pytest.mark.parametrize("body", [b'{"name": "\\u0000"}', b'{"max_lifetime_days": NaN}', b"[]", b"\xff", b"{"])
def test_bytes_that_nobody_should_send_are_a_malformed_body(engineer, body):
    problem(engineer.post(WORKSPACES, body, content_type="application/json"), 400, "malformed_body")


def test_a_megabyte_of_tags_is_too_large(world, engineer):
    answer = launch(engineer, world, tags={f"key-{n}": "v" * 200 for n in range(5000)})
    problem(answer, 413, "body_too_large")


def test_what_is_of_another_organization_or_team_is_refused_like_what_does_not_exist(world, engineer):
    foreign = worlds.build()
    other_team = factories.BlueprintFactory(
        organization=world.organization, team=factories.TeamFactory(organization=world.organization)
    )

    def answer(**changes):
        document = launch(engineer, world, **changes).json()
        words = [str(value) for value in changes.values()]
        text = document["detail"]
        for word in words:
            text = text.replace(word, "…")
        return document["status"], document["code"], text

    unknown = answer(blueprint=str(uuid.uuid4()))
    assert answer(blueprint=str(foreign.blueprint.pk)) == unknown
    assert answer(blueprint=str(other_team.pk)) == unknown
    assert answer(team=foreign.team.slug) == answer(team="nowhere")
    assert answer(project=foreign.project.slug) == answer(project="nowhere")
    lead = client_of(world.lead)
    unknown = launch(lead, world, owner="nobody@example.com").json()
    theirs = launch(lead, world, owner=foreign.engineer.email).json()
    assert (unknown["code"], unknown["detail"]) == (theirs["code"], theirs["detail"])


def test_with_several_teams_a_launch_without_one_names_them(world, engineer):
    second = factories.MembershipFactory(
        user=world.engineer, team=factories.TeamFactory(organization=world.organization)
    ).team
    document = problem(launch(engineer, world), 400, "team_required")
    assert set(document["teams"]) == {world.team.slug, second.slug}


def test_over_the_budget_the_figures_are_in_the_refusal(world, engineer):
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=world.organization,
        scope="USER",
        scope_id=world.engineer.id,
        amount=0,
        period_start=month,
        period_end=(month + timedelta(days=32)).replace(day=1),
    )
    document = problem(launch(engineer, world), 422, "budget_exceeded")
    assert {"limit", "spent", "reserved", "needed", "period_end"} <= document.keys()
    assert not WorkSpace.objects.exists()


# -- who may do what -----------------------------------------------------------------------------------------------
POWER = ("start", "stop", "reboot", "connect")
ENDING = ("terminate", "keep-alive", "modify", "rebuild", "restore")
ALL = (
    *POWER,
    *ENDING,
    "extend",
    "lease",
    "tag",
)  # the last three are asked for in rules/test_people.py and test_tags.py
LEADING = (*ALL, "move")  # asked for in test_moves.py
OWN = {"contractor": POWER, "engineer": ALL, "lead": LEADING, "admin": LEADING}
TEAMS = {"lead": LEADING, "admin": LEADING}
OTHERS = {"admin": LEADING}
SEES = {"own": (*OWN,), "team": ("lead", "admin", "finance", "auditor"), "other": ("admin", "finance", "auditor")}


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("action", POWER + ENDING)
@pytest.mark.parametrize(
    ("role", "whose"),
    [
        (role, whose)
        for role in ("contractor", "engineer", "lead", "finance", "auditor", "admin")
        for whose in ("own", "team", "other")
        if whose != "own" or role not in ("finance", "auditor")
    ],
)
def test_who_may_do_what_to_a_machine(world, role, whose, action):
    person = getattr(world, role)
    [colleague] = worlds.engineers(world, 1)
    elsewhere = factories.TeamFactory(organization=world.organization)
    machine = machine_of(
        world, person if whose == "own" else colleague, **({"team": elsewhere} if whose == "other" else {})
    )
    in_state(machine, "STOPPED" if action == "start" else "AVAILABLE")
    client = client_of(person)
    bodies = {
        "keep-alive": {"until": (timezone.now() + timedelta(days=5)).isoformat(), "reason": "build"},
        "modify": {"running_mode": "ALWAYS_ON"},
    }
    answer = client.post(f"{WORKSPACES}{machine.pk}/{action}/", bodies.get(action, {}), format="json")
    if action in {"own": OWN, "team": TEAMS, "other": OTHERS}[whose].get(role, ()):
        assert answer.status_code == (200 if action in ("keep-alive", "connect") else 202), answer.content
        expected = "SUCCESS"
    elif role in SEES[whose]:
        problem(answer, 403, "may_not_control_machine")
        expected = "DENIED"
    else:
        problem(answer, 404, "not_found")
        expected = "DENIED"
    [entry] = entries(client)
    assert entry.result == expected
    assert entry.resource_id == str(machine.pk)
    assert "Audit-Receipt" in answer
    shown = client.get(f"{WORKSPACES}{machine.pk}/")
    if shown.status_code == 200:
        for verb in shown.json()["actions"]:
            assert verb in {"own": OWN, "team": TEAMS, "other": OTHERS}[whose][role]


@pytest.mark.parametrize("role", ["finance", "auditor"])
def test_finance_and_auditors_launch_nothing(world, role):
    problem(launch(client_of(getattr(world, role)), world), 403, "may_not_launch")


def test_an_admin_who_is_an_engineer_of_the_team_still_controls_its_machines(world):
    factories.MembershipFactory(user=world.admin, team=world.team, role="engineer")
    machine = machine_of(world, world.engineer)
    assert client_of(world.admin).post(f"{WORKSPACES}{machine.pk}/stop").status_code == 202


def test_an_operator_of_the_installation_looks_and_changes_nothing(world):
    operator = client_of(factories.UserFactory(organization=None, directory_username=""))
    machine = machine_of(world, world.engineer)
    assert operator.get(f"{WORKSPACES}{machine.pk}/").status_code == 200
    problem(launch(operator, world), 403, "may_not_launch")
    problem(launch(operator, world, query="?dry_run=true"), 403, "may_not_launch")
    for action in (*POWER, "terminate"):
        problem(operator.post(f"{WORKSPACES}{machine.pk}/{action}/"), 403, "may_not_control_machine")


# -- visibility --------------------------------------------------------------------------------------------------
def test_lists_show_what_one_may_see(world):
    own = machine_of(world, world.engineer)
    teams = machine_of(world, worlds.engineers(world, 1)[0])
    other = machine_of(world, world.lead, team=factories.TeamFactory(organization=world.organization))
    factories.WorkSpaceFactory()
    expected = {
        "engineer": {own},
        "contractor": set(),
        "lead": {own, teams, other},
        "admin": {own, teams, other},
        "finance": {own, teams, other},
        "auditor": {own, teams, other},
    }
    for role, machines in expected.items():
        rows = client_of(getattr(world, role)).get(WORKSPACES).json()["results"]
        assert {row["id"] for row in rows} == {str(machine.pk) for machine in machines}, role


@pytest.mark.parametrize("path", ["", "history/", "stop/", "terminate/"])
def test_another_organizations_machine_is_not_there_and_the_try_is_denied(world, path):
    theirs = factories.WorkSpaceFactory()
    admin = client_of(world.admin)
    address = f"{WORKSPACES}{theirs.pk}/{path}"
    problem(admin.post(address) if path in ("stop/", "terminate/") else admin.get(address), 404, "not_found")
    [entry] = entries(admin)
    assert (entry.result, entry.organization_id) == ("DENIED", world.organization.id)
    theirs.refresh_from_db()
    assert theirs.version == 1


def test_an_id_that_nobody_has_is_a_plain_404(engineer):
    problem(engineer.get(f"{WORKSPACES}{uuid.uuid4()}/"), 404, "not_found")
    problem(engineer.get(f"{WORKSPACES}no-uuid/"), 404, "not_found")
    assert not entries(engineer).exists()


def test_lists_are_filtered_searched_and_strict(world):
    stopped = in_state(machine_of(world, world.engineer, name="alpha"), "STOPPED")
    machine_of(world, world.lead, name="beta")
    admin = client_of(world.admin)

    def ids(query):
        answer = admin.get(f"{WORKSPACES}?{query}")
        assert answer.status_code == 200, answer.content
        return [row["id"] for row in answer.json()["results"]]

    for query in (
        "state=STOPPED",
        "state__in=STOPPED,FAILED",
        "q=alph",
        f"owner={world.engineer.email.upper()}",
        "ordering=name&page_size=1",
    ):
        assert ids(query) == [str(stopped.pk)], query
    assert ids("team=nowhere") == []
    problem(admin.get(f"{WORKSPACES}?colour=red"), 400, "unknown_parameter")
    problem(admin.get(f"{WORKSPACES}?state=GREEN"), 400, "invalid_parameter")


# -- control -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["delete", "post"])
def test_terminate_and_delete_are_the_same(world, engineer, method):
    machine = machine_of(world, world.engineer)
    address = f"{WORKSPACES}{machine.pk}/"
    answer = engineer.delete(address) if method == "delete" else engineer.post(f"{address}terminate/")
    assert answer.status_code == 202
    operation = Operation.objects.get()
    assert (operation.kind, answer["Location"]) == ("workspace.terminate", f"/api/v1/operations/{operation.pk}/")
    assert [entry.action_type for entry in entries(engineer)] == ["WORKSPACE_TERMINATE"]


@pytest.mark.parametrize(
    ("state", "mode", "action"),
    [
        ("AVAILABLE", "ALWAYS_ON", "stop"),
        ("STOPPED", "ALWAYS_ON", "start"),
        ("AVAILABLE", "AUTO_STOP", "start"),
        ("TERMINATING", "AUTO_STOP", "terminate"),
    ],
)
def test_what_the_state_forbids_is_a_conflict_that_names_what_is_legal(world, engineer, state, mode, action):
    machine = in_state(machine_of(world, world.engineer, running_mode=mode), state)
    document = problem(engineer.post(f"{WORKSPACES}{machine.pk}/{action}/"), 409, "illegal_in_this_state")
    assert action not in document["legal"]
    assert document["state"] == state
    assert not Operation.objects.exists()


def test_a_second_operation_waits_for_the_first(world, engineer):
    machine = machine_of(world, world.engineer)
    first = engineer.post(f"{WORKSPACES}{machine.pk}/stop/").json()["operation"]["id"]
    document = problem(engineer.post(f"{WORKSPACES}{machine.pk}/terminate/"), 409, "operation_in_progress")
    assert document["operation"] == first


@pytest.mark.parametrize("verb", ["start", "stop", "terminate", "keep-alive", "DELETE"])
def test_a_stale_etag_is_a_failed_precondition(world, engineer, verb):
    machine = in_state(machine_of(world, world.engineer), "STOPPED" if verb == "start" else "AVAILABLE")
    address = f"{WORKSPACES}{machine.pk}/"
    etag = engineer.get(address)["ETag"]
    WorkSpace.objects.filter(pk=machine.pk).update(version=2)

    def ask(tag):
        headers = {"If-Match": tag}
        if verb == "DELETE":
            return engineer.delete(address, headers=headers)
        body = {"until": (timezone.now() + timedelta(days=5)).isoformat(), "reason": "build"}
        return engineer.post(f"{address}{verb}/", body, format="json", headers=headers)

    assert problem(ask(etag), 412, "precondition_failed")["version"] == 2
    assert not Operation.objects.exists()
    assert ask('"2"').status_code in (200, 202)


def test_keep_alive_is_set_and_taken_away(world, engineer):
    machine = machine_of(world, world.engineer)
    address = f"{WORKSPACES}{machine.pk}/keep-alive/"
    until = (timezone.now() + timedelta(days=5)).isoformat()
    problem(engineer.post(address, {"until": until}, format="json"), 400, "invalid")
    answer = engineer.post(address, {"until": until, "reason": "build"}, format="json")
    assert (answer.status_code, answer.json()["keep_alive"], answer["ETag"]) == (200, True, '"2"')
    kept = answer.json()["monthly_price"]
    answer = engineer.post(address, {"until": None}, format="json")
    assert (answer.json()["keep_alive"], answer.json()["keep_alive_reason"]) == (False, "")
    results = [(entry.action_type, entry.result) for entry in entries(engineer)]
    keep = "WORKSPACE_KEEP_ALIVE"
    assert results[1:] == [(keep, "SUCCESS"), (keep, "SUCCESS")]
    given = entries(engineer).filter(action_type=keep, result="SUCCESS").order_by("id")[0]
    assert given.personal["after.reason"] == "build"
    told = engineer.get(f"{WORKSPACES}{machine.pk}/why/").json()["monthly_price"]
    assert (given.context["monthly_price"], kept) == (
        {name: told[name] for name in ("amount", "currency", "basis", "price_id")},
        told,
    )
    assert (told["currency"], told["basis"], Decimal(told["amount"]) > 0) == ("USD", "ESTIMATED", True)
    Price.objects.all().update(valid_to=F("valid_from") + timedelta(hours=1))
    assert engineer.get(f"{WORKSPACES}{machine.pk}/why/").json()["monthly_price"] is None
    late = problem(
        engineer.post(address, {"until": (timezone.now() + timedelta(days=999)).isoformat(), "reason": "build"}),
        422,
        "keep_alive_out_of_range",
    )
    assert late["after"] < late["latest"] < late["until"]


def test_a_keep_alive_that_is_over_is_neither_shown_nor_found(world, engineer):
    now = timezone.now()
    for owner, until in ((world.engineer, now - timedelta(days=1)), (world.lead, now + timedelta(days=1))):
        machine_of(world, owner, keep_alive=True, keep_alive_until=until)
    machine_of(world, world.contractor, keep_alive=True)
    rows = client_of(world.admin).get(WORKSPACES).json()["results"]
    assert {row["owner"]: row["keep_alive"] for row in rows} == {
        world.engineer.email: False,
        world.lead.email: True,
        world.contractor.email: True,
    }
    for wanted, found in (("true", {world.lead.email, world.contractor.email}), ("false", {world.engineer.email})):
        rows = client_of(world.admin).get(f"{WORKSPACES}?keep_alive={wanted}").json()["results"]
        assert {row["owner"] for row in rows} == found


@pytest.mark.parametrize("days", [-1, 366])
def test_keep_alive_ends_in_the_future_within_a_year(world, engineer, days):
    machine = machine_of(world, world.engineer)
    until = (timezone.now() + timedelta(days=days)).isoformat()
    answer = engineer.post(f"{WORKSPACES}{machine.pk}/keep-alive/", {"until": until, "reason": "x"}, format="json")
    problem(answer, 422, "keep_alive_out_of_range")


def test_the_history_is_told_in_order(world, engineer):
    machine = machine_of(world, world.engineer)
    rows = engineer.get(f"{WORKSPACES}{machine.pk}/history/").json()
    assert [row["to_state"] for row in rows] == ["PENDING", "AVAILABLE"]


def test_cancelling_a_queued_launch_frees_the_person_and_the_money(world, engineer):
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    budget = factories.BudgetFactory(
        organization=world.organization,
        scope="TEAM",
        scope_id=world.team.id,
        period_start=month,
        period_end=(month + timedelta(days=32)).replace(day=1),
    )
    operation = launch(engineer, world).json()["operation"]["id"]
    budget.refresh_from_db()
    assert budget.reserved > 0
    assert engineer.post(f"/api/v1/operations/{operation}/cancel/").status_code == 200
    budget.refresh_from_db()
    assert budget.reserved == 0
    machine = WorkSpace.objects.get()
    assert (machine.state, machine.state_changes.latest("id").reason) == ("FAILED", "cancelled")
    problem(engineer.post(f"/api/v1/operations/{operation}/retry/"), 409, "operation_not_retryable")
    assert launch(engineer, world).status_code == 202


# -- credentials -------------------------------------------------------------------------------------------------
def test_credentials_that_have_ended_are_401(world):
    client = client_of(world.contractor)
    assert client.get(WORKSPACES).status_code == 200
    world.contractor.credentials_expire_at = timezone.now()
    world.contractor.save()
    problem(client.get(WORKSPACES), 401, "token_expired")


def test_a_person_who_is_switched_off_is_401(world, engineer):
    accounts.set_active(actor=actor(world.admin), user=world.engineer, is_active=False)
    problem(engineer.get(WORKSPACES), 401, "token_expired")


@pytest.mark.parametrize(
    ("facts", "code"),
    [({"revoked_at": timezone.now()}, "token_expired"), ({"expires_at": timezone.now()}, "token_expired")],
)
def test_a_revoked_or_expired_token_is_401_and_its_first_use_leaves_an_entry(world, engineer, facts, code):
    for name, value in facts.items():
        setattr(engineer.token, name, value)
    engineer.token.save()
    answer = launch(engineer, world)
    problem(answer, 401, code)
    assert answer["WWW-Authenticate"].startswith("Bearer")
    launch(engineer, world)
    assert AuditLog.objects.filter(action_type="AUTH_FAILED").count() == 1


@pytest.mark.parametrize("sent", ["forge_x", "forge_abc_def", "Bearer", "forge_abcdefghjkmn_wrong", "forge_\x00" * 9])
def test_any_other_token_is_401(db, client, sent):
    problem(client.get(WORKSPACES, headers={"Authorization": f"Bearer {sent}"}), 401, "invalid_token")


def test_without_a_credential_it_is_401(db, client):
    problem(client.get(WORKSPACES), 401, "not_authenticated")


def test_a_token_for_reading_changes_nothing(world):
    reader = client_of(world.engineer, scopes=["read"])
    assert reader.get(WORKSPACES).status_code == 200
    problem(launch(reader, world), 403, "token_scope")


# -- queries -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("/api/v1/workspaces/?region=us_east_1", "An AWS region such as us-east-1."),
        ("/api/v1/workspaces/?region__in=us-east-1,false", "An AWS region such as us-east-1."),
        ("/api/v1/operations/?kind=launch", "A kind such as workspace.launch."),
        ("/api/v1/unmanaged-machines/?bundle_type__in=STANDARD,power", "A bundle type such as STANDARD."),
        ("/api/v1/applications/?region=everywhere", "An AWS region such as us-east-1."),
    ],
)
def test_a_filter_for_what_cannot_be_there_is_refused(world, address, hint):
    shown = problem(client_of(world.admin).get(address), 400, "invalid_parameter")
    assert [error["message"] for error in shown["errors"]] == [hint]
