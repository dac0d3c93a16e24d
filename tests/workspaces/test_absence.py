"""What an operation makes of a machine that AWS does not show: the end of it, or a wrong place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forge.operations.models import Operation
from tests import factories
from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.support import ask, fresh, launch, machine
from tests.workspaces.test_bulk import ask as ask_many
from tests.workspaces.test_bulk import running, states
from tests.workspaces.test_mending import follow
from tests.world import actor, engineers
from workspaces import absence, aws, services
from workspaces.absence import BELIEVED_AFTER
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, StateChange, UnmanagedMachine, WorkSpace
from workspaces.places import place_of
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed

ELSEWHERE = "999999999999"
MACHINES_NOT_SHOWN, PLACE_NOT_SHOWN = absence.MACHINES_NOT_SHOWN, absence.PLACE_NOT_SHOWN


def point_to(account):
    """Let the role of the provider account lead into this account of AWS."""
    ProviderAccount.objects.update(account=account)


def request(verb, world, clock):
    if verb != "modify":
        return ask(verb, world, clock)
    wanted = {"running_mode": "ALWAYS_ON"}
    by = actor(world.engineer)
    return services.modify(actor=by, workspace_id=machine().pk, wanted=wanted, now=clock.now).operation


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("stop", State.STOPPED),
        ("terminate", State.TERMINATED),
        ("modify", None),
    ],
)
def test_an_operation_in_a_wrong_account_knows_nothing_and_goes_on_in_the_right_one(
    world, simulator, clock, verb, state
):
    clock.finish(launch(world, clock))
    changes = StateChange.objects.count()
    point_to(ELSEWHERE)
    operation = request(verb, world, clock)
    clock.work(rounds=3)
    waiting = fresh(operation)
    assert (waiting.status, waiting.error["code"]) == ("unknown", PLACE_NOT_SHOWN)
    assert machine().directory_id in waiting.error["detail"]
    assert waiting.next_attempt_at > clock.now
    assert (machine().state, StateChange.objects.count()) == (State.AVAILABLE, changes)
    point_to(world.account.account)
    follow(clock, operation)
    assert fresh(operation).status == "succeeded", fresh(operation).error
    assert (machine().state == state) if state else (machine().running_mode == "ALWAYS_ON")


@pytest.mark.parametrize("verb", ["stop", "reboot", "terminate"])
def test_a_bulk_operation_in_a_wrong_account_ends_no_machine(world, simulator, clock, verb):
    machines = running(world, clock, 3)
    point_to(ELSEWHERE)
    operation = ask_many(world, clock, verb, machines).operation
    clock.work(rounds=3)
    parts = Operation.objects.filter(parent_id=operation.id)
    assert [(one.status, one.error["code"]) for one in parts] == [("unknown", MACHINES_NOT_SHOWN)] * 3
    assert states() == {State.AVAILABLE: 3}
    assert fresh(operation).status == "waiting"
    with pytest.raises(ReconcileFailed, match="operations do not find 3 machines") as failed:
        reconcile(now=clock.now)
    assert (failed.value.figures["implausible"], failed.value.figures["seen"]) == (3, 0)
    point_to(world.account.account)
    assert follow(clock, operation).result["counts"] == {"succeeded": 3}
    assert reconcile(now=clock.now)["orphans"] == 0


def test_a_launch_whose_account_turned_wrong_waits_and_leaves_no_orphan(world, simulator, clock):
    operation = launch(world, clock)
    clock.work()
    assert machine().provider_id
    point_to(ELSEWHERE)
    clock.work(rounds=8, seconds=30)
    waiting = fresh(operation)
    assert (waiting.status, waiting.error["code"]) == ("unknown", PLACE_NOT_SHOWN)
    assert machine().state == State.PENDING
    point_to(world.account.account)
    assert clock.finish(operation).status == "succeeded"
    assert machine().state == State.AVAILABLE


@pytest.mark.parametrize("called_off", [False, True])
def test_a_launch_whose_request_is_unclear_does_not_end_in_a_wrong_account(world, simulator, proxy, clock, called_off):
    operation = launch(world, clock)
    proxy.lose("CreateWorkspaces", "answer")
    clock.work(seconds=1)
    point_to(ELSEWHERE)
    if called_off:
        ask("terminate", world, clock)
    for _ in range(30):
        clock.work(seconds=15)
    waiting = fresh(operation)
    assert (waiting.status, waiting.error["code"]) == ("unknown", PLACE_NOT_SHOWN)
    assert machine().state == State.PENDING
    point_to(world.account.account)
    ended = clock.finish(operation)
    assert (ended.status, machine().state) == (
        ("failed", State.FAILED) if called_off else ("succeeded", State.AVAILABLE)
    )
    reconcile(now=clock.now)
    assert not UnmanagedMachine.objects.exists()


def test_one_of_several_that_is_gone_is_believed_gone(world, simulator, clock):
    gone, *_ = machines = running(world, clock, 3)
    simulator.control.vanish(gone.provider_id)
    operation = ask_many(world, clock, "stop", machines).operation
    assert clock.finish(operation).result["counts"] == {"succeeded": 2, "failed": 1}
    assert states() == {State.TERMINATED: 1, State.STOPPED: 2}


def test_a_fleet_that_somebody_deleted_in_aws_can_be_ended_here_in_time(world, simulator, clock):
    machines = running(world, clock, 2)
    for one in machines:
        simulator.control.vanish(one.provider_id)
    operation = ask_many(world, clock, "terminate", machines).operation
    began = clock.now
    while clock.now < began + BELIEVED_AFTER:
        clock.work()
        assert states() == {State.AVAILABLE: 2}
    for _ in range(12):
        clock.work()
    assert fresh(operation).result["counts"] == {"succeeded": 2}
    assert states() == {State.TERMINATED: 2}


def test_a_deleted_fleet_whose_place_is_not_shown_is_never_taken_for_ended(world, simulator, clock):
    machines = running(world, clock, 2)
    point_to(ELSEWHERE)
    operation = ask_many(world, clock, "terminate", machines).operation
    began = clock.now
    while clock.now < began + 2 * BELIEVED_AFTER:
        clock.work(seconds=300)
    assert fresh(operation).status == "waiting"
    assert states() == {State.AVAILABLE: 2}


# -- the sample of an account --------------------------------------------------------------------------------------
@pytest.fixture
def large(world, simulator, clock):
    """An account of 130 machines, of which the first 30 are asked about."""
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    people = engineers(world, 130)
    ids = []
    for start in range(0, 130, aws.BATCH):
        requests = [cloud.request(one.directory_username) for one in people[start : start + aws.BATCH]]
        ids += [made["WorkspaceId"] for made in cloud.create(*requests)["PendingRequests"]]
    return [
        factories.WorkSpaceFactory(
            organization=world.organization, owner=person, team=world.team, provider_account=world.account,
            directory_id=world.account.directory_id, provider_id=id_, directory_user=person.directory_username,
        )
        for person, id_ in zip(people, ids, strict=True)
    ]  # fmt: skip


def doubt_of(workspace, gateway):
    try:
        absence.Proof(gateway).require(workspace)
    except absence.AbsenceDoubted as doubt:
        return doubt.code
    return None


def test_of_a_large_account_a_sample_is_asked_for(large, world, simulator, proxy):
    gone, *_ = large
    simulator.control.vanish(gone.provider_id)
    assert doubt_of(gone, aws.Gateway(place_of(world.account))) is None
    assert proxy.calls["DescribeWorkspaces"] in (4, 5)
    for one in large[:90]:
        if one is not gone:
            simulator.control.vanish(one.provider_id)
    assert doubt_of(gone, aws.Gateway(place_of(world.account))) == MACHINES_NOT_SHOWN


def test_one_that_is_being_ended_is_expected_to_be_gone(world, simulator, clock, proxy):
    running(world, clock, 2)
    proxy.calls.clear()
    point_to(ELSEWHERE)
    WorkSpace.objects.update(state=State.TERMINATING)
    for one in WorkSpace.objects.all():
        assert doubt_of(one, aws.Gateway(place_of(one.provider_account))) is None
    assert not proxy.calls


def test_the_pause_is_long_because_people_have_to_mend_the_account(world, simulator, clock):
    clock.finish(launch(world, clock))
    point_to(ELSEWHERE)
    operation = ask("stop", world, clock)
    at = clock.now
    clock.work()
    assert fresh(operation).next_attempt_at == at + timedelta(minutes=5)
