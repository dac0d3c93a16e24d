import socket

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from forge.api import throttles
from tests.forge.api.support import Person

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
    assert 0 < counter._redis.ttl(f"forge:rate:user:ann:{window}") <= 61


@pytest.mark.parametrize("text", ["100", "100/fortnight", "0/minute", "-1/minute", "many/minute", "1 / minute"])
def test_a_rate_that_cannot_be_read_explains_itself(text):
    with pytest.raises(ImproperlyConfigured, match="100/minute"):
        throttles.Rate.parse(text)
