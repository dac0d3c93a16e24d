"""The first page of the console shows each role its own figures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from forge.console.overview import overview
from tests import factories
from tests.world import build

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return build(expire_at=timezone.now() + timedelta(days=1))


def count(figures: dict, state: str) -> int:
    return next(number for label, number, _ in figures["states"] if label == state)


def test_an_admin_sees_the_organizations_machines_and_no_others(world):
    factories.WorkSpaceFactory(organization=world.organization, team=world.team, owner=world.engineer)
    factories.WorkSpaceFactory()
    assert count(overview(world.admin, timezone.now(), sees_operations=True), "Available") == 1


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
    gauges = overview(world.admin, now, sees_operations=True)["gauges"]
    assert [(gauge.budget.spent, gauge.standing) for gauge in gauges] == [
        (100, "limit reached"),
        (85, "past its warning"),
        (10, "within"),
    ]
    assert "85 % spent, 0 % reserved" in gauges[1].bar


def test_the_page_shows_and_links_every_figure(world, client):
    client.force_login(world.admin)
    page = client.get("/admin/")
    assert page.status_code == 200
    for figure in page.context["figures"]:
        assert client.get(figure.link).status_code == 200
    for _, _, link in page.context["states"]:
        assert client.get(link).status_code == 200


def test_launches_are_counted_for_those_alone_who_may_see_operations(world, client):
    for user, sees in ((world.auditor, True), (world.finance, False)):
        client.force_login(user)
        titles = [figure.title for figure in client.get("/admin/").context["figures"]]
        assert ("Launches in 24 hours" in titles) is sees
        assert "Spent this month" in titles


def test_without_a_budget_the_page_says_what_that_means(world, client):
    client.force_login(world.admin)
    assert "nothing is limited" in client.get("/admin/").content.decode()
