import re
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from forge.db.ids import uuid7
from forge.operations import claims
from forge.operations.claims import CancelRequested, LeaseLost
from forge.operations.models import Operation
from forge.operations.runner import run_due, run_one
from tests.forge.operations.support import LEASE, NOW, at, in_threads, succeed

Status = Operation.Status


@pytest.mark.django_db
def test_the_claim_is_one_statement_that_locks_in_order_and_passes_over_what_others_hold(enqueue):
    operation = enqueue()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        claim = claims.take(operation_id=operation.id, now=NOW)

    [update] = [query["sql"] for query in queries if "operations_operation" in query["sql"]]
    assert re.search(r"ORDER BY .*\s+LIMIT 1\s+FOR NO KEY UPDATE SKIP LOCKED\)\s*UPDATE operations_operation", update)
    assert claim.operation.lease_expires_at == NOW + LEASE


@pytest.mark.django_db
def test_a_run_takes_few_statements(enqueue, django_assert_num_queries):
    operation = enqueue()

    # The claim, and the handler's lock and outcome; each transaction is a savepoint in this test.
    with django_assert_num_queries(3 + 4):
        run_one(operation.id, now=NOW)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_the_claim_reads_the_partial_index(enqueue):
    Operation.objects.bulk_create(
        Operation(
            organization_id=uuid7(),
            correlation_id=uuid7(),
            kind="test.work",
            target_type="workspace",
            target_id=uuid7(),
            status=Status.SUCCEEDED,
            finished_at=NOW,
        )
        for _ in range(2000)
    )
    enqueue()
    with connections["owner"].cursor() as cursor:  # or the plan goes by what tests before have left in the statistics
        cursor.execute("ANALYZE operations_operation")
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN " + claims._TAKE,
            {"now": NOW, "id": None, "kinds": ["test.work"], "worker": "w", "lease_expires_at": NOW + LEASE},
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "operations_operation_due" in plan
    assert "Seq Scan on operations_operation " not in plan


@pytest.mark.django_db(transaction=True)
def test_many_claimers_never_get_the_same_operation(enqueue, handler):
    with transaction.atomic():
        ids = {enqueue().id for _ in range(200)}

    def work(index):
        taken = []
        while claim := claims.take(now=NOW):
            taken.append(claim.operation.id)
        return taken

    taken = [operation_id for batch in in_threads(8, work) for operation_id in batch]

    assert len(taken) == 200
    assert set(taken) == ids
    assert set(Operation.objects.values_list("fencing_token", "attempt")) == {(1, 1)}


@pytest.mark.django_db(transaction=True)
def test_many_runners_carry_each_operation_out_once(enqueue, handler):
    with transaction.atomic():
        for _ in range(100):
            enqueue()

    ways = sum(in_threads(8, lambda index: run_due(limit=1000, now=NOW)), Counter())

    assert ways == {"succeeded": 100}
    assert len(handler.ran) == len(set(handler.ran)) == 100


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_and_the_claim_is_committed_while_the_handler_runs(
    enqueue, handler, make_app_connection
):
    operation = enqueue()
    seen = []
    elsewhere = make_app_connection(autocommit=True)

    def script(claim):
        seen.append(connection.in_atomic_block)
        row = elsewhere.execute("SELECT status, fencing_token FROM operations_operation WHERE id = %s", [operation.id])
        seen.append(row.fetchone())
        # Nobody waits for this worker while it talks to the cloud.
        elsewhere.execute("SELECT 1 FROM operations_operation WHERE id = %s FOR UPDATE NOWAIT", [operation.id])
        succeed(claim)

    handler.script = script
    assert run_one(operation.id, now=NOW)

    assert seen == [False, ("running", 1)]


@pytest.mark.django_db(transaction=True)
def test_a_claim_is_refused_inside_a_transaction(enqueue):
    operation = enqueue()

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        claims.take(operation_id=operation.id, now=NOW)


