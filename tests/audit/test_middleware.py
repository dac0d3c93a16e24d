"""Every request leaves exactly the entry that it owes, and its receipt, before its answer leaves."""

import uuid

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from audit.receipts import Receipt
from audit.verification.rows import verify
from forge.accounts.models import Team
from forge.api.models import DenialCount
from tests.audit.support import TEAMS, client_of
from tests.factories import PASSWORD, MembershipFactory, TeamFactory, UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.audit.urls"),
    pytest.mark.usefixtures("without_whitenoise"),
]


@pytest.fixture
def client(user):
    return client_of(user)


@pytest.fixture
def only(seen, client):
    """The one entry that came since the client was made or since it was last asked for."""
    seen()

    def one():
        rows = seen()
        assert len(rows) == 1, [str(row) for row in rows]
        return rows[0]

    return one


def test_a_change_leaves_its_services_entry_and_its_receipt(client, user, only):
    response = client.post(TEAMS, {"slug": "ops"}, HTTP_X_REQUEST_ID=str(uuid.UUID(int=7)))
    row = only()
    assert response.status_code == 201
    assert (row.action_type, row.result, row.resource_id) == ("TEAM_CREATE", "SUCCESS", response.json()["id"])
    assert (row.user_id, row.organization_id, row.interface) == (user.id, user.organization_id, "API")
    assert row.correlation_id == uuid.UUID(int=7)
    assert Receipt.parse(response["Audit-Receipt"]) == row.receipt


@pytest.mark.parametrize(
    ("fail", "status", "result"),
    [
        ("denied", 403, "DENIED"),
        ("refused", 422, "DENIED"),
        ("conflict", 409, "FAILURE"),
        ("crash", 500, "FAILURE"),
    ],
)
def test_a_failure_leaves_one_entry_after_the_roll_back(client, user, only, fail, status, result):
    response = client.post(TEAMS, {"slug": "ops", "fail": fail})
    row = only()
    assert response.status_code == status
    assert not Team.objects.filter(slug="ops").exists()
    assert (row.action_type, row.result, row.resource_type) == ("TEAM_CREATE", result, "Team")
    assert (row.user_id, row.user_email) == (user.id, user.email)
    assert (row.context["method"], row.context["view"], row.context["status"]) == ("POST", "team-list", status)
    assert row.context["code"] == response.json()["code"]
    assert row.context["request_id"] == response["X-Request-ID"]
    assert Receipt.parse(response["Audit-Receipt"]) == row.receipt


def test_a_malformed_body_and_a_wrong_type_are_failures(client, only):
    assert client.post(TEAMS, {"slug": "not a slug"}).status_code == 400
    assert only().result == "FAILURE"
    assert client.post(TEAMS, "<x/>", content_type="text/xml").status_code == 415
    assert only().context["code"] == "unsupported_media_type"


def test_an_unknown_address_is_a_failure_that_repeats_nothing_of_it(client, only):
    client.post("/api/v1/members/ann@example.com/")
    row = only()
    assert (row.result, row.action_type, row.resource_id) == ("FAILURE", "OTHER", "")
    assert "example.com" not in row.content


@pytest.mark.parametrize("path", [TEAMS, "/admin/forms/", "/nowhere/"])
def test_a_foreign_host_is_a_failure_that_leaves_its_entry(client, only, settings, path):
    settings.ALLOWED_HOSTS = ["forge.example"]
    assert client.post(path, {"slug": "ops"}, HTTP_HOST="evil.example").status_code == 400
    row = only()
    assert (row.result, row.actor_kind, row.context["status"]) == ("FAILURE", "ANONYMOUS", 400)
    assert "evil.example" not in row.content


def test_another_organizations_row_is_answered_404_and_recorded_as_denied(client, only):
    foreign = TeamFactory()
    for method, action_type in (("delete", "TEAM_CREATE"), ("get", "ACCESS_DENIED")):
        response = getattr(client, method)(f"{TEAMS}{foreign.id}/")
        row = only()
        assert response.status_code == 404
        assert (row.result, row.action_type) == ("DENIED", action_type)
        assert (row.resource_type, row.resource_id) == ("Team", str(foreign.id))


def test_a_row_that_does_not_exist_is_a_failure_and_to_read_it_is_nothing(client, only, seen):
    client.delete(f"{TEAMS}{uuid.uuid4()}/")
    assert only().result == "FAILURE"
    client.get(f"{TEAMS}{uuid.uuid4()}/")
    assert seen() == []


def test_reading_leaves_nothing(client, only, seen):
    assert client.get(TEAMS).status_code == 200
    assert client.options(TEAMS).status_code == 200
    assert "Audit-Receipt" not in client.get(TEAMS)
    assert seen() == []


