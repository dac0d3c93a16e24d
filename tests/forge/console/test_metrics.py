"""`/metrics`: who reads it, and that it says what the database does."""

from datetime import timedelta

import pytest
import redis
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.services import AuditUnavailable
from forge.celery import app
from forge.console import health, metrics
from forge.db import jobs, partitions
from forge.db.ids import uuid7
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.schedule import BEAT_SCHEDULE, RHYTHMS
from tests.audit.support import SIGNING_KEY, leave
from tests.audit.test_verification import run_command
from tests.factories import UserFactory

TOKEN = "a-token-of-the-scraper"


@pytest.fixture
def token(settings):
    settings.FORGE_METRICS_TOKEN = TOKEN


@pytest.fixture
def admin_site_user():
    return UserFactory(organization=None)


def scrape(client, sent=TOKEN):
    return client.get("/metrics", headers={"authorization": f"Bearer {sent}"} if sent is not None else {})


def figures(client):
    """Each sample's value by name and labels."""
    answer = scrape(client)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.9"])
def test_without_the_setting_nobody_reads_it_not_even_this_machine(client, settings, address):
    settings.FORGE_METRICS_TOKEN = ""
    answer = client.get("/metrics", headers={"authorization": "Bearer "}, REMOTE_ADDR=address)
    assert answer.status_code == 404
    assert "FORGE_METRICS_TOKEN" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("sent", [None, "", "another", TOKEN[:-1], f"{TOKEN}x", "\u00e9"])
def test_another_token_or_none_reads_nothing_and_is_denied_in_the_log(client, token, sent):
    answer = scrape(client, sent)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert b"forge_" not in answer.content
    assert AuditLog.objects.get().result == "DENIED"


