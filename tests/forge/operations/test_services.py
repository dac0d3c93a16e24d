from datetime import timedelta
from decimal import Decimal
from threading import Event

import pytest
from django.db import transaction

from forge.api.errors import Conflict
from forge.db.ids import uuid7
from forge.operations import claims, services
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.forge.operations.support import LEASE, NOW, OWNER, TEAM, Actor, Person, at, in_threads, succeed

Status = Operation.Status
OWN = Actor(Person(id=OWNER))


def hooks(handler):
    return [name for name, _ in handler.calls]


@pytest.mark.django_db
def test_enqueue_stores_the_request_and_rings_after_commit(enqueue, rung, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        operation = enqueue(
            spec={"team": TEAM, "amount": Decimal("1.50"), "until": NOW}, deadline_at=at(300), parent_id=OWNER
        )
        assert rung == []

    operation.refresh_from_db()
    assert rung == [(operation.id, 0.0)]
    assert operation.spec == {"team": str(TEAM), "amount": "1.50", "until": NOW.isoformat()}
    assert (operation.status, operation.created_at, operation.next_attempt_at) == (Status.QUEUED, NOW, NOW)
    assert (operation.deadline_at, operation.parent_id) == (at(300), OWNER)


@pytest.mark.django_db(transaction=True)
def test_a_launch_that_rolls_back_leaves_no_operation_and_no_bell(enqueue, rung):
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)

    assert not Operation.objects.exists()
    assert rung == []


@pytest.mark.django_db
def test_a_kind_without_a_handler_is_not_accepted(enqueue):
    with pytest.raises(LookupError, match=r"other\.kind"):
        enqueue(kind="other.kind")


@pytest.mark.django_db
def test_what_is_queued_is_cancelled_at_once_with_its_business_effects(enqueue, handler):
    operation = services.cancel(operation=enqueue(), actor=OWN, now=at(4))

    assert handler.calls == [("lock_first", None), ("cancel", OWN)]
    operation.refresh_from_db()
    assert (operation.status, operation.finished_at, operation.next_attempt_at) == (Status.CANCELLED, at(4), None)
    assert run_one(operation.id, now=at(100)) is False


@pytest.mark.django_db(transaction=True)
def test_a_cancellation_whose_effects_fail_leaves_the_operation_queued(enqueue, handler):
    operation = enqueue()
    handler.refusal = RuntimeError("the audit log is unreachable")

    with pytest.raises(RuntimeError):
        services.cancel(operation=operation, actor=OWN, now=NOW)

    operation.refresh_from_db()
    assert operation.status == Status.QUEUED


@pytest.mark.django_db
def test_what_runs_is_asked_to_stop_and_stops_at_its_next_step(enqueue, handler):
    operation = enqueue()

    def script(claim):
        claim.step("look")
        answer = services.cancel(operation=operation, actor=OWN, now=at(1))
        assert (answer.status, answer.cancel_requested_at) == (Status.RUNNING, at(1))
        claim.step("create")
        succeed(claim)

    handler.script = script
    run_one(operation.id, now=NOW)

    operation.refresh_from_db()
    assert operation.status == Status.CANCELLED
    assert operation.cancel_requested_by == OWNER
    assert handler.calls == [("lock_first", None), ("cancel_requested", OWN), ("lock_first", None), ("cancel", None)]


@pytest.mark.django_db
def test_a_request_to_cancel_outlives_the_worker_that_should_have_seen_it(enqueue, handler):
    operation = enqueue()
    claims.take(now=NOW)
    services.cancel(operation=operation, actor=OWN, now=at(1))

    run_one(now=NOW + LEASE)

    operation.refresh_from_db()
    assert operation.status == Status.CANCELLED
    assert handler.ran == []


@pytest.mark.django_db
def test_what_ran_under_a_lease_run_out_is_cancelled_at_once(enqueue, handler):
    operation = enqueue()
    claim = claims.take(now=NOW)

    services.cancel(operation=operation, actor=OWN, now=NOW + LEASE)

    operation.refresh_from_db()
    assert operation.status == Status.CANCELLED
    with pytest.raises(claims.LeaseLost):
        claim.point_of_no_return()


