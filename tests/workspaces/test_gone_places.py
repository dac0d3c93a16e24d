"""What becomes of machines whose stack or directory somebody deleted in AWS: their end, and no bill for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditLog
from forge.operations.models import Operation
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of, fresh, launch
from tests.workspaces.test_absence import ELSEWHERE, point_to
from tests.workspaces.test_applications import launched
from tests.workspaces.test_bulk import ask as ask_many
from tests.workspaces.test_bulk import running, states
from tests.world import engineers
from workspaces import absence, aws
from workspaces.lifecycle import State
from workspaces.models import Finding, StateChange, WorkSpace
from workspaces.posture import sweep
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed

FIVE_MINUTES = timedelta(minutes=5)


def deleted(simulator, name="engineering"):
    """Delete a stack as its owner in AWS would: its users, its fleet, itself."""
    api = streams.api(simulator)
    users = api.describe_user_stack_associations(StackName=name)["UserStackAssociations"]
    api.batch_disassociate_user_stack(
        UserStackAssociations=[
            {"StackName": name, "UserName": one["UserName"], "AuthenticationType": "USERPOOL"} for one in users
        ]
    )
    api.stop_fleet(Name=name)
    simulator.control.advance(3600)
    api.disassociate_fleet(FleetName=name, StackName=name)
    api.delete_stack(Name=name)


@pytest.fixture
def streaming(world, simulator, clock):
    """Three people's rights to a stack."""
    streams.stack(simulator, world.organization)
    streams.price()
    reconcile(now=clock.now)
    return [launched(client_of(one), clock) for one in [world.engineer, *engineers(world, 2)]]


@pytest.fixture
def computers(world, simulator, clock, monkeypatch):
    """Three machines of a directory that is deregistered, as AWS lets one do once its machines have ended."""
    machines = running(world, clock, 3)
    for one in machines:
        simulator.control.vanish(one.provider_id)
    monkeypatch.setattr(aws.Gateway, "directories", lambda self, ids: {})
    return machines


def look(clock, rounds):
    """Reconcile every five minutes; returns the figures of the last run, and whether it failed."""
    for _ in range(rounds):
        try:
            figures, has_failed = reconcile(now=clock.now), False
        except ReconcileFailed as failed:
            figures, has_failed = failed.figures, True
        clock.now += FIVE_MINUTES
    return figures, has_failed


def test_machines_of_a_deleted_stack_are_ended_after_an_hour_with_a_reason(streaming, simulator, clock):
    deleted(simulator)
    figures, has_failed = look(clock, 12)
    assert (figures["implausible"], figures["vanished"], has_failed) == (3, 0, True)
    assert not WorkSpace.objects.filter(state=State.TERMINATED).exists()
    figures, has_failed = look(clock, 1)
    assert (figures["implausible"], figures["vanished"], has_failed) == (0, 3, False)
    assert set(WorkSpace.objects.values_list("state", flat=True)) == {State.TERMINATED}
    reasons = StateChange.objects.filter(to_state=State.TERMINATED).values_list("reason", flat=True)
    assert set(reasons) == {"vanished from AWS with engineering"}
    assert AuditLog.objects.filter(context__reason="vanished from AWS with engineering").count() == 3


def test_machines_of_a_deleted_directory_are_ended_after_an_hour(computers, clock):
    look(clock, 12)
    assert states() == {State.AVAILABLE: 3}
    assert Finding.objects.open().get(check_name="directory_missing").detail == {"machines": 3}
    look(clock, 1)
    assert states() == {State.TERMINATED: 3}


def test_a_directory_that_was_back_meanwhile_is_believed_gone_an_hour_later_again(computers, clock, monkeypatch):
    look(clock, 12)
    with monkeypatch.context() as back:
        back.setattr(aws.Gateway, "has_place", lambda self, place: True)
        look(clock, 1)
    look(clock, 12)
    assert states() == {State.AVAILABLE: 3}
    look(clock, 1)
    assert states() == {State.TERMINATED: 3}


