"""Whose an hour is, and under which tags and cost center: those of when it began, however late it is booked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection, transaction

from audit.actors import Actor
from costs import metering
from costs.attribution import CostCenterChange
from costs.models import CostRecord, TagCost, TagKey
from forge.accounts.models import Project
from tests.costs.meters import assert_sums_agree, at, machine, reach
from tests.factories import ProjectFactory, TeamFactory, UserFactory, WorkSpaceFactory
from workspaces import services
from workspaces.models import AttributionChange, WorkSpace
from workspaces.transitions import lock_scopes_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

COMMAND = Actor.command("tests")
OWN = ("id", "workspace_id", "recorded_at")


def rows(workspace):
    """Every column of a machine's records but those that tell it from its twin."""
    records = CostRecord.objects.filter(workspace=workspace).order_by("period_start").values()
    return [{name: value for name, value in record.items() if name not in OWN} for record in records]


def give(workspace, when, **facts):
    WorkSpace.objects.filter(pk=workspace.pk).update(**facts, attributed_at=when)
    workspace.refresh_from_db()


def tag(workspace, when, **tags):
    services.tag(actor=COMMAND, workspace_id=workspace.pk, tags=tags, now=when)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("began", [datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 12, 30, tzinfo=UTC)])
@pytest.mark.parametrize("outage", [timedelta(hours=5), timedelta(days=3)])
def test_after_an_outage_the_records_are_those_of_an_undisturbed_run_in_every_column(began, outage):
    first = machine((9.2, "AVAILABLE"), tags={"cost-center": "r-100"})
    facts = {
        "organization": first.organization, "owner": first.owner, "team": first.team, "blueprint": first.blueprint,
        "provider_account": first.provider_account, "tags": {"cost-center": "r-100"},
    }  # fmt: skip
    team, other = TeamFactory(organization=first.organization), UserFactory(organization=first.organization)
    project = ProjectFactory(organization=first.organization, cost_center="p-7")
    when = partial(at, day=began)
    changes = [
        (14.3, partial(tag, purpose="build")),
        (14.4, partial(tag, purpose="build", ticket="7")),
        (20, partial(tag, **{"cost-center": "r-200"})),
        (26.5, partial(give, team=team)),
        (33.4, lambda one, moment: reach(one, moment, "STOPPED")),
        (40.7, partial(give, project=project)),
        (41.1, lambda one, moment: reach(one, moment, "AVAILABLE")),
        (50.2, partial(give, owner=other, tags={"cost-center": "r-300"})),
        (66.9, partial(give, project=None)),
        (70.3, lambda one, moment: reach(one, moment, "TERMINATED")),
    ]

    def follow(step):
        workspace = WorkSpaceFactory(history=[(when(9.2), "AVAILABLE")], **facts)
        now = when(9.2)
        for hours, change in [*changes, (72, None)]:
            while now + step < when(hours):
                now += step
                metering.meter(now=now)
            if change:
                change(workspace, when(hours))
                workspace.refresh_from_db()
        metering.meter(now=when(72))
        return rows(workspace)

    undisturbed, late = follow(timedelta(minutes=20)), follow(outage)
    assert len(undisturbed) == 62
    assert [(one, other) for one, other in zip(undisturbed, late, strict=True) if one != other] == []
    assert {record["cost_center"] for record in late} == {"r-100", "", "r-200", "p-7", "r-300"}
    assert {record["team_id"] for record in late} == {first.team_id, team.pk}
    assert_sums_agree()


def test_an_hour_bears_what_held_when_it_began_also_where_it_is_booked_at_once():
    workspace = machine((9, "AVAILABLE"), tags={"purpose": "build"})
    tag(workspace, at(10.01), purpose="review")
    metering.meter(now=at(11.5))
    assert [record["tags"]["purpose"] for record in rows(workspace)] == ["build", "build", "review"]


def test_changes_that_come_out_of_order_leave_the_hours_before_them_as_they_were():
    """Of two people who ask at the same moment, the one who asked later may get the row first."""
    workspace = machine((9, "AVAILABLE"), tags={"purpose": "build"})
    tag(workspace, at(13.502), purpose="review")
    tag(workspace, at(13.501), purpose="game")
    metering.meter(now=at(15.5))
    assert [record["tags"]["purpose"] for record in rows(workspace)] == ["build"] * 5 + ["game"] * 2
    assert list(AttributionChange.objects.order_by("id").values_list("occurred_at", flat=True)) == [at(13.502)] * 2


