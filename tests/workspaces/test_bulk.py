"""The same for many machines: partial refusals, batches of 25, crashes, and each machine's own outcome."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta

import pytest

from audit.models import AuditLog
from forge.operations.models import Operation
from forge.operations.runner import run_one
from forge.operations.services import retry
from tests import factories
from tests import world as worlds
from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.support import WORKSPACES, client_of, fresh, problem
from tests.world import actor
from workspaces import aws, services
from workspaces.handlers.common import AskAnew
from workspaces.handlers.power import Stop
from workspaces.lifecycle import BY_ITSELF_AFTER, State
from workspaces.models import WorkSpace
from workspaces.permissions import MayNotControl
from workspaces.services.many import NothingToDo

MANY, FEW = 26, 4
"""More than AWS takes in a call, and enough for what does not turn on that."""


class Killed(BaseException):
    """What a worker that is killed does to the code it runs."""


@pytest.fixture
def fleet(world, simulator, clock):
    """MANY running machines of the world's team."""
    return standing(world, simulator, MANY)


@pytest.fixture
def few(world, simulator, clock):
    return standing(world, simulator, FEW)


def standing(world, simulator, count):
    """Running machines of so many engineers: made in AWS a batch at a time, with a row for each."""
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    people = worlds.engineers(world, count)
    asked = [cloud.request(person.directory_username) for person in people]
    made = [answer for at in range(0, count, 25) for answer in cloud.create(*asked[at : at + 25])["PendingRequests"]]
    simulator.control.advance(3600)
    for person, machine in zip(people, made, strict=True):
        factories.WorkSpaceFactory(
            organization=world.organization, team=world.team, owner=person, directory_user=person.directory_username,
            blueprint=world.blueprint, provider_account=world.account, provider_id=machine["WorkspaceId"],
        )  # fmt: skip
    return list(WorkSpace.objects.order_by("id"))


def running(world, clock, count):
    """The same with all that launches leave behind."""
    for person in worlds.engineers(world, count):
        services.launch(actor=actor(person), spec=world.spec(), now=clock.now)
    for _ in range(12):
        clock.work(seconds=20)
        if not Operation.objects.open().exists():
            break
    machines = list(WorkSpace.objects.order_by("id"))
    assert {machine.state for machine in machines} == {State.AVAILABLE}
    return machines


def ask(world, clock, verb, machines, by="lead", **more):
    ids = [machine.pk for machine in machines]
    return services.bulk(actor=actor(getattr(world, by)), verb=verb, workspace_ids=ids, now=clock.now, **more)


def follow(clock, operation, rounds=60, seconds=5):
    """Let only the bulk operation be worked on, as if nobody else were there."""
    for _ in range(rounds):
        run_one(operation.pk, now=clock.now)
        clock.now += timedelta(seconds=seconds)
        clock._simulator.control.advance(seconds * 10)
        if fresh(operation).is_final:
            break
    return fresh(operation)


def states():
    return Counter(WorkSpace.objects.values_list("state", flat=True))


@pytest.mark.catalogue(3)
@pytest.mark.parametrize(
    ("verb", "call", "state"),
    [
        ("stop", "StopWorkspaces", State.STOPPED),
        ("reboot", "RebootWorkspaces", State.AVAILABLE),
        ("terminate", "TerminateWorkspaces", State.TERMINATED),
    ],
)
def test_many_are_asked_for_by_25_and_each_has_its_own_outcome(
    world, simulator, clock, fleet, proxy, verb, call, state
):
    answer = ask(world, clock, verb, fleet)
    assert answer.counts == {"accepted": MANY, "refused": 0}
    ended = follow(clock, answer.operation)
    assert ended.status == "succeeded", ended.error
    assert ended.result["counts"] == {"succeeded": MANY}
    assert states() == {state: MANY}
    assert proxy.calls[call] == 2
    parts = Operation.objects.filter(parent_id=ended.pk)
    assert parts.count() == MANY
    entries = AuditLog.objects.filter(correlation_id=ended.correlation_id)
    assert Counter(entries.values_list("action_type", flat=True)) == {
        "WORKSPACE_BULK": 1,
        "WORKSPACE_BULK_OUTCOME": 1,
        f"WORKSPACE_{verb.upper()}": MANY,
        f"WORKSPACE_{verb.upper()}_OUTCOME": MANY,
    }


def test_looks_are_shared(world, simulator, clock, fleet, proxy):
    answer = ask(world, clock, "stop", fleet)
    rounds = 0
    while not fresh(answer.operation).is_final:
        follow(clock, answer.operation, rounds=1)
        rounds += 1
    assert proxy.calls["DescribeWorkspaces"] <= 2 * rounds


