import socket

import pytest
from django.db import OperationalError
from django.test import override_settings

from forge.console import health
from forge.db.partitions import Report
from tests.audit.support import SIGNING_KEY


@pytest.fixture
def seals_set_up(settings, tmp_path):
    settings.FORGE_AUDIT_SIGNING_KEY = SIGNING_KEY
    settings.FORGE_AUDIT_SINKS = [f"directory:{tmp_path}"]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/readyz", "/readyz/"])
def test_a_sound_installation_is_ready(client, seals_set_up, settings, address):
    settings.FORGE_ARCHIVE = "directory:/srv/forge-archive"  # others' tests leave old months
    answer = client.get(address)
    assert answer.status_code == 200, answer.json()
    document = answer.json()
    assert document["status"] == "ok"
    assert {"database", "migrations", "partitions", "redis", "retention", "seals"} <= set(document["checks"])
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_without_redis_it_is_degraded_and_still_ready(client):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with override_settings(REDIS_URL=f"redis://127.0.0.1:{unused.getsockname()[1]}/0"):
            answer = client.get("/readyz/")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["redis"]["status"] == "degraded"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("report", "status", "code"),
    [
        (Report("audit_auditlog", 0, None, None, 0, ("2026-11 has no partition",)), "failed", 503),
        (Report("audit_auditlog", 3, None, None, 2, ()), "degraded", 200),
    ],
)
def test_a_missing_month_fails_and_too_few_months_ahead_degrade(client, monkeypatch, report, status, code):
    monkeypatch.setattr(health.partitions, "check", lambda now, using: [report])
    answer = client.get("/readyz/")
    assert answer.status_code == code
    assert answer.json()["checks"]["partitions"]["status"] == status


def test_a_lost_database_is_told_by_readyz_and_does_not_touch_healthz(client, monkeypatch, db):
    def lost():
        raise OperationalError("password and host")

    monkeypatch.setitem(health.CHECKS, "database", lost)
    answer = client.get("/readyz/")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks.pop("database") == {"status": "failed", "detail": "OperationalError"}
    assert checks.pop("redis")["status"] == "ok"
    assert checks.keys() == health.CHECKS.keys() - {"database", "redis"}
    assert all(one == {"status": "failed", "detail": "not asked"} for one in checks.values())


def test_healthz_asks_nothing_of_anybody(client):
    assert client.get("/healthz").json() == {"status": "ok"}
