from datetime import timedelta

import pytest
from django.db import transaction

from forge.operations.models import Operation
from forge.operations.runner import run_due, run_one, sweep
from tests.forge.operations.support import LEASE, NOW, Killed, at, succeed

pytestmark = pytest.mark.django_db
Status = Operation.Status


def ends(method, *arguments, **named):
    """A script that locks the operation and ends with this outcome."""

    def script(claim):
        with transaction.atomic():
            claim.lock()
            getattr(claim, method)(*arguments, **named)

    return script


def breaks(claim):
    raise ValueError("no such\x00 bundle")


def test_a_queued_operation_is_claimed_and_succeeds(enqueue):
    operation = enqueue()

    assert run_one(operation.id, now=at(3)) is True

    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert operation.result == {"done_by": 1}
    assert (operation.progress, operation.attempt, operation.fencing_token) == (100, 1, 1)
    assert (operation.started_at, operation.finished_at) == (at(3), at(3))
    assert (operation.leased_by, operation.lease_expires_at, operation.next_attempt_at) == ("", None, None)


def test_there_is_nothing_to_claim_before_its_time_after_its_end_or_for_an_unknown_id(enqueue):
    operation = enqueue(now=at(10))

    assert run_one(now=at(9)) is False
    assert run_one(operation.id, now=at(9)) is False
    assert run_one(operation.organization_id, now=at(10)) is False
    assert run_one(now=at(10)) is True
    assert run_one(operation.id, now=at(20)) is False


def test_what_is_due_longest_is_claimed_first(enqueue, handler):
    late, early, middle = enqueue(now=at(30)), enqueue(now=at(10)), enqueue(now=at(20))

    assert run_due(limit=2, now=at(60)) == {"succeeded": 2}
    assert handler.ran == [early.id, middle.id]
    assert run_due(limit=2, now=at(60)) == {"succeeded": 1}
    assert handler.ran[-1] == late.id


def test_a_kind_without_handler_is_left_to_workers_that_know_it(enqueue, handler, settings):
    operation = enqueue()
    settings.FORGE_OPERATION_HANDLERS = {"other.kind": "tests.forge.operations.support.scripted"}

    assert run_one(now=NOW) is False
    assert run_one(operation.id, now=NOW) is False

    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == (Status.QUEUED, 0)


def test_a_wait_is_a_poll_and_not_another_attempt(enqueue, handler, rung):
    operation = enqueue()
    handler.script = ends("wait", at(10))

    assert run_one(now=NOW)
    operation.refresh_from_db()
    assert (operation.status, operation.next_attempt_at, operation.attempt) == (Status.WAITING, at(10), 1)
    assert run_one(now=at(9)) is False

    handler.script = ends("wait", at(20))
    assert run_one(now=at(10))
    operation.refresh_from_db()
    assert (operation.attempt, operation.fencing_token, operation.started_at) == (1, 2, NOW)

    handler.script = succeed
    assert run_one(now=at(20))
    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == (Status.SUCCEEDED, 1)


def test_waiting_without_a_time_waits_for_a_person(enqueue):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(status=Status.WAITING, next_attempt_at=None)

    assert run_one(now=at(10**6)) is False


def test_a_retry_backs_off_and_counts(enqueue, handler):
    operation = enqueue()
    handler.script = ends("retry", reason="AWS throttles us", code="throttled")
    now = NOW

    for failures, longest in ((1, 2), (2, 4), (3, 8)):
        assert run_one(now=now)
        operation.refresh_from_db()
        assert (operation.status, operation.attempt, operation.failures) == (Status.QUEUED, failures, failures)
        pause = operation.next_attempt_at - now
        assert timedelta(seconds=longest / 2) <= pause <= timedelta(seconds=longest)
        now = operation.next_attempt_at

    assert operation.error["code"] == "throttled"
    assert operation.error["detail"] == "AWS throttles us"
    assert operation.error["attempt"] == 3


def test_a_handler_may_name_the_time_of_its_retry(enqueue, handler):
    operation = enqueue()
    handler.script = ends("retry", at(77), "Retry-After said so")

    run_one(now=NOW)

    operation.refresh_from_db()
    assert operation.next_attempt_at == at(77)


def test_progress_forgets_earlier_failures(enqueue, handler):
    operation = enqueue()
    handler.script = ends("retry", at(1), "once")
    run_one(now=NOW)
    handler.script = ends("wait", at(2))
    run_one(now=at(1))

    operation.refresh_from_db()
    assert (operation.failures, operation.attempt, operation.error) == (0, 2, {})


