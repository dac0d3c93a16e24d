"""Changing a project: who may, what is told of it, and that the hours before keep the cost center that held then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from costs import metering
from costs.attribution import CostCenterChange
from costs.models import CostRecord
from forge.accounts import services
from forge.accounts.models import Project
from forge.api.errors import NotFound, PreconditionFailed
from tests import factories
from tests import world as worlds
from tests.races.threads import at_once
from tests.workspaces.support import client_of, problem
from tests.world import actor
from workspaces.tagging.wanted import wanted_of

PROJECTS = "/api/v1/projects/"
CENTERS = "/api/v1/costs/cost-centers/"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    made = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    return replace(made, project=factories.ProjectFactory(organization=made.organization, cost_center="r-100"))


def patch(person, project, body, **headers):
    return client_of(person).patch(f"{PROJECTS}{project.pk}/", body, format="json", **headers)


def change(world, now, **wanted):
    return services.change_project(actor=actor(world.admin), project_id=world.project.pk, wanted=wanted, now=now)


def test_an_admin_changes_name_cost_center_and_owner_and_what_is_not_named_stays(world):
    body = {"name": "Apollo 2", "cost_center": "r-200", "owner": world.engineer.email.upper()}
    answer = patch(world.admin, world.project, body)
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["name"], shown["cost_center"], shown["owner"]) == ("Apollo 2", "r-200", world.engineer.email)
    assert client_of(world.admin).get(f"{PROJECTS}{world.project.pk}/").json() == shown
    assert patch(world.admin, world.project, {"owner": None}).json()["owner"] is None
    assert Project.objects.get(pk=world.project.pk).name == "Apollo 2"
    second, first = AuditLog.objects.filter(action_type="PROJECT_UPDATE").order_by("-id")
    assert first.changes["before"].items() >= {"cost_center": "r-100", "owner_id": None}.items()
    assert first.changes["after"].items() >= {"cost_center": "r-200", "owner_id": str(world.engineer.pk)}.items()
    assert "Apollo 2" not in first.content  # a name is people's own text, and can be erased
    assert second.changes == {"before": {"owner_id": str(world.engineer.pk)}, "after": {"owner_id": None}}


@pytest.mark.parametrize("role", ["contractor", "engineer", "lead", "finance", "auditor"])
def test_nobody_else_changes_a_project(world, role):
    problem(patch(getattr(world, role), world.project, {"name": "x"}), 403, "may_not_manage_people")
    operator = factories.UserFactory(organization=None, directory_username="")
    problem(patch(operator, world.project, {"name": "x"}), 403, "no_organization")
    assert Project.objects.get(pk=world.project.pk).name == world.project.name


def test_what_does_not_fit_is_refused_and_another_organizations_rows_are_not_there(world):
    for body in ({}, {"slug": "other"}, {"name": ""}, {"cost_center": "c" * 101}):
        problem(patch(world.admin, world.project, body), 400, "invalid")
    foreign = factories.UserFactory()
    problem(patch(world.admin, world.project, {"owner": foreign.email}), 422, "unknown_person")
    problem(patch(world.admin, factories.ProjectFactory(), {"name": "x"}), 404, "not_found")
    with pytest.raises(NotFound):
        change(world, timezone.now(), owner=foreign)


def test_a_change_bound_to_what_was_read_is_refused_once_it_is_another(world):
    read = client_of(world.admin).get(f"{PROJECTS}{world.project.pk}/")["ETag"]
    answer = patch(world.admin, world.project, {"cost_center": "r-200"}, HTTP_IF_MATCH=read)
    assert answer.status_code == 200
    assert answer["ETag"] == client_of(world.admin).get(f"{PROJECTS}{world.project.pk}/")["ETag"] != read
    problem(patch(world.admin, world.project, {"cost_center": "r-300"}, HTTP_IF_MATCH=read), 412, "precondition_failed")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
@pytest.mark.parametrize("late", [False, True])
def test_hours_that_began_before_keep_the_old_cost_center_however_late_they_are_booked(world, late):
    metering.ensure_months(NOON, NOON)
    row = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, project=world.project,
        history=[(NOON, "AVAILABLE")], tags={"cost-center": "t-1"},
    )  # fmt: skip
    if not late:
        metering.meter(now=NOON + timedelta(minutes=90))
    change(world, NOON + timedelta(minutes=90), cost_center="r-200")
    change(world, NOON + timedelta(minutes=180), cost_center="")
    metering.meter(now=NOON + timedelta(minutes=250))
    records = CostRecord.objects.filter(workspace=row).order_by("period_start")
    assert list(records.values_list("cost_center", flat=True)) == ["r-100", "r-100", "r-200", "t-1", "t-1"]
    former = client_of(world.engineer).get(f"{CENTERS}{world.project.pk}/").json()
    assert former["cost_center"] == ""
    assert [(one["until"], one["cost_center"]) for one in former["former"]] == [
        ("2026-03-10T13:30:00Z", "r-100"),
        ("2026-03-10T15:00:00Z", "r-200"),
    ]
    row.project.refresh_from_db()
    assert wanted_of(row)["forge:cost-center"] == "t-1"  # the next look at AWS brings its tags after


def test_a_project_that_one_does_not_see_shows_no_cost_center(world):
    elsewhere = factories.TeamFactory(organization=world.organization)
    world.project.teams.set([elsewhere])
    problem(client_of(world.engineer).get(f"{CENTERS}{world.project.pk}/"), 404, "not_found")
    problem(client_of(world.admin).get(f"{CENTERS}{factories.ProjectFactory().pk}/"), 404, "not_found")


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_of_changes_at_once_each_leaves_its_row_and_the_last_one_stands(world):
    made = at_once(lambda n: change(world, timezone.now(), cost_center=f"r-{n}"), range(8))
    assert not [one for one in made if isinstance(one, Exception)]
    held = CostCenterChange.objects.filter(project=world.project).order_by("id").values_list("cost_center", flat=True)
    last = Project.objects.get(pk=world.project.pk).cost_center
    assert sorted([*held, last]) == sorted(["r-100", *(f"r-{n}" for n in range(8))])
    times = list(CostCenterChange.objects.order_by("id").values_list("occurred_at", flat=True))
    assert times == sorted(times)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_where_the_entry_cannot_be_written_nothing_has_changed(world, monkeypatch):
    def broken(**_):
        raise RuntimeError("the log does not answer")

    monkeypatch.setattr("forge.accounts.services.organizations.record", broken)
    with pytest.raises(RuntimeError):
        change(world, timezone.now(), cost_center="r-200")
    assert Project.objects.get(pk=world.project.pk).cost_center == "r-100"
    assert not CostCenterChange.objects.exists()


def test_a_command_may_and_a_field_that_does_not_change_is_a_fault_of_the_caller(world):
    asked = {"actor": Actor.command("tests"), "project_id": world.project.pk, "now": timezone.now()}
    assert services.change_project(**asked, wanted={"name": "By hand"}).name == "By hand"
    with pytest.raises(ValueError, match="slug"):
        services.change_project(**asked, wanted={"slug": "x"})
    with pytest.raises(PreconditionFailed):
        services.change_project(**asked, wanted={"name": "x"}, if_match=frozenset({"another"}))


def test_the_console_changes_it_too(world):
    browser = Client()
    browser.force_login(world.admin)
    address = f"/admin/accounts/project/{world.project.pk}/do/change/"
    assert "r-100" in browser.get(address).content.decode()
    wanted = {"name": world.project.name, "cost_center": "r-200", "owner": world.lead.email}
    assert browser.post(address, wanted).status_code == 302
    row = Project.objects.get(pk=world.project.pk)
    assert (row.cost_center, row.owner) == ("r-200", world.lead)
