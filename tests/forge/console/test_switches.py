"""Operators pause a job in the console; the job then rests and the log has who did it and why."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.urls import path

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import User
from forge.console import switches
from forge.db import jobs
from forge.db.models import JobRun, JobSwitch
from tests.factories import MembershipFactory
from tests.forge.db.conftest import at_once
from tests.world import actor as acting

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIST = "/admin/db/jobswitch/"
urlpatterns = [path("admin/", admin.site.urls)]


@pytest.fixture
def operator(client, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("whitenoise")]
    client.force_login(User.objects.create(email="op@example.com", full_name="Op Erator"))
    return client


def entries() -> list[AuditLog]:
    return list(AuditLog.objects.filter(action_type="JOB_SWITCH").order_by("lane_seq"))


def test_a_job_paused_in_the_console_rests_until_it_is_switched_on_again(operator):
    answer = operator.post(f"{LIST}add/", {"job": "meter_costs", "is_paused": "on", "reason": "price book is wrong"})
    assert answer.status_code == 302
    assert jobs.run_job("meter_costs", NOW, timedelta(minutes=1), dict) is None
    assert JobRun.objects.get().outcome == JobRun.Outcome.PAUSED

    switch = JobSwitch.objects.get()
    assert operator.post(f"{LIST}{switch.pk}/change/", {"reason": ""}).status_code == 302
    assert jobs.run_job("meter_costs", NOW, timedelta(minutes=1), dict) == {}

    paused, resumed = entries()
    assert (paused.resource_id, paused.interface, paused.result) == ("meter_costs", "ADMIN", "SUCCESS")
    assert paused.changes["after"]["is_paused"] is True
    assert resumed.changes["before"]["is_paused"] is True
    assert resumed.changes["after"]["is_paused"] is False


def test_adding_a_switch_that_exists_sets_the_one_there_is(operator):
    for reason in ("first", "second"):
        operator.post(f"{LIST}add/", {"job": "meter_costs", "is_paused": "on", "reason": reason})
    assert JobSwitch.objects.get().reason == "second"


def test_a_job_that_the_schedule_does_not_have_is_no_choice(operator):
    answer = operator.post(f"{LIST}add/", {"job": "mine_coins", "is_paused": "on"})
    assert answer.status_code == 200
    assert "mine_coins is not one of the available choices" in answer.content.decode()
    assert not JobSwitch.objects.exists()


def test_a_job_that_the_schedule_does_not_have_is_refused_by_the_service():
    with pytest.raises(switches.UnknownJob) as caught:
        switches.set_switch(actor=Actor.command("test"), job="mine_coins", is_paused=True, reason="", now=NOW)
    assert "meter_costs" in caught.value.extra["jobs"]


@pytest.mark.parametrize("role", ["admin", "auditor"])
def test_the_service_asks_for_an_operator_too(role):
    person = MembershipFactory(role=role, team=None).user
    for who in (acting(person), Actor.job("meter_costs")):
        with pytest.raises(switches.MayNotSwitchJobs):
            switches.set_switch(actor=who, job="meter_costs", is_paused=True, reason="", now=NOW)
    assert not JobSwitch.objects.exists()


@pytest.mark.parametrize("role", ["admin", "auditor"])
def test_those_who_oversee_one_organization_do_not_pause_the_installation(operator, role):
    operator.force_login(MembershipFactory(role=role, team=None).user)
    assert operator.get(LIST).status_code == 403
    assert operator.post(f"{LIST}add/", {"job": "meter_costs", "is_paused": "on"}).status_code == 403
    assert not JobSwitch.objects.exists()


def test_the_list_shows_what_is_paused_and_why(operator):
    JobSwitch.objects.create(job="meter_costs", reason="price book is wrong")
    shown = operator.get(LIST).content.decode()
    assert "price book is wrong" in shown
    assert "paused" in shown


def test_without_its_audit_entry_a_job_is_not_paused(monkeypatch):
    def fail(**kwargs) -> None:
        raise ConnectionError

    monkeypatch.setattr(switches, "record", fail)
    with pytest.raises(ConnectionError):
        switches.set_switch(actor=Actor.command("test"), job="meter_costs", is_paused=True, reason="", now=NOW)
    assert not jobs.is_paused("meter_costs")
    assert not JobSwitch.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_who_switch_at_the_same_time_leave_one_switch_and_two_entries():
    start = threading.Barrier(2)

    def press(number: int) -> None:
        start.wait()
        actor = Actor.command("test")
        switches.set_switch(actor=actor, job="meter_costs", is_paused=bool(number), reason=str(number), now=NOW)

    at_once(2, press)
    assert JobSwitch.objects.count() == 1
    assert len(entries()) == 2
