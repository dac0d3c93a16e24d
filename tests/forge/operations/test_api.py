import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from forge.db.ids import uuid7
from forge.operations import claims
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.forge.operations.support import NOW, OWNER, TEAM, Person, at

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.forge.operations.urls")]
Status = Operation.Status
LIST = "/api/v1/operations/"


def client_of(**fields):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(Person(**fields))
    return client


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def client(handler):
    return client_of(id=OWNER)


def fail(operation):
    Operation.objects.filter(id=operation.id).update(
        status=Status.FAILED,
        finished_at=NOW,
        next_attempt_at=None,
        error={
            "code": "no_capacity",
            "detail": "None left.",
            "at": NOW.isoformat(),
            "attempt": 1,
            "internal": "secret",
        },
    )


def test_the_detail_tells_all_about_the_work(enqueue, client):
    operation = enqueue(deadline_at=at(300))
    claim = claims.take(now=at(2))
    claim.step("look", {"found": None}, progress=20)
    with transaction.atomic():
        claim.wait(at(12))

    body = client.get(f"{LIST}{operation.id}/").json()

    assert body["kind"] == "test.work"
    assert body["target"] == {"type": "workspace", "id": str(operation.target_id)}
    assert (body["status"], body["progress"], body["attempts"], body["error"]) == ("waiting", 20, 1, None)
    [step] = body["steps"]
    assert (step["name"], step["times"], step["detail"]) == ("look", 1, {"found": None})
    assert (body["queued_seconds"], body["deadline_at"]) == (2.0, "2026-03-02T09:05:00Z")
    assert (body["cancellable"], body["cancel_requested"]) == (True, False)
    assert body["heartbeat_at"] == "2026-03-02T09:00:02Z"


def test_a_finished_operation_stands_against_its_promise(enqueue, client):
    operation = enqueue(deadline_at=at(300))
    run_one(operation.id, now=at(301))

    body = client.get(f"{LIST}{operation.id}").json()

    assert (body["status"], body["late"], body["result"]) == ("succeeded", True, {"done_by": 1})
    assert (body["duration_seconds"], body["queued_seconds"], body["running_seconds"]) == (301.0, 301.0, 0.0)


def test_what_is_for_the_people_on_call_is_not_shown(enqueue, client):
    operation = enqueue()
    fail(operation)

    error = client.get(f"{LIST}{operation.id}/").json()["error"]

    assert error == {"code": "no_capacity", "detail": "None left.", "at": NOW.isoformat(), "attempt": 1}


def test_the_list_is_newest_first_and_costs_one_query(enqueue, client, handler):
    made = [enqueue(now=at(second)) for second in range(5)]
    enqueue(actor_id=uuid7(), owner_id=uuid7())

    with CaptureQueriesContext(connection) as queries:
        body = client.get(LIST, {"page_size": 3}).json()
    assert len([query for query in queries if "operations_operation" in query["sql"]]) == 1
    following = client.get(body["next"]).json()

    assert [row["id"] for row in body["results"] + following["results"]] == [str(row.id) for row in reversed(made)]


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"status": "queued"}, 2),
        ({"status__in": "failed,succeeded"}, 1),
        ({"open": "true"}, 2),
        ({"open": "false"}, 1),
        ({"late": "true"}, 1),
        ({"late": "false"}, 2),
        ({"kind": "test.work", "team_id": str(TEAM), "created_at__gte": NOW.isoformat()}, 3),
        ({"created_at__gt": NOW.isoformat()}, 0),
    ],
    ids=str,
)
def test_lists_are_filtered(enqueue, client, parameters, count):
    enqueue()
    enqueue(deadline_at=at(300))
    fail(enqueue(deadline_at=at(300)))

    assert len(client.get(LIST, parameters).json()["results"]) == count


@pytest.mark.parametrize(
    "parameters", [{"state": "queued"}, {"status": "lost"}, {"owner_id": "me"}, {"late": "maybe"}], ids=str
)
def test_an_unknown_filter_or_value_is_refused(client, parameters):
    assert client.get(LIST, parameters).status_code == 400


def test_anothers_operation_is_not_there(enqueue):
    operation = enqueue()
    stranger = client_of()

    assert stranger.get(f"{LIST}{operation.id}/").status_code == 404
    assert stranger.post(f"{LIST}{operation.id}/cancel/").status_code == 404
    assert client_of(organization_id=uuid7(), roles=("admin",)).get(f"{LIST}{operation.id}/").status_code == 404
    assert stranger.get(f"{LIST}no-such-id/").status_code == 404


def test_an_auditor_looks_and_may_not_cancel(enqueue):
    operation = enqueue()
    auditor = client_of(roles=("auditor",))

    assert auditor.get(f"{LIST}{operation.id}/").status_code == 200
    answer = auditor.post(f"{LIST}{operation.id}/cancel/")

    assert (answer.status_code, answer.json()["code"]) == (403, "not_your_operation")


def test_what_is_queued_is_cancelled_with_200(enqueue, client, handler):
    operation = enqueue()

    answer = client.post(f"{LIST}{operation.id}/cancel/")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    [name, actor] = handler.calls[-1]
    assert (name, actor.user_id) == ("cancel", OWNER)
    again = client.post(f"{LIST}{operation.id}/cancel/")
    assert (again.status_code, again.json()["code"]) == (409, "operation_finished")
    assert again.json()["operation_status"] == "cancelled"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_the_same_key_calls_off_or_asks_again_once(enqueue, client, handler, verb):
    operation = enqueue()
    if verb == "retry":
        fail(operation)

    first, again = (client.post(f"{LIST}{operation.id}/{verb}/", HTTP_IDEMPOTENCY_KEY="a") for _ in range(2))

    assert first.status_code == again.status_code == (200 if verb == "cancel" else 202)
    assert (first.content, first.get("Location")) == (again.content, again.get("Location"))
    assert again["Idempotency-Replayed"] == "true"
    assert [name for name, _ in handler.calls].count(verb) == 1


def test_what_runs_is_asked_to_stop_with_202(enqueue, client):
    operation = enqueue()
    claims.take()

    answer = client.post(f"{LIST}{operation.id}/cancel")

    assert answer.status_code == 202
    assert answer["Location"] == f"{LIST}{operation.id}/"
    assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("running", True)


def test_past_the_point_of_no_return_cancel_is_409(enqueue, client):
    operation = enqueue()
    claims.take().point_of_no_return()

    answer = client.post(f"{LIST}{operation.id}/cancel/")

    assert (answer.status_code, answer.json()["code"]) == (409, "operation_not_cancellable")
    assert answer.json()["operation_status"] == "running"


def test_what_failed_is_retried_with_202(enqueue, client):
    operation = enqueue()
    refused = client.post(f"{LIST}{operation.id}/retry/")
    assert (refused.status_code, refused.json()["code"]) == (409, "operation_not_retryable")
    fail(operation)

    answer = client.post(f"{LIST}{operation.id}/retry/")

    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "post"])
def test_operations_are_not_written_by_hand(enqueue, client, method):
    operation = enqueue()

    assert getattr(client, method)(f"{LIST}{operation.id}/", {"status": "succeeded"}).status_code == 405
    assert client.post(LIST, {}).status_code == 405