def test_cost_centers_that_come_out_of_order_leave_the_hours_before_them_as_they_were():
    project = ProjectFactory(cost_center="p-7")
    workspace = machine((9, "AVAILABLE"), organization=project.organization)
    give(workspace, at(9), project=project)
    for hour, center in ((13.502, "p-8"), (13.501, "p-9")):
        Project.objects.filter(pk=project.pk).update(cost_center=center, updated_at=at(hour))
    metering.meter(now=at(15.5))
    assert [record["cost_center"] for record in rows(workspace)] == ["p-7"] * 5 + ["p-9"] * 2


def test_the_hour_of_the_launch_bears_what_held_at_the_launch():
    workspace = machine((9.1, "PENDING"), (9.5, "AVAILABLE"), tags={"purpose": "build"})
    give(workspace, at(9.3), tags={"purpose": "review"})
    give(workspace, at(9.7), tags={"purpose": "game"})
    metering.meter(now=at(10.5))
    assert [record["tags"]["purpose"] for record in rows(workspace)] == ["review", "game"]


def test_sums_by_tag_follow():
    workspace = machine((9, "AVAILABLE"), tags={"cost-center": "r-1"})
    TagKey.objects.create(
        organization=workspace.organization, key="cost-center", state="KEPT", since=at(0).date(), fill_before=None
    )
    tag(workspace, at(10.5), **{"cost-center": "r-2"})
    metering.meter(now=at(14.5))
    assert {one.value for one in TagCost.objects.filter(key="cost-center")} == {"r-1", "r-2"}


@pytest.mark.parametrize("minutes", [20, 5000])
def test_a_cost_center_that_a_project_gets_later_is_not_that_of_the_hours_before(minutes):
    workspace = machine((9.1, "AVAILABLE"), tags={"cost-center": "r-1"})
    project = ProjectFactory(organization=workspace.organization, cost_center="p-7")
    give(workspace, at(9.1), project=project)
    rename = Project.objects.filter(pk=project.pk).update
    changes = [(at(11.5), partial(rename, cost_center="p-8")), (at(13), partial(rename, cost_center=""))]
    now = at(9.1)
    for when, change in [*changes, (at(14.5), None)]:
        while now + timedelta(minutes=minutes) < when:
            now += timedelta(minutes=minutes)
            metering.meter(now=now)
        if change:
            change(updated_at=when)
    metering.meter(now=at(14.5))
    assert [record["cost_center"] for record in rows(workspace)] == ["p-7", "p-7", "p-7", "p-8", "r-1", "r-1"]


def test_a_cost_center_leaves_its_row_by_whatever_it_was_changed():
    project = ProjectFactory(cost_center="p-7")
    Project.objects.filter(pk=project.pk).update(cost_center="p-8")
    Project.objects.filter(pk=project.pk).update(name="the same")
    [change] = CostCenterChange.objects.all()
    assert (change.cost_center, change.project) == ("p-7", project)


def test_a_change_leaves_its_row_by_whatever_it_was_written():
    workspace = machine((9, "AVAILABLE"), tags={"purpose": "build"})
    before = workspace.team
    give(workspace, at(10), team=TeamFactory(organization=workspace.organization))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workspaces_workspace SET tags = '{}' WHERE id = %s", [workspace.pk])
        cursor.execute("UPDATE workspaces_workspace SET tags = '{}', name = 'n' WHERE id = %s", [workspace.pk])
    first, second = AttributionChange.objects.filter(workspace=workspace).order_by("id")
    assert (first.occurred_at, first.team, first.owner) == (at(10), before, workspace.owner)
    assert (second.team, second.tags) == (workspace.team, {"purpose": "build"})


@transaction.atomic
def impatiently(book):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
    book()


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_budget_that_adopts_the_former_team_waits_for_hours_that_are_still_to_be_booked_on_it(make_app_connection):
    """Adoption sums the team's records while it has the team's row: whoever writes some shares that row."""
    workspace = machine((9, "AVAILABLE"))
    former = workspace.team_id
    metering.meter(now=at(9.5))
    give(workspace, at(11.5), team=TeamFactory(organization=workspace.organization))
    adopting = make_app_connection()
    adopting.execute("SELECT 1 FROM accounts_team WHERE id = %s FOR UPDATE", [former])
    for book in (lambda: metering.meter(now=at(12.5)), lambda: lock_scopes_of(workspace.pk)):
        with pytest.raises(OperationalError, match="lock timeout"):
            impatiently(book)
    adopting.rollback()
    metering.meter(now=at(12.5))
    assert [record["team_id"] == former for record in rows(workspace)] == [True, True, True, False]
