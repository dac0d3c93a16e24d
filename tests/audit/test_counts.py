"""A flood of refused sign-ins leaves two entries a minute and not thousands."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from audit import capture, sweeps
from forge.api.models import DenialCount
from tests.audit.support import TEAMS, client_of
from tests.factories import MembershipFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.audit.urls"),
    pytest.mark.usefixtures("without_whitenoise", "within_one_minute"),
]


@pytest.fixture
def within_one_minute(monkeypatch):
    """However long the requests of a test take, they come in the minute in which it began."""
    began = timezone.now()
    monkeypatch.setattr(capture, "timezone", SimpleNamespace(now=lambda: began))


def test_the_first_401_of_a_minute_leaves_its_entry_and_the_rest_are_counted(user, seen):
    now = timezone.now()
    client_of(user)
    prefix = user.api_tokens.get().prefix
    seen()
    for method in ("get", "post", "get"):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer forge_{prefix}_not-the-secret")
        assert getattr(client, method)(TEAMS).status_code == 401
    assert APIClient().get(TEAMS).status_code == 401

    first, other = seen()
    assert [(row.action_type, row.result) for row in (first, other)] == [("AUTH_FAILED", "DENIED")] * 2
    assert "not-the-secret" not in first.content
    assert sum(DenialCount.objects.values_list("count", flat=True)) == 4

    assert sweeps.close_denial_counts(now=now + timedelta(minutes=2)) == {"entries": 1, "answers": 2}
    (closing,) = seen()
    assert (closing.action_type, closing.result, closing.actor_kind) == ("AUTH_FAILED", "DENIED", "JOB")
    assert (closing.context["count"], closing.context["credential_prefix"]) == (2, prefix)
    assert closing.context["job"] == "close_denial_counts"
    assert closing.source_ip == "127.0.0.1"
    assert sweeps.close_denial_counts(now=now + timedelta(minutes=2)) == {"entries": 0, "answers": 0}
    assert not DenialCount.objects.exists()


def test_a_chunk_of_single_answers_does_not_end_the_sweep(monkeypatch, seen):
    monkeypatch.setattr(sweeps, "CHUNK", 2)
    now = timezone.now()
    for number, count in enumerate((1, 1, 1, 3)):
        DenialCount.objects.create(
            source_ip=f"192.0.2.{number}", credential_prefix="", status=401, minute=now, count=count, last_at=now
        )
    assert sweeps.close_denial_counts(now=now + timedelta(minutes=2)) == {"entries": 1, "answers": 2}
    assert not DenialCount.objects.exists()
    (closing,) = seen()
    assert (closing.source_ip, closing.context["count"]) == ("192.0.2.3", 2)


def test_invented_prefixes_share_one_count_however_many_there_are(seen):
    for number in range(20):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer forge_{'abcdefghjkmnpqrstuvwxyz'[number] * 12}_secret")
        assert client.get(TEAMS).status_code == 401
    assert len(seen()) == 1
    assert list(DenialCount.objects.values_list("credential_prefix", "count")) == [("", 20)]


def test_failed_sign_ins_are_counted_by_person_and_together_for_nobody(seen):
    ann, bob = (MembershipFactory(role="admin", team=None).user for _ in range(2))
    browser = APIClient(raise_request_exception=False)
    for name in (ann.email, ann.email, bob.email, "nobody@example.com", "somebody@example.com", ""):
        form = {"username": name, "password": "wrong"}
        assert browser.post("/admin/login/", form, format="multipart").status_code == 200
    rows = seen()
    assert [(row.action_type, row.result) for row in rows] == [("AUTH_FAILED", "DENIED")] * 3
    assert [row.personal["context.identifier"] for row in rows] == [ann.email, bob.email, "nobody@example.com"]
    counts = dict(DenialCount.objects.values_list("credential_prefix", "count"))
    assert counts == {ann.pk.hex: 2, bob.pk.hex: 1, "": 3}
    assert sweeps.close_denial_counts(now=timezone.now() + timedelta(minutes=2)) == {"entries": 2, "answers": 3}


def test_429_is_counted_apart(user, seen):
    client = client_of(user)
    seen()
    for _ in range(3):
        assert client.post(TEAMS, {"slug": "a", "fail": "too_many"}).status_code == 429
    assert [row.action_type for row in seen()] == ["RATE_LIMITED"]


@pytest.mark.parametrize(
    ("method", "path", "answered", "status", "action", "result"),
    [
        ("post", "/nosuch/", 404, 404, "OTHER", "FAILURE"),
        ("post", "/account/password/sent/", 405, 405, "OTHER", "FAILURE"),
        ("post", "/account/password/choose/", 302, 403, "ACCESS_DENIED", "DENIED"),
    ],
)
@pytest.mark.urls("forge.urls")
def test_nobody_without_an_account_fills_the_log(seen, settings, method, path, answered, status, action, result):
    settings.FORGE_RATE_PASSWORD_RESET = ""
    with_no_credential = APIClient()
    for address in ("198.51.100.1", "198.51.100.2"):
        for _ in range(5):
            assert getattr(with_no_credential, method)(path, REMOTE_ADDR=address).status_code == answered
    first, other = seen()
    assert (first.result, first.actor_kind, first.context["status"]) == (result, "ANONYMOUS", status)
    assert {first.source_ip, other.source_ip} == {"198.51.100.1", "198.51.100.2"}

    later = timezone.now() + timedelta(minutes=2)
    assert sweeps.close_denial_counts(now=later) == {"entries": 2, "answers": 8}
    for closing in seen():
        assert (closing.action_type, closing.result, closing.actor_kind) == (action, result, "JOB")
        assert (closing.context["count"], closing.context["status"]) == (4, status)
        assert closing.context["credential_prefix"] is None
    assert not DenialCount.objects.exists()


@pytest.mark.urls("forge.urls")
def test_other_refusals_of_nobody_do_not_hide_a_failed_sign_in_nor_those_of_a_person(user, seen):
    nobody, person = APIClient(), client_of(user)
    person.force_login(user)
    seen()
    for path in ("/nosuch/", "/nosuch/"):
        assert nobody.post(path).status_code == 404
        assert person.post(path).status_code == 404
    nobody.credentials(HTTP_AUTHORIZATION="Bearer forge_invented_secret")
    assert nobody.get("/api/v1/teams/").status_code == 401
    kinds = [(row.action_type, row.actor_kind) for row in seen()]
    assert sorted(kinds) == [("AUTH_FAILED", "ANONYMOUS"), ("OTHER", "ANONYMOUS"), ("OTHER", "USER"), ("OTHER", "USER")]