@pytest.mark.django_db
def test_it_is_read_only(client, token):
    assert client.post("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 405


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_it_says_how_the_log_stands(client, token, settings, tmp_path):
    settings.FORGE_AUDIT_SIGNING_KEY = SIGNING_KEY
    settings.FORGE_AUDIT_SINKS = [f"directory:{tmp_path}", "log:"]
    partitions.ensure_ahead(timezone.now(), 6)
    leave(4, lane=0)
    seal()
    assert ("forge_audit_verification_findings",) not in figures(client)
    assert run_command()[0] == 0
    leave(2, lane=3)
    (tmp_path / "gone").mkdir()
    settings.FORGE_AUDIT_SINKS = [f"directory:{tmp_path}/gone", "log:"]

    found = figures(client)

    assert found["forge_audit_tree_size",] == 4
    assert found["forge_audit_entries_waiting",] == 3  # two, and the entry of the verification
    assert found["forge_audit_sealing_lag_seconds",] >= 0
    assert found["forge_audit_lanes",] == 2
    assert found["forge_audit_checkpoints_unpublished", f"directory:{tmp_path}/gone"] == 1
    assert found["forge_audit_checkpoints_unpublished", "log:"] == 0
    assert found["forge_audit_verification_outcome", "intact"] == 1
    assert found["forge_audit_verification_outcome", "tampered"] == 0
    assert found["forge_audit_verification_findings",] == 0
    assert timezone.now().timestamp() - found["forge_audit_verification_intact_timestamp_seconds",] < 60
    assert found["forge_partition_months_ahead", "audit_auditlog"] == 6
    assert found["forge_partition_faults", "costs_costrecord"] == 0
    assert found["forge_costs_metering_lag_seconds",] == 0


@pytest.mark.django_db
def test_it_says_how_jobs_ended_and_when_they_last_succeeded(client, token):
    now = timezone.now()
    old = now - timedelta(hours=2)
    JobRun.objects.create(job="meter_costs", slot=old, started_at=old, finished_at=old, outcome="SUCCEEDED")
    JobRun.objects.create(job="meter_costs", slot=now, started_at=now, finished_at=now, outcome="FAILED")
    JobRun.objects.create(job="audit_verify", slot=now, started_at=now)
    found = figures(client)
    assert found["forge_job_last_outcome", "failed", "meter_costs"] == 1
    assert found["forge_job_last_outcome", "meter_costs", "succeeded"] == 0
    assert found["forge_job_last_success_timestamp_seconds", "meter_costs"] == pytest.approx(old.timestamp(), abs=1)
    assert ("forge_job_last_success_timestamp_seconds", "audit_verify") not in found


@pytest.mark.django_db
def test_without_a_database_it_says_so_and_what_processes_counted(client, token, monkeypatch):
    def lost():
        raise OperationalError("hunter2 and host")

    client.get("/healthz")
    assert figures(client)["forge_database_up",] == 1
    monkeypatch.setattr(metrics.seals, "status", lost)
    assert b"hunter2" not in scrape(client).content
    found = figures(client)
    assert found["forge_database_up",] == 0
    assert found["forge_http_requests_total", "/healthz/", "200", "GET"] >= 1
    assert ("forge_audit_tree_size",) not in found


@pytest.mark.django_db
def test_without_a_log_another_token_reads_nothing_either_and_is_told_so(client, token, monkeypatch):
    def fail(entry):
        raise AuditUnavailable

    monkeypatch.setattr("audit.middleware.append", fail)
    assert scrape(client, "another").status_code == 401
    assert client.get("/api/v1/me/").status_code == 503


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_tampered_log_degrades_readiness_and_is_on_the_system_page(client, admin_site_user, superuser_connection):
    leave(3, lane=0)
    assert health.check_verification().status == "ok"
    superuser_connection.execute("SET session_replication_role = replica")
    superuser_connection.execute("UPDATE audit_auditlog SET result = 'DENIED' WHERE lane_seq = 2")
    assert run_command()[0] == 1
    found = client.get("/readyz").json()["checks"]["verification"]
    assert (found["status"], "found tampering" in found["detail"]) == ("degraded", True)
    client.force_login(admin_site_user)
    for page in ("/admin/system/", "/admin/audit/auditlog/"):
        assert "TAMPERED at" in client.get(page).content.decode()
    listed = client.get("/admin/audit/auditverification/").content.decode()
    assert "TAMPERED" in listed


@pytest.mark.django_db
def test_it_says_how_long_jobs_have_not_succeeded_and_how_often_they_should(client, token):
    now = timezone.now()
    old = now - timedelta(hours=2)
    JobRun.objects.create(job="meter_costs", slot=old, started_at=old, finished_at=old, outcome="SUCCEEDED")
    JobSwitch.objects.create(job="check_budgets")
    found = figures(client)
    assert found["forge_job_lag_seconds", "meter_costs"] == pytest.approx(7200, abs=60)
    assert found["forge_job_interval_seconds", "meter_costs"] == 60
    assert found["forge_job_interval_seconds", "audit_verify"] == 86400
    assert ("forge_job_interval_seconds", "refresh_prices") not in found  # it is off
    assert (found["forge_job_paused", "check_budgets"], found["forge_job_paused", "meter_costs"]) == (1, 0)
    assert ("forge_job_lag_seconds", "audit_seal") not in found


def claims(monkeypatch):
    """What the tasks of the schedule claim: job → length of its slot, and whether one that failed is taken anew."""
    claimed = {}

    def note(job, now, every, *, again=True):
        claimed[job] = (every, again)

    monkeypatch.setattr(jobs, "claim_slot", note)
    app.autodiscover_tasks(force=True)
    for entry in BEAT_SCHEDULE.values():
        app.tasks[entry["task"]]()
    return claimed


def test_what_the_schedule_says_of_each_jobs_slot_is_what_its_task_claims(monkeypatch, settings):
    for rhythm in RHYTHMS.values():
        if rhythm.setting is not None:
            setattr(settings, rhythm.setting, True)
    assert claims(monkeypatch) == {job: (rhythm.slot, rhythm.again) for job, rhythm in RHYTHMS.items()}


def test_jobs_that_a_setting_asks_for_do_nothing_without_it(monkeypatch, settings):
    for rhythm in RHYTHMS.values():
        if rhythm.setting is not None:
            setattr(settings, rhythm.setting, False)
    assert claims(monkeypatch).keys() == {job for job, rhythm in RHYTHMS.items() if rhythm.setting is None}


@pytest.mark.django_db
def test_it_says_what_goes_on_and_how_old_the_oldest_launch_is(client, token):
    now = timezone.now()

    def operation(kind, minutes, **fields):
        at = now - timedelta(minutes=minutes)
        fields = {"next_attempt_at": at} | fields
        ids = {name: uuid7() for name in ("organization_id", "correlation_id", "target_id")}
        Operation.objects.create(kind=kind, target_type="WorkSpace", created_at=at, **ids, **fields)

    operation("workspace.launch", 7, next_attempt_at=now + timedelta(minutes=1))
    operation("workspace.launch", 90, status="waiting", next_attempt_at=None)  # for a person
    operation("workspace.launch", 95, status="succeeded", next_attempt_at=None, finished_at=now)
    operation("workspace.stop", 20)
    found = figures(client)
    assert found["forge_launch_oldest_seconds",] == pytest.approx(420, abs=60)
    assert found["forge_operations_due",] == 1
    assert found["forge_operations_waited_seconds",] == pytest.approx(1200, abs=60)
    assert found["forge_operations_open", "queued", "workspace.launch"] == 1
    assert ("forge_operations_open", "succeeded", "workspace.launch") not in found


@pytest.mark.django_db
def test_it_says_how_many_messages_wait_and_without_redis_only_that_it_is_away(client, token, settings):
    server = redis.Redis.from_url(settings.REDIS_URL)
    before = figures(client)
    server.rpush("webhooks", "one", "two")
    after = figures(client)
    server.ltrim("webhooks", 0, -3)
    assert after["forge_queue_depth", "webhooks"] - before["forge_queue_depth", "webhooks"] == 2
    assert after["forge_redis_up",] == 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found = figures(client)
    assert found["forge_redis_up",] == 0
    assert ("forge_queue_depth", "webhooks") not in found


@pytest.mark.django_db
def test_what_processes_counted_is_there_too(client, token):
    client.get("/healthz")
    assert figures(client)["forge_http_requests_total", "/healthz/", "200", "GET"] >= 1