def test_an_unexpected_fault_is_recorded_and_tried_again(enqueue, handler, caplog):
    operation = enqueue()
    handler.script = breaks

    assert run_due(limit=10, now=NOW) == {"fault": 1}

    operation.refresh_from_db()
    assert (operation.status, operation.failures) == (Status.QUEUED, 1)
    assert operation.error["code"] == "unexpected_error"
    assert operation.error["internal"] == "ValueError: no such bundle"
    assert "ValueError" not in operation.error["detail"]
    assert "Traceback" in caplog.text

    handler.script = succeed
    run_one(now=operation.next_attempt_at)
    operation.refresh_from_db()
    assert (operation.status, operation.error) == (Status.SUCCEEDED, {})


def test_a_handler_that_says_no_outcome_is_a_fault(enqueue, handler):
    operation = enqueue()
    handler.script = lambda claim: None

    assert run_due(limit=1, now=NOW) == {"fault": 1}

    operation.refresh_from_db()
    assert operation.error["internal"].startswith("NoOutcome")


def test_an_outcome_outside_a_transaction_is_a_fault(transactional_db, enqueue, handler):
    operation = enqueue()
    handler.script = lambda claim: claim.succeed()

    assert run_due(limit=1, now=NOW) == {"fault": 1}

    operation.refresh_from_db()
    assert operation.error["internal"].startswith("TransactionManagementError")


def test_an_outcome_that_is_rolled_back_with_its_rows_counts_as_a_fault(enqueue, handler):
    operation = enqueue()

    def script(claim):
        with transaction.atomic():
            claim.lock()
            claim.succeed()
            raise RuntimeError("the audit log is unreachable")

    handler.script = script
    assert run_due(limit=1, now=NOW) == {"fault": 1}

    operation.refresh_from_db()
    assert (operation.status, operation.result) == (Status.QUEUED, {})


def test_a_fault_after_a_committed_outcome_changes_nothing(enqueue, handler):
    operation = enqueue()

    def script(claim):
        succeed(claim)
        raise RuntimeError("too late")

    handler.script = script
    assert run_due(limit=1, now=NOW) == {"lost": 1}

    operation.refresh_from_db()
    assert (operation.status, operation.error) == (Status.SUCCEEDED, {})


def test_after_too_many_faults_the_outcome_is_unknown_and_it_is_looked_at_slowly(enqueue, handler):
    operation = enqueue()
    handler.script = breaks
    now = NOW
    for _ in range(handler.max_failures):
        assert run_one(now=now)
        operation.refresh_from_db()
        now = operation.next_attempt_at

    assert (operation.status, operation.failures) == (Status.UNKNOWN, handler.max_failures)
    assert handler.calls == [("on_exhausted", handler.max_failures - 1)]
    assert operation.error["code"] == "outcome_unknown"
    assert operation.error["internal"] == "ValueError: no such bundle"
    assert operation.next_attempt_at - operation.updated_at == handler.unknown_delay

    assert run_one(now=now)
    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == (Status.UNKNOWN, handler.max_failures + 1)

    handler.script = succeed
    run_one(now=operation.next_attempt_at)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED


def test_the_handler_decides_what_becomes_of_an_exhausted_operation(enqueue, handler):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(failures=handler.max_failures - 1)
    handler.script = breaks
    handler.exhausted_script = ends("fail", "no_machine", "A look-up proved that there is none.", {"looked": 3})

    run_one(now=NOW)

    operation.refresh_from_db()
    assert (operation.status, operation.finished_at) == (Status.FAILED, NOW)
    assert operation.error["code"] == "no_machine"
    assert operation.error["looked"] == 3


@pytest.mark.parametrize("last_word", [breaks, lambda claim: None], ids=["raises", "says nothing"])
def test_a_handler_that_cannot_decide_leaves_it_unknown(enqueue, handler, last_word):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(failures=handler.max_failures - 1)
    handler.script = breaks
    handler.exhausted_script = last_word

    assert run_one(now=NOW)

    operation.refresh_from_db()
    assert (operation.status, operation.error["code"]) == (Status.UNKNOWN, "unexpected_error")


def test_an_operation_that_kills_its_workers_is_exhausted_too(enqueue, handler):
    operation = enqueue()
    now = NOW

    def dies(claim):
        raise Killed

    handler.script = dies
    for _ in range(handler.max_failures):
        with pytest.raises(Killed):
            run_one(now=now)
        now += LEASE
    assert run_one(now=now) is True

    operation.refresh_from_db()
    assert operation.status == Status.UNKNOWN
    assert ("on_exhausted", handler.max_failures) in handler.calls
    assert len(handler.ran) == handler.max_failures


def test_the_sweep_takes_its_slot_once_and_says_what_it_did(enqueue, handler):
    enqueue()
    enqueue()

    assert sweep(now=NOW) == {"succeeded": 2}
    assert sweep(now=NOW) is None
    assert sweep(now=at(5)) == {}