@pytest.mark.django_db
def test_a_lease_that_runs_out_is_taken_over_and_its_loser_can_write_nothing(enqueue):
    operation = enqueue()
    loser = claims.take(now=NOW)
    assert claims.take(now=NOW + LEASE - timedelta(microseconds=1)) is None

    winner = claims.take(now=NOW + LEASE)

    assert (winner.token, winner.taken_over, winner.operation.attempt, winner.failures) == (2, True, 2, 1)
    writes = [
        loser.heartbeat,
        lambda: loser.step("create"),
        loser.point_of_no_return,
        loser.lock,
        loser.succeed,
        lambda: loser.fail("gone", "It is gone."),
        loser.cancelled,
        lambda: loser.wait(at(5)),
        lambda: loser.retry(reason="again"),
        lambda: loser.unknown("who knows"),
    ]
    before = Operation.objects.filter(id=operation.id).values().get()
    for write in writes:
        with pytest.raises(LeaseLost), transaction.atomic():
            write()
    assert Operation.objects.filter(id=operation.id).values().get() == before
    with transaction.atomic():
        winner.lock()
        winner.succeed()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_slept_through_its_lease_commits_none_of_its_business_rows(enqueue, handler):
    first, second = enqueue(), enqueue(now=at(3600))
    handler.script = succeed

    def sleeps(claim):
        handler.script = succeed
        in_threads(1, lambda index: run_one(first.id, now=NOW + LEASE))
        with transaction.atomic():
            Operation.objects.filter(id=second.id).update(result={"written_by": "the loser"})
            claim.lock()
            claim.succeed({"done_by": "the loser"})

    handler.script = sleeps
    assert run_one(first.id, now=NOW) is True

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.result == {"done_by": 2}
    assert second.result == {}


@pytest.mark.django_db(transaction=True)
def test_a_locked_operation_is_not_taken_over_until_the_outcome_has_committed(enqueue, handler):
    operation = enqueue()
    claim = claims.take(now=NOW)

    with transaction.atomic():
        claim.lock()
        assert in_threads(1, lambda index: run_one(operation.id, now=NOW + LEASE * 2)) == [False]
        claim.succeed({"done_by": "the slow one"})

    assert in_threads(1, lambda index: run_one(operation.id, now=NOW + LEASE * 2)) == [False]
    operation.refresh_from_db()
    assert operation.result == {"done_by": "the slow one"}


@pytest.mark.django_db
def test_a_heartbeat_renews_the_lease(enqueue):
    enqueue()
    claim = claims.take(now=NOW)
    claim._fixed_now = at(50)

    claim.heartbeat()

    assert claims.take(now=at(109)) is None
    assert Operation.objects.get().heartbeat_at == at(50)
    assert claims.take(now=at(110)).token == 2


@pytest.mark.django_db
def test_steps_are_kept_in_order_and_repeated_ones_counted(enqueue):
    operation = enqueue()
    claim = claims.take(now=NOW)

    claim.step("look", {"found": None}, progress=10)
    claim.step("create", {"bundle": "wsb-\x00123", "at": NOW})
    claim._fixed_now = at(7)
    claim.step("look", {"found": "ws-1"})

    operation.refresh_from_db()
    assert [(step["name"], step["times"]) for step in operation.steps] == [("look", 2), ("create", 1)]
    assert operation.steps[0]["detail"] == {"found": "ws-1"}
    assert operation.steps[0]["first_at"] == NOW.isoformat()
    assert operation.steps[0]["at"] == at(7).isoformat()
    assert operation.steps[1]["detail"] == {"bundle": "wsb-123", "at": NOW.isoformat()}
    assert operation.progress == 10


@pytest.mark.django_db
def test_steps_survive_a_takeover(enqueue):
    enqueue()
    claims.take(now=NOW).step("look")

    claims.take(now=NOW + LEASE).step("create")

    assert [step["name"] for step in Operation.objects.get().steps] == ["look", "create"]


@pytest.mark.django_db
def test_a_request_to_cancel_is_seen_at_the_next_step_and_by_the_point_of_no_return(enqueue):
    operation = enqueue()
    claim = claims.take(now=NOW)
    claim.step("look")
    Operation.objects.filter(id=operation.id).update(cancel_requested_at=at(1))

    with pytest.raises(CancelRequested):
        claim.point_of_no_return()
    with pytest.raises(CancelRequested):
        claim.step("create")
    operation.refresh_from_db()
    assert operation.cancellable is True


@pytest.mark.django_db
def test_past_the_point_of_no_return_steps_go_on(enqueue):
    operation = enqueue()
    claim = claims.take(now=NOW)

    claim.point_of_no_return()
    claim.point_of_no_return()
    Operation.objects.filter(id=operation.id).update(cancel_requested_at=at(1))
    claim.step("create")

    operation.refresh_from_db()
    assert operation.cancellable is False
    assert claims.take(now=NOW + LEASE).operation.cancellable is False


@pytest.mark.django_db(transaction=True)
def test_the_lock_needs_a_transaction(enqueue):
    enqueue()
    claim = claims.take(now=NOW)

    with pytest.raises(transaction.TransactionManagementError):
        claim.lock()