@pytest.mark.django_db
def test_past_the_point_of_no_return_nothing_is_cancelled(enqueue, handler):
    operation = enqueue()
    claim = claims.take(now=NOW)
    claim.point_of_no_return()

    with pytest.raises(services.OperationNotCancellable) as running:
        services.cancel(operation=operation, actor=OWN, now=at(1))
    with transaction.atomic():
        claim.wait(at(10))
    with pytest.raises(services.OperationNotCancellable):
        services.cancel(operation=operation, actor=OWN, now=at(2))

    assert running.value.status == 409
    assert "cancel" not in hooks(handler)


@pytest.mark.django_db
@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_what_has_ended_is_not_cancelled(enqueue, handler, end):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(
        status=end, finished_at=NOW, next_attempt_at=None, error={"code": "x"}
    )

    with pytest.raises(services.OperationFinished) as refused:
        services.cancel(operation=operation, actor=OWN, now=NOW)

    assert refused.value.extra == {"operation_status": end}


@pytest.mark.django_db
def test_a_failed_operation_goes_back_into_the_queue(enqueue, handler, rung, django_capture_on_commit_callbacks):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(
        status=Status.FAILED, finished_at=NOW, next_attempt_at=None, error={"code": "x"}, failures=5, cancellable=False
    )

    with django_capture_on_commit_callbacks(execute=True):
        services.retry(operation=operation, actor=OWN, now=at(60))

    operation.refresh_from_db()
    assert (operation.status, operation.next_attempt_at, operation.finished_at) == (Status.QUEUED, at(60), None)
    assert (operation.failures, operation.cancellable) == (0, True)
    assert rung == [(operation.id, 0.0)]
    assert handler.calls == [("lock_first", None), ("retry", OWN)]
    assert run_one(operation.id, now=at(60))


@pytest.mark.django_db
def test_an_unknown_outcome_is_looked_at_again_and_stays_uncancellable(enqueue):
    operation = enqueue()
    claim = claims.take(now=NOW)
    claim.point_of_no_return()
    with transaction.atomic():
        claim.unknown("The answer was lost.")

    services.retry(operation=operation, actor=OWN, now=at(1))

    operation.refresh_from_db()
    assert (operation.status, operation.next_attempt_at, operation.cancellable) == (Status.QUEUED, at(1), False)


