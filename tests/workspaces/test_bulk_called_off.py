"""Calling a bulk operation off while there is something to call off, and keeping it together where AWS puts it off."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from audit.models import AuditLog
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.workspaces.support import client_of, fresh, problem
from tests.workspaces.test_bulk import ask, follow, standing, states
from tests.world import actor
from workspaces import aws, services
from workspaces.handlers import many
from workspaces.lifecycle import BY_ITSELF_AFTER, State

MANY = 30


def call_off(world, operation, by="lead"):
    return client_of(getattr(world, by)).post(f"/api/v1/operations/{operation.pk}/cancel/", {}, format="json")


def shown(world, operation):
    """The operation as the API shows it alone, which is as it lists it."""
    client = client_of(world.lead)
    alone = client.get(f"/api/v1/operations/{operation.pk}/").json()
    listed = client.get("/api/v1/operations/", {"kind": operation.kind}).json()["results"]
    assert [one["cancellable"] for one in listed if one["id"] == alone["id"]] == [alone["cancellable"]]
    return alone


def busy(self, ids):
    raise aws.Throttled("ThrottlingException", "slow")


def test_what_has_not_begun_is_called_off_whole(world, simulator, clock, monkeypatch, proxy):
    operation = ask(world, clock, "terminate", standing(world, simulator, MANY)).operation
    with monkeypatch.context() as patch:
        patch.setattr(aws.Gateway, "describe", busy)
        run_one(operation.pk, now=clock.now)
    assert shown(world, operation)["cancellable"]
    assert call_off(world, operation).status_code == 202
    over = follow(clock, operation, rounds=3)
    assert (over.status, over.result["counts"]) == ("cancelled", {"cancelled": MANY})
    assert {item["status"] for item in over.result["items"]} == {"cancelled"}
    assert not shown(world, operation)["cancellable"]
    parts = Operation.objects.filter(parent_id=operation.pk)
    assert Counter(parts.values_list("status", flat=True)) == {"cancelled": MANY}
    assert (states(), proxy.calls["TerminateWorkspaces"]) == ({State.AVAILABLE: MANY}, 0)
    outcomes = AuditLog.objects.filter(action_type="WORKSPACE_TERMINATE_OUTCOME", context__outcome="cancelled")
    assert Counter(outcomes.values_list("user_id", flat=True)) == {world.lead.pk: MANY}


def test_a_machine_that_was_refused_does_not_make_a_failure_of_what_was_called_off(
    world, simulator, clock, monkeypatch
):
    fleet = standing(world, simulator, 3)
    operation = ask(world, clock, "stop", fleet).operation
    services.reboot(actor=actor(world.lead), workspace_id=fleet[0].pk, now=clock.now)
    with monkeypatch.context() as patch:
        patch.setattr(aws.Gateway, "describe", busy)
        run_one(operation.pk, now=clock.now)
    assert call_off(world, operation).status_code == 202
    over = follow(clock, operation, rounds=3)
    assert (over.status, over.result["counts"]) == ("cancelled", {"refused": 1, "cancelled": 2})


def test_parts_of_which_nothing_is_known_are_looked_at_when_they_are_due(world, simulator, clock, monkeypatch):
    fleet = standing(world, simulator, 3)
    for one in fleet:
        simulator.control.vanish(one.provider_id)
    operation = ask(world, clock, "stop", fleet).operation
    looks = []
    monkeypatch.setattr(many.Bulk, "_call_off", lambda self, claim: looks.append(clock.now))
    for _ in range(120):
        clock.work(seconds=5)
    assert {one.status for one in Operation.objects.filter(parent_id=operation.pk)} == {"unknown"}
    assert len(looks) <= 15


def test_what_aws_was_asked_for_goes_on_and_the_rest_is_called_off(world, simulator, clock, monkeypatch):
    operation = ask(world, clock, "stop", standing(world, simulator, MANY)).operation
    real, calls = aws.Gateway.describe, []

    def once(self, ids):
        calls.append(ids)
        return real(self, ids) if len(calls) == 1 else busy(self, ids)

    with monkeypatch.context() as patch:
        patch.setattr(aws.Gateway, "describe", once)
        run_one(operation.pk, now=clock.now)
    assert call_off(world, operation, by="admin").status_code == 202
    follow(clock, operation, rounds=2)
    assert Operation.objects.filter(parent_id=operation.pk, status="cancelled").count() == MANY - 25
    assert call_off(world, operation, by="admin").status_code == 202  # asked again while it is seen to
    over = follow(clock, operation)
    assert (over.status, over.result["counts"]) == ("succeeded", {"succeeded": 25, "cancelled": MANY - 25})
    assert states() == {State.STOPPED: 25, State.AVAILABLE: MANY - 25}


def test_machines_whose_turn_did_not_come_are_not_asked_for(world, simulator, clock, monkeypatch):
    operation = ask(world, clock, "stop", standing(world, simulator, 4)).operation
    real, asked = many._ask, []

    def first(claim, verb, workspace_id, actor):
        answer = real(claim, verb, workspace_id, actor)
        asked.append(workspace_id)
        call_off(world, operation)
        claim.heartbeat()
        return answer

    monkeypatch.setattr(many, "_ask", first)
    over = follow(clock, operation, rounds=3)
    assert (over.status, over.result["counts"], len(asked)) == ("cancelled", {"cancelled": 4}, 1)
    assert [item.get("code") for item in over.result["items"]] == [None] + ["called_off"] * 3
    assert Operation.objects.filter(parent_id=operation.pk).count() == 1


def test_nothing_can_be_called_off_once_aws_was_asked_for_all(world, simulator, clock):
    operation = ask(world, clock, "stop", standing(world, simulator, 4)).operation
    run_one(operation.pk, now=clock.now)
    problem(call_off(world, operation), 409, "operation_not_cancellable")
    assert follow(clock, operation).result["counts"] == {"succeeded": 4}


def test_a_throttled_call_is_made_again_for_all_of_its_batch(world, simulator, clock, proxy):
    fleet = standing(world, simulator, 50)
    simulator.control.fault("throttling", operation="StopWorkspaces", count=2)
    operation = ask(world, clock, "stop", fleet).operation
    for _ in range(80):
        clock.work(seconds=5)
        if fresh(operation).is_final:
            break
    assert fresh(operation).result["counts"] == {"succeeded": 50}
    assert proxy.calls["StopWorkspaces"] == 4


def test_a_lost_answer_is_looked_after_for_all_of_its_batch(world, simulator, clock, proxy):
    fleet = standing(world, simulator, 50)
    simulator.control.fault("timeout_before", operation="StopWorkspaces", count=2)
    operation = ask(world, clock, "stop", fleet).operation
    rounds = 0
    while not fresh(operation).is_final and rounds < 80:
        clock.work(seconds=5)
        rounds += 1
    assert fresh(operation).result["counts"] == {"succeeded": 50}
    assert proxy.calls["StopWorkspaces"] == 4
    assert proxy.calls["DescribeWorkspaces"] <= 2 * rounds


def test_a_part_that_rests_is_carried_out_by_itself_when_the_bulk_operation_stays_away(world, simulator, clock):
    simulator.control.fault("throttling", operation="StopWorkspaces", count=1)
    operation = ask(world, clock, "stop", standing(world, simulator, 3)).operation
    run_one(operation.pk, now=clock.now)
    parts = Operation.objects.filter(parent_id=operation.pk)
    resting = {part.next_attempt_at - clock.now for part in parts}
    assert min(resting) > BY_ITSELF_AFTER
    Operation.objects.filter(pk=operation.pk).update(next_attempt_at=clock.now + timedelta(hours=1))
    for _ in range(6):
        clock.work(seconds=70)
    assert Counter(parts.values_list("status", flat=True)) == {"succeeded": 3}