def test_a_start_passes_the_guards_one_by_one(world, simulator, clock, few):
    follow(clock, ask(world, clock, "stop", few).operation)
    hour = clock.now.replace(minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=world.organization, scope="USER", scope_id=few[0].owner_id, amount=0, on_limit="BLOCK_STARTS",
        period_start=hour - timedelta(hours=1), period_end=hour + timedelta(days=20),
        adopted_at=hour - timedelta(hours=1),
    )  # fmt: skip
    answer = ask(world, clock, "start", few)
    ended = follow(clock, answer.operation)
    assert ended.result["counts"] == {"succeeded": FEW - 1, "refused": 1}
    [refused] = [item for item in ended.result["items"] if item["status"] == "refused"]
    assert (refused["id"], refused["code"]) == (str(few[0].pk), "budget_exceeded")
    assert states() == {State.AVAILABLE: FEW - 1, State.STOPPED: 1}


def test_whatever_stands_in_the_way_of_one_keeps_no_other_from_it(world, simulator, clock, few):
    stopped, busy, foreign = few[0], few[1], factories.WorkSpaceFactory()
    follow(clock, ask(world, clock, "stop", [stopped]).operation)
    services.reboot(actor=actor(busy.owner), workspace_id=busy.pk, now=clock.now)
    answer = ask(world, clock, "stop", [stopped, busy, foreign, few[2]])
    assert [item.get("code") for item in answer.items] == [
        "illegal_in_this_state", "operation_in_progress", "not_found", None,
    ]  # fmt: skip
    assert follow(clock, answer.operation).result["counts"] == {"succeeded": 1}


def test_an_engineer_does_it_to_nobody_elses(world, simulator, clock, few):
    with pytest.raises(NothingToDo) as refusal:
        ask(world, clock, "stop", few[:3], by="engineer")
    assert {item["code"] for item in refusal.value.extra["items"]} == {"not_found"}
    with pytest.raises(MayNotControl) as refusal:
        ask(world, clock, "stop", few[:3], by="auditor")
    assert {item["code"] for item in refusal.value.extra["items"]} == {"may_not_control_machine"}
    assert not Operation.objects.filter(kind="workspace.bulk").exists()


def test_a_dry_run_says_the_same_and_writes_nothing(world, simulator, clock, few):
    entries = AuditLog.objects.count()
    dry = ask(world, clock, "stop", few, dry_run=True)
    assert dry.operation is None
    assert AuditLog.objects.count() == entries
    assert ask(world, clock, "stop", few).items == dry.items


def test_what_comes_between_refuses_that_machine(world, simulator, clock, few):
    answer = ask(world, clock, "stop", few[:2])
    services.reboot(actor=actor(few[0].owner), workspace_id=few[0].pk, now=clock.now)
    result = follow(clock, answer.operation).result
    assert [(item["status"], item.get("code")) for item in result["items"]] == [
        ("refused", "operation_in_progress"), ("succeeded", None),
    ]  # fmt: skip


def test_items_that_aws_refuses_are_their_machines_fault_only(world, simulator, clock, few):
    simulator.control.set_state(few[3].provider_id, "MAINTENANCE")
    ended = follow(clock, ask(world, clock, "stop", few).operation)
    assert ended.result["counts"] == {"succeeded": FEW - 1, "failed": 1}
    [failed] = [item for item in ended.result["items"] if item["status"] == "failed"]
    assert (failed["id"], failed["code"]) == (str(few[3].pk), "InvalidResourceStateException")


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("kind", ["throttling", "timeout_before", "timeout_after", "partial_failure"])
def test_faults_of_a_call_are_overcome(world, simulator, clock, few, kind):
    simulator.control.fault(kind, operation="StopWorkspaces", count=2)
    answer = ask(world, clock, "stop", few)
    for _ in range(40):
        clock.work(seconds=10)
        if fresh(answer.operation).is_final:
            break
    assert fresh(answer.operation).result["counts"] == {"succeeded": FEW}
    assert states() == {State.STOPPED: FEW}


