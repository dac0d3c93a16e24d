"""What stands above the fields on the pages of machines, blueprints, budgets and projects."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from audit.services import record
from costs.models import CostRecord, DailyCost
from costs.pricing import HOUR, hour_of
from forge.accounts.models import Project
from forge.console.pages.blueprint import differences
from forge.db.ids import uuid7
from forge.operations.models import Operation
from tests import factories, query_counts
from tests.world import actor, build
from workspaces.models import StateChange, WorkSpace

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def world(now):
    return build(expire_at=now + timedelta(days=1))


@pytest.fixture
def machine(world):
    return factories.WorkSpaceFactory(
        organization=world.organization, team=world.team, owner=world.engineer, blueprint=world.blueprint
    )


@pytest.fixture
def page(client):
    def get(user, row, **parameters):
        client.force_login(user)
        opts = row._meta
        return client.get(f"/admin/{opts.app_label}/{opts.model_name}/{row.pk}/change/", parameters)

    return get


def budget(world, scope, scope_id, now, **figures):
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    terms = {"amount": 100, "spent": 50, "adopted_at": now, "period_start": month} | figures
    return factories.BudgetFactory(
        organization=world.organization, scope=scope, scope_id=scope_id,
        **({"period_end": (month + timedelta(days=32)).replace(day=1)} | terms),
    )  # fmt: skip


def booked(machine, at, amount):
    return CostRecord.objects.create(
        workspace=machine, organization=machine.organization, user=machine.owner, team=machine.team, price_id=uuid7(),
        period_start=hour_of(at), period_end=hour_of(at) + HOUR, compute_cost=amount, total_cost=amount,
        currency="USD", bundle_type="STANDARD", region="us-east-1", running_mode="AUTO_STOP",
    )  # fmt: skip


def operation(machine, now, **fields):
    return Operation.objects.create(
        organization_id=machine.organization_id, owner_id=machine.owner_id, team_id=machine.team_id,
        kind="workspace.stop", target_type="WorkSpace", target_id=machine.pk, correlation_id=uuid7(),
        status="succeeded", finished_at=now, **fields,
    )  # fmt: skip


def test_a_machines_page_tells_what_comes_next_and_why(world, machine, page):
    shown = page(world.admin, machine).context["page"]
    assert shown["steps"]
    assert all(step["reason"] for step in shown["steps"])
    assert str(shown["steps"][0]["reason"]) in page(world.admin, machine).content.decode()


def test_a_machines_page_adds_up_this_months_records_of_that_machine_alone(world, machine, page, now):
    booked(machine, now, Decimal(3))
    booked(factories.WorkSpaceFactory(organization=world.organization, team=world.team), now, Decimal(50))
    cost = page(world.finance, machine).context["page"]["cost"]
    assert cost["this"] == "3.00 USD"
    assert len(cost["chart"].days) == now.date().day


def test_a_machines_page_shows_the_budgets_that_bind_it_and_no_other(world, machine, page, now):
    team = budget(world, "TEAM", world.team.pk, now)
    own = budget(world, "USER", world.engineer.pk, now)
    whole = budget(world, "ORGANIZATION", world.organization.pk, now)
    budget(world, "TEAM", factories.TeamFactory(organization=world.organization).pk, now)
    shown = {role: page(getattr(world, role), machine).context["page"]["budgets"] for role in ("admin", "lead")}
    assert {row[0].pk for row in shown["admin"]} == {team.pk, own.pk, whole.pk}
    assert {row[0].pk for row in shown["lead"]} == {team.pk, own.pk}
    assert "% forecast" in shown["admin"][0][3]


def test_the_timeline_joins_states_and_operations_for_those_who_may_see_operations(world, machine, page, now):
    operation(machine, now)
    operation(factories.WorkSpaceFactory(organization=world.organization, team=world.team), now)
    kinds = [event.kind for event in page(world.lead, machine).context["page"]["events"]]
    assert kinds.count("Operation") == 1
    assert "State" in kinds
    assert "Operation" not in [event.kind for event in page(world.finance, machine).context["page"]["events"]]


def test_the_audit_tab_has_the_rows_entries_for_those_who_may_see_the_log(world, machine, page):
    record(actor=actor(world.lead), action="OTHER", description="Seen on the page", resource_id=str(machine.pk))
    assert "Seen on the page" in page(world.auditor, machine).content.decode()
    assert page(world.finance, machine).context["page"]["audit"] is None


def test_what_a_machines_page_asks_does_not_grow_with_its_age(world, machine, page, now):
    budget(world, "TEAM", world.team.pk, now)
    page(world.admin, machine)
    query_counts.hold("console page of a machine", lambda: page(world.admin, machine))
    for nr in range(60):
        at = now - timedelta(minutes=nr)
        StateChange.objects.create(
            organization=machine.organization, workspace=machine, from_state="STOPPED", to_state="STARTING",
            occurred_at=at, reason="test", actor_kind="JOB", correlation_id=uuid7(),
        )  # fmt: skip
        operation(machine, now)
    query_counts.hold("console page of a machine", lambda: page(world.admin, machine))
    shown = page(world.admin, machine).context["page"]
    assert len(shown["events"]) + len(shown["earlier"]) == 40


def test_the_timeline_tells_whose_a_machine_was(world, machine, page, now):
    other = factories.TeamFactory(organization=world.organization)
    changes = (
        {"team": other, "tags": {"purpose": "build"}},
        {"tags": {"purpose": "play"}},
        {"team": world.team, "project": world.project},
    )
    for minutes, facts in enumerate(changes):
        WorkSpace.objects.filter(pk=machine.pk).update(**facts, attributed_at=now + timedelta(minutes=minutes))
    text = page(world.lead, machine).content.decode()
    assert f"team {world.team} → {other}" in text
    assert f"team {other} → {world.team}, project none → {world.project}" in text
    assert text.count("Charged to") == 2  # tags alone change nobody's costs


def test_a_projects_page_tells_its_cost_centers_and_counts_the_machines_that_one_sees(world, machine, page, now):
    project = factories.ProjectFactory(organization=world.organization, cost_center="r-100")
    text = page(world.admin, project).content.decode()
    assert "It never had another one." in text
    for minutes, center in enumerate(("r-200", "")):
        Project.objects.filter(pk=project.pk).update(cost_center=center, updated_at=now + timedelta(minutes=minutes))
    WorkSpace.objects.filter(pk=machine.pk).update(project=project)
    elsewhere = factories.TeamFactory(organization=world.organization)
    factories.WorkSpaceFactory(organization=world.organization, team=elsewhere, project=project)
    text = page(world.admin, project).content.decode()
    assert "r-100 → r-200" in text
    assert "r-200 → none" in text
    assert "2 machines are charged to it." in text
    assert "1 machine is charged to it." in page(world.lead, project).content.decode()
    query_counts.hold("console page of a project", lambda: page(world.admin, project))


def test_another_organizations_rows_have_no_page(world, page):
    theirs = build()
    machine = factories.WorkSpaceFactory(organization=theirs.organization, team=theirs.team)
    for row in (machine, theirs.blueprint):
        assert page(world.admin, row).status_code == 302


def versions(world):
    first = world.blueprint
    second = factories.BlueprintFactory(
        organization=world.organization, team=world.team, name=first.name, version=2, bundle=None, status="DRAFT",
        software_manifest={"jupyter": {"version": "4.4"}, "old": 1},
    )  # fmt: skip
    return first, second


def test_a_blueprints_page_sets_its_version_beside_the_one_before(world, page):
    first, second = versions(world)
    shown = page(world.lead, second).context["page"]
    assert shown["other"] == first
    found = {name: what for name, _, _, what in shown["differences"]}
    assert found["software.jupyter.version"] == "added"
    assert all(what == "removed" for name, what in found.items() if name.startswith("bundle "))
    assert page(world.lead, first).context["page"]["other"] is None
    assert page(world.lead, first, against="2").context["page"]["other"] == second
    assert page(world.lead, first, against="x").status_code == 200


def test_differences_name_what_became_of_each_value():
    before, after = {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}
    assert differences(before, after) == [
        ("b", "2", "9", "changed"), ("c", "3", "", "removed"), ("d", "", "4", "added"),
    ]  # fmt: skip


def test_a_blueprints_page_says_who_uses_which_version_and_what_it_cost(world, machine, page, now):
    first, _ = versions(world)
    DailyCost.objects.create(
        organization=world.organization, day=now.date(), team=world.team, user=world.engineer, blueprint=first,
        bundle_type="STANDARD", region="us-east-1", running_mode="AUTO_STOP", billed_hours=4, compute_cost=2,
        total_cost=2,
    )  # fmt: skip
    for role in ("admin", "lead"):
        newest, used = page(getattr(world, role), first).context["page"]["versions"]
        assert (newest["machines"], newest["cost"]) == (0, None)
        assert (used["teams"], used["cost"], used["per_hour"]) == (
            [(world.team.slug, 1)], "2.00 USD", "0.50 USD",
        )  # fmt: skip
    assert page(world.admin, first).client.get(used["list"]).status_code == 200
    query_counts.hold("console page of a blueprint", lambda: page(world.admin, first))


def test_a_budgets_page_tells_how_long_it_lasts_and_what_holds_its_money(world, machine, page, now):
    row = budget(world, "TEAM", world.team.pk, now, spent=80, reserved=20)
    factories.ReservationFactory(budget=row, workspace=machine, amount=20, remaining=20)
    answer = page(world.finance, row)
    shown = answer.context["page"]
    assert "no room is left" in shown["runway"]
    assert [holder[0] for holder in shown["holders"]] == [machine.name]
    assert ("limit", "100.00 USD") in shown["figures"]
    for link in (shown["held"], shown["all_raises"]):
        assert answer.client.get(link).status_code == 200
    query_counts.hold("console page of a budget", lambda: page(world.finance, row))


def test_a_budget_that_is_not_in_force_yet_says_so(world, page, now):
    later = (now.replace(day=1) + timedelta(days=70)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ahead = {"adopted_at": None, "period_start": later, "period_end": later + timedelta(days=31)}
    row = budget(world, "TEAM", world.team.pk, now, **ahead)
    assert page(world.finance, row).context["page"]["runway"] == "It is not in force."