@pytest.mark.django_db
def test_only_what_failed_or_is_unknown_is_retried(enqueue):
    operation = enqueue()

    with pytest.raises(services.OperationNotRetryable):
        services.retry(operation=operation, actor=OWN, now=NOW)
    run_one(now=NOW)
    with pytest.raises(services.OperationNotRetryable):
        services.retry(operation=operation, actor=OWN, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_the_handler_may_refuse_a_retry(enqueue, handler):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(
        status=Status.FAILED, finished_at=NOW, next_attempt_at=None, error={"code": "x"}
    )
    handler.refusal = Conflict("The machine is final.")

    with pytest.raises(Conflict):
        services.retry(operation=operation, actor=OWN, now=NOW)

    operation.refresh_from_db()
    assert operation.status == Status.FAILED


MAY = {
    "the owner": Person(id=OWNER),
    "the team's lead": Person(roles=("team_lead",), teams=(TEAM,)),
    "an admin": Person(roles=("admin",)),
    "an operator": Person(organization_id=None, is_operator=True, roles=()),
    "a job": None,
}
MAY_NOT = {
    "a colleague": Person(),
    "another team's lead": Person(roles=("team_lead",), teams=(uuid7(),)),
    "finance": Person(roles=("finance",)),
    "an auditor": Person(roles=("auditor",)),
    "another organization's admin": Person(organization_id=uuid7(), roles=("admin",)),
}


@pytest.mark.django_db
@pytest.mark.parametrize("person", MAY.values(), ids=MAY)
def test_these_may_cancel(enqueue, person):
    assert services.cancel(operation=enqueue(), actor=Actor(person), now=NOW).status == Status.CANCELLED


@pytest.mark.django_db
@pytest.mark.parametrize("person", MAY_NOT.values(), ids=MAY_NOT)
def test_these_may_not_cancel(enqueue, handler, person):
    operation = enqueue()

    with pytest.raises(services.NotYourOperation):
        services.cancel(operation=operation, actor=Actor(person), now=NOW)

    assert "cancel" not in hooks(handler)
    assert not Operation.objects.filter(status=Status.CANCELLED).exists()


@pytest.mark.django_db
def test_visible_is_ones_own_the_led_teams_and_to_oversight_all_of_the_organization(enqueue):
    mine, elsewhere = enqueue(), enqueue(organization_id=uuid7(), owner_id=uuid7(), actor_id=uuid7(), team_id=uuid7())
    for_me = enqueue(actor_id=uuid7(), team_id=None)
    by_me = enqueue(owner_id=uuid7(), team_id=None)
    others = enqueue(actor_id=uuid7(), owner_id=uuid7(), team_id=None)

    def seen_by(**fields):
        return set(Operation.objects.visible_to(Person(**fields)))

    assert seen_by(id=OWNER) == {mine, for_me, by_me}
    assert seen_by(roles=("team_lead",), teams=(TEAM,)) == {mine}
    assert seen_by(roles=("admin",)) == seen_by(roles=("auditor",)) == {mine, for_me, by_me, others}
    assert seen_by(roles=("finance",)) == set()
    assert seen_by(organization_id=None, roles=(), is_operator=True) == {mine, for_me, by_me, others, elsewhere}


@pytest.mark.django_db(transaction=True)
def test_a_claim_passes_over_what_is_being_cancelled(enqueue, handler):
    operation = enqueue()
    claimed = []
    real = handler.cancel

    def cancel(row, *, actor, now):
        claimed.extend(in_threads(1, lambda index: run_one(operation.id, now=NOW)))
        real(row, actor=actor, now=now)

    handler.cancel = cancel
    try:
        services.cancel(operation=operation, actor=OWN, now=NOW)
    finally:
        del handler.cancel

    assert claimed == [False]
    operation.refresh_from_db()
    assert (operation.status, handler.ran) == (Status.CANCELLED, [])


@pytest.mark.django_db(transaction=True)
def test_a_cancellation_that_waits_for_an_outcome_finds_it_ended(enqueue, handler):
    operation = enqueue()
    locked, asked = Event(), Event()

    def script(claim):
        with transaction.atomic():
            claim.lock()
            locked.set()
            assert asked.wait(10)
            claim.succeed()

    handler.script = script

    def work(index):
        if index == 0:
            return run_one(operation.id, now=NOW)
        assert locked.wait(10)
        asked.set()
        with pytest.raises(services.OperationFinished):
            services.cancel(operation=operation, actor=OWN, now=at(1))
        return "refused"

    assert in_threads(2, work) == [True, "refused"]


@pytest.mark.django_db(transaction=True)
def test_cancel_and_claim_at_the_same_moment_leave_it_either_cancelled_or_done(enqueue, handler):
    def script(claim):
        claim.point_of_no_return()
        succeed(claim)

    handler.script = script
    for _ in range(20):
        operation = enqueue()

        def work(index, operation=operation):
            if index == 0:
                return run_one(operation.id, now=NOW)
            try:
                return services.cancel(operation=operation, actor=OWN, now=NOW).status
            except Conflict as refused:
                return refused.code

        ran, answer = in_threads(2, work)
        operation.refresh_from_db()
        if operation.status == Status.SUCCEEDED:
            assert (ran, answer) in [(True, "operation_finished"), (True, "operation_not_cancellable")]
        else:
            assert operation.status == Status.CANCELLED
            assert answer in (Status.CANCELLED, Status.RUNNING)
            assert (operation.id in handler.ran) is ran


def test_timings_tell_queue_run_and_promise():
    operation = Operation(created_at=NOW, deadline_at=at(300))

    assert operation.queued_for(at(10)) == operation.duration(at(10)) == timedelta(seconds=10)
    assert operation.ran_for(at(10)) == timedelta()
    operation.started_at = at(20)
    assert operation.queued_for(at(60)) == timedelta(seconds=20)
    assert operation.ran_for(at(60)) == timedelta(seconds=40)
    assert (operation.is_late(at(300)), operation.is_late(at(301))) == (False, True)
    operation.finished_at = at(200)
    assert operation.duration(at(900)) == timedelta(seconds=200)
    assert operation.is_late(at(900)) is False


def test_an_operation_without_a_promise_is_never_late():
    assert Operation(created_at=NOW).is_late(at(10**6)) is False
