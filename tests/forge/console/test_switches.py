"""Operators pause a job in the console; the job then rests and the log has who did it and why."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.urls import path

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import User
from forge.api.errors import NotFound
from forge.console import switches
from forge.db import jobs
from forge.db.ids import uuid7
from forge.db.models import JobRun, JobSwitch
from tests.factories import MembershipFactory, OrganizationFactory
from tests.forge.db.conftest import at_once
from tests.world import actor as acting
from workspaces.rules.pausing import pause_of

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


@pytest.mark.parametrize("role", ["finance", "auditor"])
def test_nobody_but_admins_pauses_anything_in_an_organization(operator, role):
    operator.force_login(MembershipFactory(role=role, team=None).user)
    assert operator.get(LIST).status_code == 403
    assert operator.post(f"{LIST}add/", {"job": "enforce_lifecycle", "is_paused": "on"}).status_code == 403
    assert not JobSwitch.objects.exists()


@pytest.fixture
def admin_user():
    return MembershipFactory(role="admin", team=None).user


@pytest.fixture
def owner(operator, admin_user):
    """An admin of one organization at the console."""
    operator.force_login(admin_user)
    return operator


PAUSE = {"job": "enforce_lifecycle", "is_paused": "on", "reason": "an exercise"}


def test_an_admin_pauses_the_rules_for_the_own_organization_alone(owner, admin_user):
    page = owner.get("/admin/system/").content.decode()
    assert f'href="{LIST}add/?job=enforce_lifecycle"' in page
    assert "job=meter_costs" not in page
    assert owner.post(f"{LIST}add/", PAUSE).status_code == 302
    switch = JobSwitch.objects.get()
    assert (switch.organization_id, switch.is_paused) == (admin_user.organization_id, True)
    assert pause_of(admin_user.organization_id).by == "organization"
    assert pause_of(uuid7()) is None
    assert jobs.run_job("enforce_lifecycle", NOW, timedelta(minutes=1), dict) == {}
    shown = owner.get("/admin/system/").content.decode()
    assert "enforce_lifecycle for your organization since" in shown
    assert f'href="{LIST}{switch.pk}/change/"' in shown

    assert owner.post(f"{LIST}{switch.pk}/change/", {"reason": ""}).status_code == 302
    assert JobSwitch.objects.count() == 1
    assert pause_of(admin_user.organization_id) is None
    paused, resumed = entries()
    assert {paused.organization_id, resumed.organization_id} == {admin_user.organization_id}
    assert (paused.resource_id, paused.result, paused.interface) == ("enforce_lifecycle", "SUCCESS", "ADMIN")
    assert resumed.changes["before"]["is_paused"] is True


def test_an_admin_has_no_choice_of_jobs_that_work_for_all(owner):
    answer = owner.post(f"{LIST}add/", PAUSE | {"job": "meter_costs"})
    assert answer.status_code == 200
    assert "meter_costs is not one of the available choices" in answer.content.decode()
    assert not JobSwitch.objects.exists()


def test_an_admin_who_names_another_organization_in_the_form_pauses_the_own(owner, admin_user):
    another = OrganizationFactory()
    assert owner.post(f"{LIST}add/", PAUSE | {"organization_id": str(another.pk)}).status_code == 302
    assert JobSwitch.objects.get().organization_id == admin_user.organization_id


@pytest.mark.parametrize("is_for_all", [True, False])
def test_an_admin_neither_sees_nor_sets_the_switch_of_others(owner, is_for_all):
    other = None if is_for_all else OrganizationFactory().pk
    switch = JobSwitch.objects.create(job="enforce_lifecycle", organization_id=other, reason="not yours")
    assert "not yours" not in owner.get(LIST).content.decode()
    assert owner.post(f"{LIST}{switch.pk}/change/", {"reason": "mine"}).status_code in (302, 404)
    switch.refresh_from_db()
    assert (switch.is_paused, switch.reason) == (True, "not yours")
    assert JobSwitch.objects.count() == 1


def test_an_operator_who_saves_the_switch_of_one_organization_pauses_nobody_else(operator):
    organization = OrganizationFactory()
    switch = JobSwitch.objects.create(job="enforce_lifecycle", organization_id=organization.pk, is_paused=False)
    address = f"{LIST}{switch.pk}/change/"
    assert organization.name in operator.get(address).content.decode()
    assert operator.post(address, {"is_paused": "on", "reason": "theirs"}).status_code == 302
    switch = JobSwitch.objects.get()
    assert (switch.organization_id, switch.is_paused) == (organization.pk, True)
    assert entries()[0].organization_id == organization.pk
    listed = operator.get(LIST).content.decode()
    assert organization.name in listed


def test_an_operator_pauses_one_organization_from_the_form(operator):
    organization = OrganizationFactory()
    answer = operator.post(f"{LIST}add/", PAUSE | {"organization_id": str(organization.pk)})
    assert answer.status_code == 302
    assert JobSwitch.objects.get().organization_id == organization.pk
    answer = operator.post(f"{LIST}add/", PAUSE | {"organization_id": str(organization.pk), "job": "meter_costs"})
    assert "One organization pauses enforce_lifecycle alone" in answer.content.decode()
    assert JobSwitch.objects.count() == 1


def test_the_service_pauses_no_other_organization_and_none_that_is_not(admin_user):
    asked = {"job": "enforce_lifecycle", "is_paused": True, "reason": "", "now": NOW}
    with pytest.raises(switches.MayNotSwitchJobs):
        switches.set_switch(actor=acting(admin_user), organization_id=OrganizationFactory().pk, **asked)
    with pytest.raises(NotFound):
        switches.set_switch(actor=Actor.command("test"), organization_id=uuid7(), **asked)
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
