"""Lists as files: exactly what the list shows, for those who may, safe for spreadsheets, with an audit entry."""

import csv
import io
import re
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLog
from forge.accounts.models import User
from forge.console import exports
from tests import factories
from tests import world as worlds

pytestmark = pytest.mark.django_db
MACHINES, PEOPLE = "/admin/workspaces/workspace/", "/admin/accounts/user/"
LISTS = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for model, one in admin.site._registry.items()
    if getattr(one, "export_fields", ())
]


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def world():
    return worlds.build()


def console_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def file_of(answer):
    assert answer.status_code == 200, answer
    return read([answer.getvalue()])


def read(parts):
    text = b"".join(parts).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def machines(world, count, **fields):
    return [
        factories.WorkSpaceFactory(
            organization=world.organization, team=world.team, provider_account=world.account, **fields
        )
        for _ in range(count)
    ]


def told():
    return AuditLog.objects.filter(action_type="LIST_EXPORT").order_by("timestamp", "id")


def said(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_the_link_gives_exactly_what_the_list_shows_over_all_its_pages(world, monkeypatch):
    monkeypatch.setattr(exports, "PAGE", 7)
    running, _ = machines(world, 60, state="AVAILABLE"), machines(world, 3, state="STOPPED")
    theirs = factories.WorkSpaceFactory()
    browser = console_of(world.admin)
    html = browser.get(MACHINES, {"state__exact": "AVAILABLE", "o": "1"}).content.decode()
    (address,) = [unescape(one) for one in re.findall(rf'href="({MACHINES}export/[^"]*)"', html)]
    lines = file_of(browser.get(address))
    assert [line["id"] for line in lines] == [str(one.pk) for one in sorted(running, key=_newest_first)]
    assert {line["state"] for line in lines} == {"AVAILABLE"}
    assert lines[0]["owner_email"] == min(running, key=_newest_first).owner.email
    assert str(theirs.pk) not in {line["id"] for line in lines}
    (entry,) = told()
    assert (entry.result, entry.interface, entry.resource_type) == ("SUCCESS", "ADMIN", "WorkSpace")
    assert (entry.context["count"], entry.context["format"]) == (60, "csv")
    assert "state__exact=AVAILABLE" in entry.full_context["filters"]


def _newest_first(machine):
    return -machine.created_at.timestamp(), -machine.pk.int


def test_a_file_is_read_by_one_statement_before_its_first_byte_is_sent(world, monkeypatch):
    monkeypatch.setattr(exports, "PAGE", 5)
    machines(world, 12)
    with CaptureQueriesContext(connection) as queries:
        answer = console_of(world.admin).get(f"{MACHINES}export/csv/")
    read_by = [query["sql"] for query in queries if "NO SCROLL CURSOR" in query["sql"]]
    assert len(read_by) == 1, queries.captured_queries
    with CaptureQueriesContext(connection) as queries:
        assert len(file_of(answer)) == 12
    assert len(queries) == 0


def test_a_file_is_of_one_instant_whatever_changes_while_it_is_written(world, monkeypatch):
    """Who is renamed, and what is booked, between two reads: a bill moves costs from one row of a list to another."""
    monkeypatch.setattr(exports, "PAGE", 3)
    worlds.engineers(world, 9)
    people = User.objects.filter(organization=world.organization)
    before = {(str(pk), name) for pk, name in people.values_list("pk", "full_name")}
    honest = exports._text

    def renaming(lines):
        people.update(full_name="zz")
        return honest(lines)

    monkeypatch.setattr(exports, "_text", lambda lines: (renaming if len(lines) == 3 else honest)(lines))
    lines = file_of(console_of(world.admin).get(f"{PEOPLE}export/csv/"))
    assert {(line["id"], line["full_name"]) for line in lines} == before
    assert set(people.values_list("full_name", flat=True)) == {"zz"}
    assert told().get().context["count"] == len(before)


def test_a_file_that_takes_too_much_room_becomes_a_message(world, monkeypatch):
    monkeypatch.setattr(exports, "SPOOLED", 20)
    machines(world, 3)
    answer = console_of(world.admin).get(f"{MACHINES}export/csv/")
    assert (answer.status_code, answer["Location"]) == (302, f"{MACHINES}?")
    assert "Narrow the list" in said(answer)
    assert [entry.result for entry in told()] == ["DENIED"]


SET_ONCE = {
    "id", "created_at", "timestamp", "organization_id", "period_start", "day", "recorded_at", "found_at", "attested_at",
    "first_seen_at",
}  # fmt: skip


def test_files_are_read_in_orders_that_no_change_of_a_row_moves():
    moving = {
        (model.__name__, name.removeprefix("-"))
        for model, one in admin.site._registry.items()
        if getattr(one, "export_fields", ())
        for name in (one.export_ordering or (*one.ordering, *one.ordering_of_all))
        if name.removeprefix("-") not in SET_ONCE
    }
    assert moving == set()


@pytest.mark.parametrize("name", ["=1+1", "+x", "-2", "@cmd", "\t=1", "'quoted"])
def test_what_a_spreadsheet_would_take_for_a_formula_stays_text(world, name):
    machines(world, 1, name=name)
    (line,) = file_of(console_of(world.admin).get(f"{MACHINES}export/csv/"))
    assert line["name"] == f"'{name}"


def test_cells_are_data_and_not_what_a_page_makes_of_them(world):
    (machine,) = machines(world, 1, name="plain", tags={"cost-center": "r-1"}, project=None)
    (line,) = file_of(console_of(world.admin).get(f"{MACHINES}export/csv/"))
    assert "cost_to_date" not in line  # an auditor sees this list, and takes no costs out
    assert line["created_at"] == machine.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert line["project_slug"] == line["terminated_at"] == ""
    assert line["keep_alive"] == "false"
    assert line["tags"] == '{"cost-center": "r-1"}'


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("role", ["operator", "admin", "auditor", "finance", "lead", "engineer"])
@pytest.mark.parametrize("address", LISTS)
def test_a_list_gives_its_file_to_those_who_may_look_at_it_and_costs_not_to_auditors(world, address, role):
    user = factories.UserFactory(organization=None) if role == "operator" else getattr(world, role)
    browser = console_of(user)
    sees = browser.get(address)
    answer = browser.get(f"{address}export/csv/")
    if sees.status_code != 200:
        assert answer.status_code == sees.status_code
        return
    offered = f'href="{address}export/csv/' in sees.content.decode()
    assert (answer.status_code == 200) == offered
    if offered:
        head = answer.getvalue().decode().split("\r\n")[0]
        assert head.startswith('"id"')
    if address.startswith(("/admin/costs/bookfault", "/admin/costs/billgap")):  # of the whole organization
        assert offered == (role not in ("auditor", "lead"))
    elif address.startswith(("/admin/costs/", "/admin/budgets/")):
        assert offered == (role != "auditor")
    elif not address.startswith("/admin/audit/"):
        assert offered


def test_a_leads_file_of_budgets_and_reservations_has_the_teams_alone(world):
    machine, other = machines(world, 1)[0], factories.TeamFactory(organization=world.organization)
    own = factories.BudgetFactory(organization=world.organization, scope="TEAM", scope_id=world.team.pk)
    persons = factories.BudgetFactory(organization=world.organization, scope="USER", scope_id=world.lead.pk)
    elsewhere = factories.WorkSpaceFactory(organization=world.organization, team=other, owner=world.lead)
    held, _ = (
        factories.ReservationFactory(budget=budget, workspace=one)
        for budget, one in ((own, machine), (persons, elsewhere))
    )
    browser = console_of(world.lead)
    assert [line["id"] for line in file_of(browser.get("/admin/budgets/budget/export/csv/"))] == [str(own.pk)]
    assert [line["id"] for line in file_of(browser.get("/admin/budgets/reservation/export/csv/"))] == [str(held.pk)]


def test_more_rows_than_the_setting_allows_become_a_message(world, settings):
    settings.FORGE_LIST_EXPORT_ROWS = 2
    machines(world, 3)
    answer = console_of(world.admin).get(f"{MACHINES}export/csv/?state__exact=AVAILABLE")
    assert answer.status_code == 302
    assert answer["Location"] == f"{MACHINES}?state__exact=AVAILABLE"
    assert "Narrow the list" in said(answer)
    assert [entry.result for entry in told()] == ["DENIED"]


@pytest.mark.parametrize(("query", "status"), [("colour=red", 400), ("state__exact=%00", 302)])
def test_a_filter_that_cannot_be_meant_gives_no_file(world, query, status):
    answer = console_of(world.admin).get(f"{MACHINES}export/csv/?{query}")
    assert answer.status_code in (status, 400)
    assert not told().filter(result="SUCCESS").exists()


def test_another_format_or_method_gives_no_file_and_no_entry(world):
    browser = console_of(world.admin)
    assert browser.get(f"{MACHINES}export/xlsx/").status_code == 404
    assert browser.head(f"{MACHINES}export/csv/").status_code == 200
    assert browser.post(f"{MACHINES}export/csv/").status_code == 405
    assert not told().filter(result="SUCCESS").exists()


def test_a_list_that_names_no_fields_has_no_file(world):
    browser = console_of(world.admin)
    assert "apitoken/export/" not in browser.get("/admin/accounts/apitoken/").content.decode()
    assert browser.get("/admin/accounts/apitoken/export/csv/").status_code == 302


def test_no_file_holds_a_secret():
    fields = {path for one in admin.site._registry.values() for path in getattr(one, "export_fields", ())}
    assert not [path for path in fields if re.search("password|secret|token|session_key|salt|body", path)]


def test_the_search_of_the_list_is_the_files_too(world):
    (found,) = machines(world, 1, name="alpha-1")
    machines(world, 2, name="beta")
    lines = file_of(console_of(world.admin).get(f"{MACHINES}export/csv/", {"q": "ALPHA"}))
    assert [line["id"] for line in lines] == [str(found.pk)]