def test_one_empty_look_after_an_hour_of_whole_ones_ends_nothing(world, simulator, clock, monkeypatch):
    running(world, clock, 3)
    for rounds in (13, 1):
        with monkeypatch.context() as empty:
            for name in ("directories", "describe"):
                empty.setattr(aws.Gateway, name, lambda self, ids: {})
            empty.setattr(aws.Gateway, "listed", lambda self, directory_id: iter(()))
            figures, _ = look(clock, 1)
            assert figures["implausible"] == 3
        assert look(clock, rounds)[1] is False
    assert states() == {State.AVAILABLE: 3}


@pytest.mark.parametrize(("silent", "looks"), [(5, 12), (7, 20)])
def test_the_hour_begins_anew_after_half_an_hour_without_an_answer(streaming, simulator, clock, silent, looks):
    deleted(simulator)
    look(clock, 1)
    simulator.control.fault("timeout_before", operation="DescribeStacks", rate=1.0)
    look(clock, silent)
    simulator.control.withdraw_faults()
    look(clock, looks - 1 - silent)
    assert states() == {State.AVAILABLE: 3}
    look(clock, 1)
    assert states() == {State.TERMINATED: 3}


@pytest.mark.parametrize(("silence", "is_over"), [(timedelta(minutes=25), True), (timedelta(minutes=35), False)])
def test_so_does_an_operations(computers, world, clock, silence, is_over):
    operation = ask_many(world, clock, "stop", computers[:1]).operation
    for _ in range(6):
        clock.work(seconds=300)
    clock.now += silence
    for _ in range(2):
        clock.work(seconds=300)
    assert fresh(operation).is_final is is_over
    for _ in range(14):
        clock.work(seconds=300)
    assert fresh(operation).is_final


def test_a_doubt_noted_by_the_release_before_explains_nothing(computers, world, clock):
    ask_many(world, clock, "stop", computers[:1])
    clock.work(seconds=300)
    part = Operation.objects.get(parent_id__isnull=False)
    for step in part.steps:
        if step["name"] == "absent":
            step["detail"] = absence.MACHINES_NOT_SHOWN
    Operation.objects.filter(pk=part.pk).update(steps=part.steps)
    clock.work(seconds=300)
    assert fresh(part).status == "unknown"
    noted = next(step for step in fresh(part).steps if step["name"] == "absent")["detail"]
    assert noted == {"code": absence.MACHINES_NOT_SHOWN, "explained_since": noted["explained_since"]}


