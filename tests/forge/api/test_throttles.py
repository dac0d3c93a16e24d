import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from forge.api import throttles
from tests.forge.api.support import Person, Token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_window_of_its_own(monkeypatch, request):
    """Each test counts in a window that no other test and no real clock touches."""
    now = abs(hash(request.node.nodeid)) % 10**12 * 60.0
    monkeypatch.setattr(throttles.time, "time", lambda: now + 20)


def test_rates_that_are_not_set_are_no_limit(client):
    answer = client.get("/api/v1/runs/")
    assert answer.status_code == 200
    assert "RateLimit-Limit" not in answer.headers


@override_settings(FORGE_RATE_USER="3/minute")
def test_the_fourth_request_of_three_a_minute_waits(make_client):
    ann, bob = make_client("ann"), make_client("bob")
    left = [ann.get("/api/v1/runs/").headers["RateLimit-Remaining"] for _ in range(3)]
    refused = ann.get("/api/v1/runs/")

    assert left == ["2", "1", "0"]
    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_requests"
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "40"
    assert refused.headers["RateLimit-Limit"] == "3"
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert bob.get("/api/v1/runs/").status_code == 200


@override_settings(FORGE_RATE_USER="3/minute")
def test_the_next_window_begins_anew(client, monkeypatch):
    for _ in range(4):
        client.get("/api/v1/runs/")
    now = throttles.time.time()
    monkeypatch.setattr(throttles.time, "time", lambda: now + 60)
    assert client.get("/api/v1/runs/").status_code == 200


@override_settings(FORGE_RATE_USER="100/minute", FORGE_RATE_TEAM="2/minute")
def test_a_team_shares_its_rate_and_the_tightest_rate_shows(make_client, monkeypatch):
    monkeypatch.setattr(Person, "team_ids", lambda self: ["red", self.pk])
    ann, bob = make_client("ann"), make_client("bob")
    assert ann.get("/api/v1/runs/").headers["RateLimit-Limit"] == "2"
    assert bob.get("/api/v1/runs/").headers["RateLimit-Remaining"] == "0"
    assert ann.get("/api/v1/runs/").status_code == 429


@override_settings(FORGE_RATE_USER="1/minute")
def test_without_redis_nothing_is_refused(client):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        with override_settings(REDIS_URL=url):
            assert [client.get("/api/v1/runs/").status_code for _ in range(3)] == [200, 200, 200]


def test_counters_leave_redis_by_themselves(client):
    with override_settings(FORGE_RATE_USER="5/minute"):
        client.get("/api/v1/runs/")
    counter = throttles.counter(settings.REDIS_URL)
    window = int(throttles.time.time() // 60)
    assert 0 < counter._redis.ttl(f"forge:rate:user:ann:60:{window}") <= 61


@pytest.mark.parametrize(
    ("setting", "shares"),
    [
        ("TOKEN", "this token"),
        ("USER", "this person"),
        ("ORGANIZATION", "the organization"),
        ("ALL", "everybody together"),
    ],
)
def test_each_rate_refuses_in_its_own_words(client, setting, shares):
    with override_settings(**{f"FORGE_RATE_{setting}": "2/hour"}):
        answers = [client.get("/api/v1/runs/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    problem = answers[-1].json()
    assert problem["detail"] == f"The 2 requests in 3600 s of {shares} are used up."
    assert (problem["limit"], problem["window_seconds"]) == (2, 3600)


@pytest.mark.parametrize(("setting", "status"), [("TOKEN", 200), ("USER", 200), ("ORGANIZATION", 200), ("ALL", 429)])
def test_only_what_is_shared_holds_for_somebody_else(make_client, monkeypatch, setting, status):
    monkeypatch.setattr(Person, "organization_id", property(lambda self: self.pk, lambda self, value: None))
    with override_settings(**{f"FORGE_RATE_{setting}": "1/minute"}):
        make_client("ann").get("/api/v1/runs/")
        assert make_client("bob").get("/api/v1/runs/").status_code == status


def test_through_lucy_a_rate_of_its_own_holds(make_client, monkeypatch):
    with override_settings(FORGE_RATE_LUCY="1/minute"):
        assert [make_client().get("/api/v1/runs/").status_code for _ in range(2)] == [200, 200]
        monkeypatch.setattr(Token, "interface", "LUCY")
        assert [make_client().get("/api/v1/runs/").status_code for _ in range(2)] == [200, 429]


@override_settings(FORGE_RATE_USER="1/minute", FORGE_RATE_TEAM="3/minute")
def test_who_asks_on_and_on_leaves_the_rate_of_the_team_alone(make_client, monkeypatch):
    monkeypatch.setattr(Person, "team_ids", lambda self: ["blue"])
    assert [make_client("ann").get("/api/v1/runs/").status_code for _ in range(6)] == [200] + [429] * 5
    assert make_client("bob").get("/api/v1/runs/").status_code == 200
    assert make_client("eve").get("/api/v1/runs/").status_code == 200
    assert make_client("mia").get("/api/v1/runs/").status_code == 429  # the team's third was the last


@override_settings(FORGE_RATE_USER="50/minute")
def test_requests_at_once_are_counted_one_by_one():
    bucket = throttles.Bucket("user:crowd", "this person", throttles.Rate.parse("50/minute"))
    counter = throttles.counter(settings.REDIS_URL)
    now = throttles.time.time()
    with ThreadPoolExecutor(16) as threads:
        hits = list(threads.map(lambda _: counter.hit([bucket], now)[0], range(200)))
    assert sorted(hits) == [*range(1, 51), *[51] * 150]


@pytest.mark.parametrize("text", ["100", "100/fortnight", "0/minute", "-1/minute", "many/minute", "1 / minute"])
def test_a_rate_that_cannot_be_read_explains_itself(text):
    with pytest.raises(ImproperlyConfigured, match="100/minute"):
        throttles.Rate.parse(text)
