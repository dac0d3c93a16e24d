"""The System page tells how the installation stands, why a job did not run, and lets operators pause it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone

from forge.console.system import Job, jobs
from forge.db.ids import uuid7
from forge.db.models import JobRun, JobSwitch
from tests import query_counts
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/admin/system/"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def operator(client):
    client.force_login(UserFactory(organization=None))
    return client


def run(job="meter_costs", **fields):
    now = timezone.now()
    times = {"slot": now, "started_at": now, "finished_at": now + timedelta(seconds=2.5)}
    return JobRun.objects.create(job=job, **{"outcome": "SUCCEEDED", **times, **fields})


def job(name="meter_costs") -> Job:
    return next(one for one in jobs(now=timezone.now()) if one.name == name)


def test_a_job_says_how_long_it_took_and_when_it_is_due():
    done = run()
    assert job().took == "2.5 s"
    assert job().due_at == done.slot + MINUTE
    assert job().why == ""


def test_a_job_that_has_not_run_is_due_within_its_rhythm(operator):
    assert job("collect_usage").due_at is None
    assert "within 5 minutes" in operator.get(PAGE).content.decode()


def test_a_daily_job_is_due_tomorrow_when_it_succeeded_and_within_the_hour_when_not():
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    done = run("refresh_prices", slot=midnight)
    assert job("refresh_prices").due_at == midnight + timedelta(days=1)
    type(done).objects.filter(pk=done.pk).update(outcome="FAILED")
    assert job("refresh_prices").due_at == done.started_at + timedelta(hours=1)


def test_why_a_job_did_not_run_stands_under_its_name(operator):
    shown = operator.get(PAGE).content.decode()
    _, named = shown.split("collect_usage", 1)
    assert "has not come" in named.split("</th>", 1)[0]


@pytest.mark.parametrize(
    ("outcome", "words"), [("PAUSED", "while it was paused"), ("LOST", "went away"), ("FAILED", "takes the slot again")]
)
def test_a_job_that_did_not_run_says_why(outcome, words):
    run(outcome=outcome)
    assert words in job().why
    assert "has not come" in job("audit_verify").why


def test_operators_pause_a_job_from_the_page_and_every_page_tells_of_it(operator):
    page = operator.get(PAGE)
    assert job().switch_page in page.content.decode()
    form = operator.get(job().switch_page)
    assert form.context["adminform"].form.initial["job"] == "meter_costs"
    operator.post(job().switch_page, {"job": "meter_costs", "is_paused": "on", "reason": "the price book is wrong"})
    assert job().is_paused
    for address in (
        "/admin/",
        PAGE,
        "/admin/workspaces/workspace/",
        "/admin/accounts/team/",
        "/admin/password_change/",
    ):
        shown = operator.get(address).content.decode()
        assert "Automation is paused:" in shown, address
        assert "the price book is wrong" in shown, address
    operator.post(job().switch_page, {"reason": ""})
    assert "Automation is paused:" not in operator.get("/admin/").content.decode()


def test_people_of_an_organization_are_told_of_the_pause_but_not_of_another_organizations(client):
    person = MembershipFactory(role="team_lead").user
    JobSwitch.objects.create(job="meter_costs", reason="our secret reason")
    JobSwitch.objects.create(job="check_budgets", organization_id=uuid7())
    JobSwitch.objects.create(job="enforce_lifecycle", organization_id=person.organization_id)
    client.force_login(person)
    shown = client.get("/admin/").content.decode()
    assert "meter_costs since" in shown
    assert "enforce_lifecycle for your organization since" in shown
    assert "check_budgets" not in shown
    assert "our secret reason" not in shown


def test_who_is_not_signed_in_is_told_nothing(client):
    JobSwitch.objects.create(job="meter_costs")
    assert "meter_costs" not in client.get("/admin/login/").content.decode()


def test_the_page_shows_lags_queues_months_and_versions_and_how_to_mend(operator, monkeypatch):
    page = query_counts.hold("GET /admin/system/", lambda: operator.get(PAGE))
    assert set(page.context["queues"]) == {queue.name for queue in configured.CELERY_TASK_QUEUES}
    assert {report.table for report in page.context["partitions"]} >= {"audit_auditlog", "costs_costrecord"}
    assert dict(page.context["versions"]).keys() >= {"Django", "PostgreSQL"}
    assert all(mend or finding.status == "ok" for _, _, finding, mend in page.context["findings"])


def test_without_redis_the_page_opens_and_says_that_nothing_is_known_of_the_queues(operator, settings):
    settings.CELERY_BROKER_URL = settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = operator.get(PAGE)
    assert page.context["queues"] is None
    assert "Start Redis" in page.content.decode()
