import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from forge.accounts.models import User
from forge.operations import claims
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.forge.operations.support import NOW, Person, at

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
Status = Operation.Status
LIST = "/admin/operations/operation/"

urlpatterns = [path("admin/", admin.site.urls), path("api/v1/", include("forge.operations.api.urls"))]


@pytest.fixture
def operator(client, settings, handler):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]
    client.force_login(User.objects.create(email="op@example.com", full_name="Op Erator"))
    return client


def test_the_list_shows_what_is_going_on_without_counting(enqueue, operator):
    for second in range(3):
        enqueue(now=at(second))

    with CaptureQueriesContext(connection) as queries:
        answer = operator.get(LIST)
        asked = [query["sql"] for query in queries if '"operations_operation"' in query["sql"]]

    assert answer.status_code == 200
    assert "test.work" in answer.content.decode()
    assert len(asked) == 1
    assert "COUNT(" not in asked[0]


def test_the_list_is_searched_by_a_whole_id(enqueue, operator):
    operation, other = enqueue(), enqueue()

    shown = operator.get(LIST, {"q": str(operation.target_id)}).content.decode()

    assert str(operation.id) in shown
    assert str(other.id) not in shown


@pytest.mark.parametrize(
    ("parameters", "count"), [({"kind": "test.work"}, 3), ({"open": "yes"}, 2), ({"open": "no"}, 1)]
)
def test_the_list_is_filtered(enqueue, operator, parameters, count):
    for _ in range(3):
        enqueue()
    run_one(now=NOW)

    assert len(operator.get(LIST, parameters).context["cl"].result_list) == count


def test_a_search_for_half_an_id_finds_nothing_and_breaks_nothing(enqueue, operator):
    enqueue()

    assert operator.get(LIST, {"q": "01-no-uuid"}).status_code == 200


def test_the_detail_shows_steps_and_what_the_fault_said_to_operators_only(enqueue, operator):
    operation = enqueue()
    claims.take(now=NOW).step("<look>", {"found": None})
    Operation.objects.filter(id=operation.id).update(
        error={"code": "x", "detail": "Broken.", "at": NOW.isoformat(), "attempt": 1, "internal": "KeyError: wsb"}
    )

    shown = operator.get(f"{LIST}{operation.id}/change/").content.decode()

    assert "&lt;look&gt;" in shown
    assert "x: Broken." in shown
    assert "KeyError: wsb" in shown
    request = RequestFactory().get(LIST)
    request.user = Person(roles=("team_lead",))
    fields = [
        field
        for _, options in admin.site.get_model_admin(Operation).get_fieldsets(request, operation)
        for field in options["fields"]
    ]
    assert "fault" in fields
    assert "internal" not in fields


def test_a_button_cancels_what_is_queued(enqueue, operator, handler):
    operation = enqueue()

    assert operator.get(f"{LIST}{operation.id}/do/cancel/").status_code == 200
    answer = operator.post(f"{LIST}{operation.id}/do/cancel/", follow=True)

    assert "Cancelled." in answer.content.decode()
    operation.refresh_from_db()
    assert operation.status == Status.CANCELLED


def test_a_button_asks_what_runs_to_stop(enqueue, operator):
    operation = enqueue()
    claims.take()

    answer = operator.post(f"{LIST}{operation.id}/do/cancel/", follow=True)

    assert "stops at the next step" in answer.content.decode()
    operation.refresh_from_db()
    assert operation.cancel_requested_at is not None


def test_a_button_retries_what_is_unknown(enqueue, operator):
    operation = enqueue()
    Operation.objects.filter(id=operation.id).update(status=Status.UNKNOWN)

    operator.post(f"{LIST}{operation.id}/do/retry/")

    operation.refresh_from_db()
    assert operation.status == Status.QUEUED


def test_buttons_appear_only_where_they_are_legal(enqueue):
    operation = enqueue()
    own, lead = Person(id=operation.owner_id), Person()

    def legal(user):
        return [
            button.name for button in admin.site.get_model_admin(Operation).buttons if button.legal(user, operation)
        ]

    assert legal(own) == ["cancel"]
    assert legal(lead) == []
    operation.cancellable = False
    assert legal(own) == []
    operation.status = Status.UNKNOWN
    assert legal(own) == ["retry"]
    operation.status = Status.SUCCEEDED
    assert legal(own) == []


@pytest.mark.parametrize("action", ["add/", "{id}/delete/"])
def test_nothing_is_written_by_hand(enqueue, operator, action):
    operation = enqueue()

    assert operator.post(LIST + action.format(id=operation.id), {"status": "succeeded"}).status_code == 403
