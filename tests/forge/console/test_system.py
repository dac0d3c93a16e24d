"""The System page tells how the installation stands, why a job did not run, and lets operators pause it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone
from django.utils.html import strip_tags

from forge.console.system import Job, jobs
from forge.db.ids import uuid7
from forge.db.jobs import LOST_AFTER
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


def cells(page, name):
    """The texts of a job's row in the table of jobs: how often, last run, began, took, next due; first why not."""
    _, row = page.content.decode().split(f"{name}\n", 1)
    texts = [" ".join(strip_tags(cell).split()) for cell in re.split(r"</t[hd]>", row.split("</tr>", 1)[0])]
    return dict(zip(("why", "often", "state", "began", "took", "due"), texts, strict=False))


@pytest.mark.parametrize(
    ("name", "often", "due"),
    [
        ("audit_seal", "Every 5 seconds", "Within 5 seconds"),
        ("meter_costs", "Every minute", "Within a minute"),
        ("enforce_lifecycle", "Every 5 minutes", "Within 5 minutes"),
        ("purge_sessions", "Every hour", "Within an hour"),
        ("audit_verify", "Once a day", "Within an hour"),
        ("prove_books", "Once a day", "Within an hour"),
        ("purge_webhook_deliveries", "Once a day", "Within an hour"),
        ("refresh_prices", "Once a day", "Within an hour"),
        ("retire_months", "Once a day", "Within an hour"),
        ("rollover_partitions", "Once a day", "Within an hour"),
    ],
)
def test_the_page_says_how_often_a_job_works_and_when_its_first_tick_comes(operator, settings, name, often, due):
    settings.FORGE_REFRESH_PRICES = True
    row = cells(operator.get(PAGE), name)
    assert row == {
        "why": "It has not run yet.",
        "often": often,
        "state": "not yet",
        "began": "-",
        "took": "-",
        "due": due,
    }


def test_a_daily_job_is_due_tomorrow_when_it_succeeded_and_within_the_hour_when_not(settings):
    settings.FORGE_REFRESH_PRICES = True
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    done = run("refresh_prices", slot=midnight)
    assert job("refresh_prices").due_at == midnight + timedelta(days=1)
    for outcome in ("FAILED", "PAUSED", "LOST"):
        JobRun.objects.filter(pk=done.pk).update(outcome=outcome)
        assert job("refresh_prices").due_at == done.started_at + timedelta(hours=1)


def test_a_run_that_goes_on_for_too_long_is_told_as_lost_and_made_up_for():
    long_ago = timezone.now() - LOST_AFTER - timedelta(seconds=1)
    run("audit_verify", slot=long_ago, started_at=long_ago, finished_at=None, outcome="RUNNING")
    assert (job("audit_verify").state, job("audit_verify").label) == ("LOST", "danger")
    assert job("audit_verify").due_at == long_ago + timedelta(hours=1)
    assert "makes up for it" in job("audit_verify").why


def test_a_job_that_a_setting_does_not_ask_for_is_off_and_never_due(operator, settings):
    settings.FORGE_REFRESH_PRICES = False
    run("refresh_prices")  # while it was on
    shown = cells(operator.get(PAGE), "refresh_prices")
    assert shown["why"] == "It does nothing: FORGE_REFRESH_PRICES is off."
    assert (shown["often"], shown["state"], shown["due"]) == ("Once a day", "off", "-")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("PAUSED", "Its slot passed while it was paused."),
        ("LOST", "Its worker went away; the next slot has a run of its own."),
        ("FAILED", "It failed; the next slot has a run of its own."),
    ],
)
def test_a_job_whose_ticks_are_its_slots_goes_on_with_the_next_slot(outcome, words):
    done = run(outcome=outcome)
    assert job().why == words
    assert job().due_at == done.slot + MINUTE


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("PAUSED", "It was paused; its next tick makes up for it."),
        ("LOST", "Its worker went away; its next tick makes up for it."),
        ("FAILED", "It failed; its next tick makes up for it."),
    ],
)
def test_a_daily_job_that_did_not_do_its_work_makes_up_for_it_at_its_next_tick(outcome, words):
    run("audit_verify", outcome=outcome)
    assert job("audit_verify").why == words


def test_a_failed_run_of_the_lifecycles_rules_is_not_said_to_be_repeated():
    done = run("enforce_lifecycle", outcome="FAILED")
    assert job("enforce_lifecycle").why == (
        "It failed; a slot has one run, whatever became of it, and the next slot has its own."
    )
    assert job("enforce_lifecycle").due_at == done.slot + timedelta(minutes=5)


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
