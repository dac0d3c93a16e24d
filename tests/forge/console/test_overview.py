"""The first page of the console shows each role what it looks after, and no other organization's figures."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.utils import timezone

from costs.models import DailyCost
from forge.console.overview import overview
from forge.db.months import add_months
from tests import factories, query_counts
from tests.factories import UserFactory
from tests.world import build

pytestmark = pytest.mark.django_db
ROLES = ("admin", "auditor", "finance", "lead")


@pytest.fixture
def world():
    return build(expire_at=timezone.now() + timedelta(days=1))


def parts(user) -> dict:
    request = RequestFactory().get("/admin/")
    request.user = user
    admins = {model._meta.label_lower: one for model, one in admin.site._registry.items()}
    shown = overview(user, timezone.now(), opens=lambda label: admins[label].has_view_permission(request))
    return dict(shown["parts"])


def figure(part: dict, title: str):
    return next(one for one in part["figures"] if one.title.startswith(title))


def cost(world, day, amount, *, team=None, user=None):
    return DailyCost.objects.create(
        organization=world.organization, day=day, team=team or world.team, user=user or world.engineer,
        bundle_type="STANDARD", region="us-east-1", running_mode="AUTO_STOP", compute_cost=amount, total_cost=amount,
    )  # fmt: skip


def count(part: dict, state: str) -> int:
    return next(number for label, number, _ in part["states"] if label == state)


def test_an_admin_sees_the_organizations_machines_and_no_others(world):
    factories.WorkSpaceFactory(organization=world.organization, team=world.team, owner=world.engineer)
    factories.WorkSpaceFactory()
    assert count(parts(world.admin)["machines"], "Available") == 1


def test_each_role_sees_first_what_it_looks_after(world):
    assert [*parts(world.admin)] == ["machines", "money", "proof"]
    assert [*parts(world.auditor)] == ["proof", "money", "machines"]
    assert [*parts(world.finance)] == ["money", "machines", "proof"]
    assert [*parts(world.lead)] == ["machines", "money"]
    assert [*parts(UserFactory(organization=None))] == ["machines", "proof"]


def test_what_a_role_may_not_open_is_not_counted_for_it(world):
    titles = {role: [one.title for one in parts(getattr(world, role))["machines"]["figures"]] for role in ROLES}
    assert titles["finance"] == []
    assert "Security findings" in titles["auditor"]
    assert "Security findings" not in titles["lead"]
    assert [one.title for one in parts(world.finance)["proof"]["figures"]] == ["Books"]


def test_this_month_is_set_against_the_same_days_of_the_last(world):
    today = timezone.now().date()
    before = add_months(today.replace(day=1), -1)
    cost(world, today, Decimal(30))
    cost(world, before, Decimal(20))
    theirs = build()
    cost(theirs, today, Decimal(1000))
    money = parts(world.finance)["money"]
    assert figure(money, "Spent this month").value == "30.00 USD"
    assert figure(money, "Spent this month").note.startswith("50 % more than by ")
    assert figure(money, f"{before:%B}").value == "20.00 USD"
    assert figure(money, "Forecast").value.endswith(" USD")


def test_the_chart_draws_the_dearest_teams_and_sums_up_the_rest(world):
    today = timezone.now().date()
    teams = [factories.TeamFactory(organization=world.organization, slug=f"t-{nr}") for nr in range(8)]
    for nr, team in enumerate(teams):
        cost(world, today, Decimal(nr + 1), team=team)
    cost(world, today - timedelta(days=31), Decimal(500))
    cost(build(), today, Decimal(900))
    money = parts(world.finance)["money"]
    assert [(share.name, share.amount) for share in money["shares"]] == [
        ("t-7", 8), ("t-6", 7), ("t-5", 6), ("t-4", 5), ("t-3", 4), ("t-2", 3), ("others", 3),
    ]  # fmt: skip
    assert money["chart"].total == 36
    assert len(money["chart"].days) == 30


def test_a_lead_sees_the_costs_of_the_own_team_alone(world):
    today = timezone.now().date()
    cost(world, today, Decimal(7))
    cost(world, today, Decimal(100), team=factories.TeamFactory(organization=world.organization))
    money = parts(world.lead)["money"]
    assert figure(money, "Spent this month").value == "7.00 USD"
    assert [share.name for share in money["shares"]] == [world.team.slug]


def test_a_budget_near_its_limit_stands_first_and_says_so_in_words(world):
    now = timezone.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for scope, scope_id, spent in (
        ("TEAM", world.team.id, 85),
        ("ORGANIZATION", world.organization.id, 10),
        ("USER", world.engineer.id, 100),
    ):
        factories.BudgetFactory(
            organization=world.organization, scope=scope, scope_id=scope_id, amount=100, spent=spent,
            period_start=month, period_end=(month + timedelta(days=32)).replace(day=1), adopted_at=now,
        )  # fmt: skip
    gauges = parts(world.admin)["money"]["gauges"]
    assert [(gauge.budget.spent, gauge.standing) for gauge in gauges] == [
        (100, "limit reached"),
        (85, "past its warning"),
        (10, "within"),
    ]
    assert "85 % spent, 0 % reserved" in gauges[1].bar


@pytest.mark.parametrize("role", ROLES)
def test_the_page_links_every_figure_to_a_list_and_asks_as_much_however_much_there_is(world, client, role):
    client.force_login(getattr(world, role))
    query_counts.hold(f"GET /admin/ as {role}", lambda: client.get("/admin/"))
    today = timezone.now().date()
    for nr in range(3):
        team = factories.TeamFactory(organization=world.organization)
        factories.WorkSpaceFactory(organization=world.organization, team=world.team)
        cost(world, today - timedelta(days=nr), Decimal(3), team=team if nr else None)
    page = client.get("/admin/")
    assert page.status_code == 200
    links = [link for _, part in page.context["parts"] for _, _, link in part.get("states", ())]
    links += [one.link for _, part in page.context["parts"] for one in part["figures"]]
    links += [share.link for _, part in page.context["parts"] for share in part.get("shares", ())]
    assert len(links) > 5
    for link in links:
        listed = client.get(link)
        assert listed.status_code == 200, link
        assert not list(listed.context["messages"]), (link, list(listed.context["messages"]))


def test_the_queries_do_not_grow_with_teams_and_machines(world, client):
    client.force_login(world.admin)
    today = timezone.now().date()

    def some(number):
        for _ in range(number):
            team = factories.TeamFactory(organization=world.organization)
            machine = factories.WorkSpaceFactory(organization=world.organization, team=team)
            cost(world, today, Decimal(3), team=team, user=machine.owner)

    some(2)
    query_counts.hold("GET /admin/ with machines", lambda: client.get("/admin/"))
    some(9)
    query_counts.hold("GET /admin/ with machines", lambda: client.get("/admin/"))


def test_without_a_budget_the_page_says_what_that_means(world, client):
    client.force_login(world.admin)
    assert "nothing is limited" in client.get("/admin/").content.decode()