def test_a_view_that_forgot_its_entry_is_recorded_all_the_same(client, only):
    response = client.post(f"{TEAMS}forget/", {})
    row = only()
    assert (row.action_type, row.result, row.context["view"]) == ("OTHER", "SUCCESS", "team-forget")
    assert Receipt.parse(response["Audit-Receipt"]) == row.receipt


def test_a_consequence_that_stays_is_not_the_entry_of_the_refusal(client, seen):
    seen()
    assert client.post(f"{TEAMS}twice/", {}).status_code == 422
    assert [(row.result, row.action_description) for row in seen()] == [
        ("SUCCESS", "Adopted something"),
        ("DENIED", "POST team-twice was answered 422 no_room"),
    ]


def test_what_changes_nothing_counts_as_reading(client, only, seen):
    assert client.post(f"{TEAMS}quote/", {"slug": "a"}).status_code == 200
    assert client.post(f"{TEAMS}quote/", {"slug": "not a slug"}).status_code == 400
    assert seen() == []
    assert client.post(f"{TEAMS}quote/", {"slug": "a", "fail": "denied"}).status_code == 403
    assert only().result == "DENIED"


def test_dry_runs_leave_nothing_where_they_are_taken(client, only, seen):
    assert client.post(f"{TEAMS}?dry_run=true", {"slug": "a"}).status_code == 200
    assert client.post(f"{TEAMS}?dry_run=true", {"slug": "not a slug"}).status_code == 400
    assert seen() == []
    assert client.post(f"{TEAMS}forget/?dry_run=true", {}).status_code == 400
    assert only().result == "FAILURE"


def test_a_replay_leaves_nothing_and_repeats_the_receipt(client, only, seen):
    first = client.post(TEAMS, {"slug": "ops"}, HTTP_IDEMPOTENCY_KEY="k")
    row = only()
    again = client.post(TEAMS, {"slug": "ops"}, HTTP_IDEMPOTENCY_KEY="k")
    assert seen() == []
    assert again["Idempotency-Replayed"] == "true"
    assert again["Audit-Receipt"] == first["Audit-Receipt"] == str(row.receipt)


def test_a_kept_refusal_has_one_entry_that_commits_with_it(client, only, seen):
    first = client.post(TEAMS, {"slug": "ops", "fail": "refused"}, HTTP_IDEMPOTENCY_KEY="k")
    row = only()
    assert first.status_code == 422
    assert (row.result, row.action_type, row.context["code"]) == ("DENIED", "TEAM_CREATE", "no_room")
    again = client.post(TEAMS, {"slug": "ops", "fail": "refused"}, HTTP_IDEMPOTENCY_KEY="k")
    assert again.status_code == 422
    assert again["Audit-Receipt"] == first["Audit-Receipt"] == str(row.receipt)
    assert seen() == []


