"""Pages of lists: walked by keyset in any order, without a count or an offset, there and back."""

import itertools
import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from forge.accounts.models import Project, UserSession
from forge.adminkit.orders import Order
from forge.api.keysets import InvalidCursor, Position
from forge.db.ids import uuid7
from tests.factories import MembershipFactory, OrganizationFactory, ProjectFactory, UserFactory
from workspaces.models import WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.forge.adminkit.urls")]
LIST = "/admin/accounts/project/"
PER_PAGE = 10


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def projects(organization):
    """25 of them, with equal names and cost centers, most without an owner."""
    owners = [None, None, UserFactory(organization=organization), UserFactory(organization=organization)]
    return [
        ProjectFactory(
            organization=organization, name=f"name {nr % 3}", cost_center=f"r-{nr % 2}", owner=owners[nr % 4]
        )
        for nr in range(25)
    ]


@pytest.fixture
def admin(organization):
    browser = Client()
    browser.force_login(MembershipFactory(user__organization=organization, role="admin", team=None).user)
    return browser


def rows(html):
    return list(dict.fromkeys(re.findall(r"/admin/accounts/project/([0-9a-f-]{36})/change/", html)))


def link(html, rel):
    found = re.search(rf'<a class="forge-page" rel="{rel}"[^>]*href="([^"]+)"', html)
    return unescape(found.group(1)) if found else None


def walk(browser, address, rel):
    """The pages from `address` on along the links `rel`, each as its rows, and the last one's address."""
    pages = []
    while address is not None:
        html = browser.get(LIST + address).content.decode()
        pages.append(rows(html))
        last, address = address, link(html, rel)
    return pages, last


ORDERS = ["", "?o=0", "?o=-0", "?o=1.0", "?o=-1.0", "?o=2", "?o=-2", "?o=0.-1.2", "?o=-2.-0", "?o=2.-1"]
COLUMNS = {"0": "name", "1": "cost_center", "2": "owner_id"}


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("query", ORDERS)
def test_every_order_is_walked_there_and_back_without_a_lost_or_doubled_row(admin, projects, query):
    there, last = walk(admin, query, "next")
    assert [len(page) for page in there] == [10, 10, 5]
    seen = list(itertools.chain(*there))
    assert sorted(seen) == sorted(str(project.pk) for project in projects)
    back, _ = walk(admin, last, "prev")
    assert back == there[::-1]


@pytest.mark.parametrize("query", ORDERS)
def test_pages_stand_in_the_order_that_postgresql_gives_the_whole_list(admin, projects, query):
    wanted = [part.replace(part.lstrip("-"), COLUMNS[part.lstrip("-")]) for part in query[3:].split(".") if part]
    wanted.append("id" if wanted and not wanted[-1].startswith("-") else "-id")
    there, _ = walk(admin, query, "next")
    expected = Project.objects.order_by(*wanted).values_list("pk", flat=True)
    assert list(itertools.chain(*there)) == [str(pk) for pk in expected]


def test_a_page_asks_one_query_and_neither_counts_nor_skips(admin, projects):
    html = admin.get(LIST).content.decode()
    for address in (LIST, LIST + link(html, "next")):
        with CaptureQueriesContext(connection) as queries:
            admin.get(address)
        listed = [query["sql"] for query in queries if 'FROM "accounts_project"' in query["sql"]]
        assert sum("LIMIT 11" in sql for sql in listed) == 1
        assert not [sql for sql in listed if "COUNT(" in sql or "OFFSET" in sql]


def test_rows_that_come_and_go_meanwhile_neither_double_nor_hide_another(admin, projects, organization):
    first = admin.get(LIST + "?o=0").content.decode()
    shown = rows(first)
    Project.objects.filter(pk__in=shown[:4]).delete()
    ProjectFactory(organization=organization, name="a new one before all")
    second = admin.get(LIST + link(first, "next")).content.decode()
    third = admin.get(LIST + link(second, "next")).content.decode()
    assert len({*shown, *rows(second), *rows(third)}) == 25


def test_the_way_back_from_a_page_that_has_gone_leads_to_what_is_left(admin, projects):
    first = admin.get(LIST + "?o=0").content.decode()
    there = link(first, "next")
    Project.objects.exclude(pk__in=rows(first)).delete()
    empty = admin.get(LIST + there).content.decode()
    assert rows(empty) == []
    assert rows(admin.get(LIST + link(empty, "prev")).content.decode()) == rows(first)


def test_links_keep_filters_search_and_order(admin, projects):
    html = admin.get(LIST, {"cost_center": "r-0", "q": "name", "o": "-0"}).content.decode()
    for rest in ("cost_center=r-0", "q=name", "o=-0"):
        assert rest in link(html, "next")
    second = admin.get(LIST + link(html, "next")).content.decode()
    assert len(rows(html)) + len(rows(second)) == 13
    assert set(Project.objects.filter(pk__in=rows(second)).values_list("cost_center", flat=True)) == {"r-0"}


@pytest.mark.parametrize("place", ["0", "2", "-1", "x", "9" * 30, "W10", "bnVsbA", "\x7f", "é", "=" * 5, "A" * 9999])
def test_what_is_no_place_in_the_list_shows_the_first_page_and_says_so(admin, projects, place):
    answer = admin.get(LIST, {"p": place, "cost_center": "r-0"})
    assert answer.status_code == 200
    assert len(rows(answer.content.decode())) == PER_PAGE
    assert "no such page" in answer.content.decode()
    assert link(answer.content.decode(), "prev") is None


def test_a_place_of_another_order_is_none_here(admin, projects):
    place = re.search(r"p=([^&]+)", link(admin.get(LIST + "?o=0").content.decode(), "next")).group(1)
    assert "no such page" in admin.get(f"{LIST}?o=1&p={place}").content.decode()


def test_nobody_reaches_another_organizations_rows_by_a_place(admin, projects):
    theirs = Order.of(Project.objects.all(), ["-id"])
    place = theirs.encode(theirs.position_of(ProjectFactory(name="Their secret")))
    html = admin.get(f"{LIST}?p={place}").content.decode()
    assert "Their secret" not in html


def test_a_place_at_what_is_no_address_of_the_network_is_none(projects):
    order = Order.of(UserSession.objects.all(), ["source_ip"])
    row = UserSession(source_ip="192.0.2.7")
    position = order.position_of(row)
    assert order.decode(order.encode(position)) == position
    row.source_ip = "abc"
    with pytest.raises(InvalidCursor):
        order.decode(order.encode(order.position_of(row)))


@pytest.mark.parametrize("descending", [False, True])
def test_behind_a_value_that_may_be_null_an_index_has_a_bound_to_begin_at(descending):
    order = Order.of(WorkSpace.objects.all(), ["-next_action_at" if descending else "next_action_at"])
    position = Position((datetime(2026, 3, 1, tzinfo=UTC),), uuid7())
    sql = str(order.apply(WorkSpace.objects.all(), position).query)
    operator = "<=" if descending else ">="
    assert f'("workspaces_workspace"."next_action_at") {operator} ' in sql.split(" OR ")[0], sql


def test_a_position_is_read_as_it_was_written_and_as_nothing_else(projects):
    order = Order.of(Project.objects.all(), ["owner__full_name", "-created_at"])
    row = order.apply(Project.objects.all(), None)[3]
    position = order.position_of(row)
    assert order.decode(order.encode(position)) == position
    with pytest.raises(InvalidCursor):
        Order.of(Project.objects.all(), ["-created_at"]).decode(order.encode(position))