def test_an_hour_in_which_another_account_answered_counts_for_nothing(computers, clock, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(aws.Gateway, "account_number", lambda self: ELSEWHERE)
        sweep.check(now=clock.now)
        look(clock, 13)
    look(clock, 12)
    assert states() == {State.AVAILABLE: 3}
    look(clock, 1)
    assert states() == {State.TERMINATED: 3}


def test_an_operation_that_doubted_for_an_hour_for_other_reasons_waits_another(computers, world, clock, monkeypatch):
    operation = ask_many(world, clock, "stop", computers[:1]).operation
    with monkeypatch.context() as there:
        there.setattr(aws.Gateway, "has_place", lambda self, place: True)
        for _ in range(14):
            clock.work(seconds=300)
    for _ in range(12):
        clock.work(seconds=300)
    assert states() == {State.AVAILABLE: 3}
    for _ in range(3):
        clock.work(seconds=300)
    assert (states(), fresh(operation).is_final) == ({State.AVAILABLE: 2, State.TERMINATED: 1}, True)


def test_a_dry_run_says_which_it_would_end_and_notes_nothing(streaming, simulator, clock):
    deleted(simulator)
    with pytest.raises(ReconcileFailed):
        reconcile(now=clock.now, dry_run=True)
    assert not Finding.objects.filter(check_name="stack_missing").exists()
    look(clock, 12)
    assert reconcile(now=clock.now, dry_run=True)["vanished"] == 3
    assert not WorkSpace.objects.filter(state=State.TERMINATED).exists()


@pytest.mark.parametrize("kind", ["access_denied", "timeout_before"])
@pytest.mark.parametrize("call", ["DescribeStacks", "GetCallerIdentity"])
def test_what_may_not_be_asked_or_does_not_answer_is_not_taken_for_gone(streaming, simulator, clock, call, kind):
    deleted(simulator)
    simulator.control.fault(kind, operation=call, rate=1.0)
    look(clock, 15)
    assert set(WorkSpace.objects.values_list("state", flat=True)) == {State.AVAILABLE}


def test_a_wrong_account_is_never_believed_whatever_it_misses(computers, world, clock, monkeypatch):
    monkeypatch.setattr(aws.Gateway, "account_number", lambda self: ELSEWHERE)
    operation = ask_many(world, clock, "terminate", computers[:1]).operation
    for _ in range(30):
        look(clock, 1)
        clock.work(seconds=0)
    assert states() == {State.AVAILABLE: 3}
    assert fresh(operation).status == "waiting"


def test_neither_is_an_account_that_somebody_wrote_over(computers, clock):
    point_to(ELSEWHERE)
    look(clock, 15)
    assert states() == {State.AVAILABLE: 3}


def test_machines_made_before_their_account_was_noted_are_those_of_the_provider_account(computers, clock):
    WorkSpace.objects.update(aws_account="")
    look(clock, 13)
    assert states() == {State.TERMINATED: 3}


@pytest.mark.parametrize("verb", ["terminate", "stop"])
def test_an_operation_on_a_machine_of_a_deleted_stack_ends_after_an_hour(streaming, world, simulator, clock, verb):
    deleted(simulator)
    one = WorkSpace.objects.get(owner=world.engineer)
    answer = client_of(world.engineer).post(f"{WORKSPACES}{one.pk}/{verb}/", {}, format="json")
    operation = Operation.objects.get(pk=answer.json()["operation"]["id"])
    began = clock.now
    clock.work(seconds=300)
    assert fresh(operation).error["code"] == absence.MACHINES_NOT_SHOWN
    while clock.now < began + absence.BELIEVED_AFTER:
        assert not fresh(operation).is_final
        clock.work(seconds=300)
    clock.work(seconds=300)
    ended = fresh(operation)
    assert (ended.status, ended.error.get("code")) == (
        ("succeeded", None) if verb == "terminate" else ("failed", "machine_vanished")
    )
    one.refresh_from_db()
    assert one.state == State.TERMINATED


def test_a_bulk_end_of_machines_of_a_deleted_directory_ends_them(computers, world, clock):
    operation = ask_many(world, clock, "terminate", computers).operation
    for _ in range(16):
        clock.work(seconds=300)
    assert fresh(operation).result["counts"] == {"succeeded": 3}
    assert states() == {State.TERMINATED: 3}


def test_a_launch_whose_directory_was_deleted_meanwhile_fails(world, simulator, clock, monkeypatch):
    operation = launch(world, clock)
    clock.work()
    one = WorkSpace.objects.get()
    simulator.control.vanish(one.provider_id)
    monkeypatch.setattr(aws.Gateway, "directories", lambda self, ids: {})
    for _ in range(16):
        clock.work(seconds=300)
    assert (fresh(operation).status, fresh(operation).error["code"]) == ("failed", "machine_vanished")
    one.refresh_from_db()
    assert one.state == State.FAILED


def test_an_end_that_is_asked_for_while_reconcile_looks_too_is_done_once(computers, world, clock):
    operation = ask_many(world, clock, "terminate", computers[:1]).operation
    for _ in range(15):
        look(clock, 1)
        clock.work(seconds=0)
    for _ in range(3):
        clock.work(seconds=60)
    assert fresh(operation).result["counts"] == {"succeeded": 1}
    assert states() == {State.TERMINATED: 3}
    assert StateChange.objects.filter(to_state=State.TERMINATED).count() == 3


def test_asking_for_the_account_is_one_call(world, simulator, clock, proxy, computers):
    ask_many(world, clock, "terminate", computers)
    clock.work()
    clock.now += absence.BELIEVED_AFTER
    proxy.calls.clear()
    clock.work()
    assert proxy.calls["GetCallerIdentity"] <= 1