def test_a_key_that_is_used_for_another_body_is_denied(client, only):
    client.post(TEAMS, {"slug": "ops"}, HTTP_IDEMPOTENCY_KEY="k")
    only()
    assert client.post(TEAMS, {"slug": "other"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 422
    assert only().context["code"] == "idempotency_key_reused"


def test_anybody_may_do_what_is_open_and_is_recorded_as_nobody(seen):
    assert APIClient().post("/api/v1/open/", {}, REMOTE_ADDR="198.51.100.9").status_code == 200
    (row,) = seen()
    assert (row.actor_kind, row.user_id, row.source_ip, row.interface) == ("ANONYMOUS", None, "198.51.100.9", "API")


def test_a_token_that_may_only_read_is_denied(user, seen):
    client = client_of(user, scopes=("read",))
    seen()
    assert client.post(TEAMS, {"slug": "a"}).status_code == 403
    (row,) = seen()
    assert (row.result, row.user_id, row.organization_id) == ("DENIED", user.id, user.organization_id)
    assert row.credential_id is not None


def test_a_token_that_may_only_write_does_not_read_and_one_that_may_only_read_asks_for_quotes(user, seen):
    quote = {"slug": "a"}
    reads, writes = client_of(user, scopes=("read",)), client_of(user, scopes=("write",))
    seen()
    assert (reads.get(TEAMS).status_code, writes.get(TEAMS).status_code) == (200, 403)
    assert reads.post(f"{TEAMS}quote/", quote).status_code == 200
    assert writes.post(f"{TEAMS}quote/", quote).status_code == 403
    assert [(row.result, row.user_id) for row in seen()] == [("DENIED", user.id)] * 2
    assert (reads.post(TEAMS, quote).status_code, writes.post(TEAMS, quote).status_code) == (403, 201)


def test_a_request_without_csrf_proof_is_denied(user, seen):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    seen()
    assert client.post(TEAMS, {"slug": "a"}).status_code == 403
    assert client.post("/admin/forms/", {"valid": "1"}).status_code == 403
    rows = seen()
    assert [(row.result, row.interface) for row in rows] == [("DENIED", "PORTAL"), ("DENIED", "ADMIN")]
    assert {row.user_id for row in rows} == {user.id}
    assert rows[0].context["code"] == "csrf_failed"


def test_a_form_of_the_console_that_is_shown_again_is_a_failure(user, seen):
    client = APIClient(raise_request_exception=False)
    client.force_login(user)
    seen()
    client.post("/admin/forms/", {})
    client.post("/admin/forms/", {"valid": "1"}, format="multipart")
    assert [(row.result, row.interface) for row in seen()] == [("FAILURE", "ADMIN"), ("SUCCESS", "ADMIN")]


@pytest.fixture
def no_log(superuser):
    """The log cannot be written while the test runs."""
    superuser("ALTER TABLE audit_auditlane RENAME TO away")
    yield
    superuser("ALTER TABLE away RENAME TO audit_auditlane")


@pytest.mark.parametrize(
    "body",
    [{"slug": "ops"}, {"slug": "ops", "fail": "refused"}, {"slug": "not a slug"}, {"slug": "ops", "fail": "crash"}],
)
def test_without_a_log_nothing_is_changed_and_the_answer_is_503(client, no_log, body):
    response = client.post(TEAMS, body)
    assert response.status_code == 503
    assert response.json()["code"] == "audit_unavailable"
    assert response["Retry-After"] == "5"
    assert not Team.objects.filter(slug="ops").exists()


def test_without_a_log_reading_goes_on_but_a_denial_is_503(client, no_log):
    assert client.get(TEAMS).status_code == 200
    assert client.get(f"{TEAMS}{TeamFactory().id}/").status_code == 503
    assert APIClient().get(TEAMS).status_code == 503


def test_without_a_log_nobody_signs_in(user, no_log):
    client = APIClient(raise_request_exception=False)
    response = client.post("/admin/login/", {"username": user.email, "password": PASSWORD}, format="multipart")
    assert response.status_code == 503
    assert "sessionid" not in response.cookies


def test_entries_inside_an_open_transaction_count_as_left(user, seen):
    """As in tests that wrap each request into a transaction which never commits."""
    client = client_of(user)
    seen()
    with transaction.atomic():
        response = client.post(TEAMS, {"slug": "ops"})
        assert len(seen()) == 1
        assert response["Audit-Receipt"]


def test_signing_in_and_out_and_failing_to(seen):
    user = MembershipFactory(role="admin", team=None).user
    client = APIClient(raise_request_exception=False)

    client.post("/admin/login/", {"username": user.email, "password": PASSWORD}, format="multipart")
    (row,) = seen()
    assert (row.action_type, row.result, row.user_id, row.interface) == ("AUTH_LOGIN", "SUCCESS", user.id, "ADMIN")
    assert row.organization_id == user.organization_id

    client.post("/admin/logout/")
    (row,) = seen()
    assert (row.action_type, row.user_id) == ("AUTH_LOGOUT", user.id)

    client.post("/admin/login/", {"username": user.email, "password": "wrong"}, format="multipart")
    (row,) = seen()
    assert (row.action_type, row.result, row.actor_kind) == ("AUTH_FAILED", "DENIED", "ANONYMOUS")
    assert row.personal == {"context.identifier": user.email}
    assert user.email not in row.content
    DenialCount.objects.all().delete()

    client.post("/admin/login/", {"username": "my-password", "password": "x"}, format="multipart")
    (row,) = seen()
    assert (row.action_type, row.personal) == ("AUTH_FAILED", {})
    assert "my-password" not in row.content
    DenialCount.objects.all().delete()

    client.post("/admin/login/", {}, format="multipart")
    (row,) = seen()
    assert (row.action_type, row.result) == ("AUTH_FAILED", "DENIED")
    assert verify().is_intact


def test_signing_out_without_having_signed_in_leaves_one_entry(seen):
    APIClient(raise_request_exception=False).post("/admin/logout/")
    assert len(seen()) == 1


def test_one_request_writes_its_missing_entry_over_its_own_connection(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(9, connection=connection):
        client.post(f"{TEAMS}forget/", {})


def test_a_person_without_a_role_is_named_all_the_same(seen):
    user = UserFactory()
    client = client_of(user, interface="LUCY")
    seen()
    client.post(f"{TEAMS}forget/", {})
    (row,) = seen()
    assert (row.user_id, row.interface) == (user.id, "LUCY")