def test_without_the_bulk_operation_its_parts_go_on_by_themselves(world, simulator, clock, few):
    answer = ask(world, clock, "stop", few[:3])
    run_one(answer.operation.pk, now=clock.now)
    Operation.objects.filter(pk=answer.operation.pk).update(next_attempt_at=clock.now + timedelta(hours=1))
    clock.now += BY_ITSELF_AFTER + timedelta(seconds=1)
    for _ in range(6):
        clock.work(seconds=70)
    assert Counter(Operation.objects.filter(parent_id=answer.operation.pk).values_list("status", flat=True)) == {
        "succeeded": 3
    }


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("where", ["decide", "ask_many", "conclude"])
def test_killed_anywhere_it_goes_on_and_asks_once_for_each(world, simulator, clock, fleet, monkeypatch, where):
    target = aws.Gateway if where == "ask_many" else Stop
    original, calls = getattr(target, where), []

    def dying(*args, **kwargs):
        result = original(*args, **kwargs)
        calls.append(where)
        if len(calls) == 1:
            raise Killed
        return result

    monkeypatch.setattr(target, where, dying)
    answer = ask(world, clock, "stop", fleet)
    with pytest.raises(Killed):
        run_one(answer.operation.pk, now=clock.now)
    clock.now += timedelta(minutes=5)
    for _ in range(40):
        clock.work(seconds=10)
        if fresh(answer.operation).is_final:
            break
    assert fresh(answer.operation).result["counts"] == {"succeeded": MANY}
    assert Operation.objects.filter(parent_id=answer.operation.pk).count() == MANY
    assert AuditLog.objects.filter(action_type="WORKSPACE_STOP").count() == MANY


def test_one_that_has_failed_is_over(world, simulator, clock, fleet):
    simulator.control.fault("access_denied", operation="StopWorkspaces", count=2)
    ended = follow(clock, ask(world, clock, "stop", fleet).operation)
    assert ended.status == "failed"
    with pytest.raises(AskAnew):
        retry(operation=ended, actor=actor(world.lead), now=clock.now)
    assert (fresh(ended).status, fresh(ended).result) == ("failed", ended.result)
    Operation.objects.filter(pk=ended.pk).update(status="unknown", finished_at=None, next_attempt_at=clock.now)
    assert retry(operation=ended, actor=actor(world.lead), now=clock.now).status == "queued"


# -- API -------------------------------------------------------------------------------------------------------------


def test_the_api_answers_with_the_operation_and_each_machine(world, simulator, clock, few):
    client = client_of(world.lead)
    body = {"action": "stop", "ids": [str(few[0].pk), str(uuid.uuid4())]}
    dry = client.post(f"{WORKSPACES}bulk/?dry_run=true", body, format="json")
    assert (dry.status_code, dry.json()["accepted"], dry.json()["refused"]) == (200, 1, 1)
    key = {"Idempotency-Key": "once"}
    answer = client.post(f"{WORKSPACES}bulk/", body, format="json", headers=key)
    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert answer["Location"] == f"/api/v1/operations/{told['operation']['id']}/"
    assert [item.get("code") for item in told["items"]] == [None, "not_found"]
    again = client.post(f"{WORKSPACES}bulk/", body, format="json", headers=key)
    assert again.json()["operation"]["id"] == told["operation"]["id"]
    assert Operation.objects.filter(kind="workspace.bulk").count() == 1
    problem(client.post(f"{WORKSPACES}bulk/", body | {"action": "rebuild"}, format="json"), 400, "invalid")
    too_many = {"action": "stop", "ids": [str(uuid.uuid4()) for _ in range(501)]}
    problem(client.post(f"{WORKSPACES}bulk/", too_many, format="json"), 400, "invalid")
    for no_id in (False, 7, None):
        problem(client.post(f"{WORKSPACES}bulk/", {"action": "stop", "ids": [no_id]}, format="json"), 400, "invalid")
    none = {"action": "stop", "ids": [str(uuid.uuid4())]}
    problem(client.post(f"{WORKSPACES}bulk/", none, format="json"), 422, "nothing_to_do")


def test_one_that_could_not_be_looked_at_keeps_no_other_from_being_asked_for(world, simulator, clock, few, monkeypatch):
    """Parts that were taken already stayed with the worker for a whole lease, as if AWS had been asked."""
    hidden = few[-1].provider_id
    describe = aws.Gateway.describe

    def of_many(self, ids):
        found = describe(self, ids)
        return found if len(ids) == 1 else {id_: one for id_, one in found.items() if id_ != hidden}

    def throttled(self, known):
        raise aws.Throttled("ThrottlingException", "slow")

    operation = ask(world, clock, "reboot", few).operation
    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "describe", of_many)
        patched.setattr(aws.Gateway, "look", throttled)
        run_one(operation.pk, now=clock.now)
    parts = Operation.objects.filter(parent_id=operation.pk)
    assert Counter(parts.values_list("status", "failures")) == {("waiting", 0): FEW - 1, ("queued", 1): 1}
    asked = {one.target_id: [step["name"] for step in one.steps] for one in parts}
    assert [asked[one.pk] for one in few] == [["ask", "taken"]] * (FEW - 1) + [[]]
