import pytest
from django.db import IntegrityError, transaction

from forge.operations.models import Operation
from tests.forge.operations.support import NOW, at

pytestmark = pytest.mark.django_db
LEASED = {
    "status": "running",
    "lease_expires_at": at(60),
    "leased_by": "host:1:1",
    "heartbeat_at": NOW,
    "started_at": NOW,
    "fencing_token": 1,
    "next_attempt_at": None,
}
ENDED = {"finished_at": NOW, "next_attempt_at": None}

WRONG = {
    "a status that is none": ({"status": "lost"}, "finished_when_final|operations_operation_status_known"),
    "running without a lease": (LEASED | {"lease_expires_at": None}, "leased_while_running"),
    "running for nobody": (LEASED | {"leased_by": ""}, "leased_while_running"),
    "running without a token": (LEASED | {"fencing_token": 0}, "leased_while_running"),
    "running and never begun": (LEASED | {"started_at": None}, "leased_while_running"),
    "queued under a lease": ({"lease_expires_at": at(60)}, "leased_while_running"),
    "ended without a time": (ENDED | {"status": "succeeded", "finished_at": None}, "finished_when_final"),
    "queued and ended": ({"finished_at": NOW}, "finished_when_final"),
    "queued for ever": ({"next_attempt_at": None}, "next_attempt_while_resting"),
    "unknown for ever": ({"status": "unknown", "next_attempt_at": None}, "next_attempt_while_resting"),
    "ended and due": (ENDED | {"status": "cancelled", "next_attempt_at": NOW}, "next_attempt_while_resting"),
    "failed without a reason": (ENDED | {"status": "failed"}, "failed_says_why"),
    "more than all": ({"progress": 101}, "progress_per_cent"),
    "no kind": ({"kind": ""}, "kind_and_target_named"),
    "no target type": ({"target_type": ""}, "kind_and_target_named"),
}


@pytest.mark.parametrize(("fields", "constraint"), WRONG.values(), ids=WRONG)
def test_the_database_refuses(enqueue, fields, constraint):
    operation = enqueue()

    with pytest.raises(IntegrityError, match=f"operations_operation_{constraint}"), transaction.atomic():
        Operation.objects.filter(id=operation.id).update(**fields)


RIGHT = {
    "running": LEASED,
    "waiting for a time": {"status": "waiting"},
    "waiting for a person": {"status": "waiting", "next_attempt_at": None},
    "failed": ENDED | {"status": "failed", "error": {"code": "x"}},
    "unknown": {"status": "unknown"},
}


@pytest.mark.parametrize("fields", RIGHT.values(), ids=RIGHT)
def test_the_database_accepts(enqueue, fields):
    operation = enqueue()

    assert Operation.objects.filter(id=operation.id).update(**fields) == 1


def test_due_is_what_rests_until_now_or_runs_on_a_lease_run_out(enqueue):
    due = enqueue(now=at(-1))
    enqueue(now=at(1))
    abandoned = enqueue(now=at(-9))
    Operation.objects.filter(id=abandoned.id).update(**LEASED | {"lease_expires_at": NOW})
    alive = enqueue(now=at(-9))
    Operation.objects.filter(id=alive.id).update(**LEASED)
    ended = enqueue(now=at(-9))
    Operation.objects.filter(id=ended.id).update(**ENDED | {"status": "succeeded"})

    assert list(Operation.objects.due(NOW)) == [due, abandoned]
