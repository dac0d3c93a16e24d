"""What changes nothing is never told as done: any address of the console, posted to with nothing in it."""

import re

import pytest
from django.contrib import admin

from tests import world as worlds
from tests.audit.walk.marks import browser, left_by, nowhere, told

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("listed_machines_stand")]


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def console():
    return browser(worlds.build().admin)


def addresses(patterns, before="/admin/"):
    """Each address of the console but the way out, with what nothing is called by in the place of an id."""
    for pattern in patterns:
        route = before + re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]*>", nowhere(), str(pattern.pattern)).strip("^$")
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern.url_patterns, route)
        elif pattern.name != "logout":
            yield route


def test_no_address_of_the_console_tells_of_a_success(console):
    told_as_done = {}
    known = list(addresses(admin.site.get_urls()))
    assert len(known) > 300
    for address in known:
        _, entries = left_by(lambda: console.post(address))  # noqa: B023
        if [result for _, result in told(entries)] not in (["FAILURE"], ["DENIED"]):
            told_as_done[address] = told(entries)
    assert told_as_done == {}


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/admin/workspaces/workspace/anything/", 405),
        ("/admin/workspaces/workspace/anything/history/", 405),
        ("/admin/workspaces/workspace/?state__exact=NONE_SUCH&launched_at__gte=never", 405),
        ("/admin/audit/auditlog/?month=x", 405),
        ("/admin/no/such/address/", 404),
    ],
)
def test_it_is_told_as_what_was_answered(console, address, status):
    answer, (entry,) = left_by(lambda: console.post(address))
    assert answer.status_code == status
    assert (entry.action_type, entry.result, entry.context["status"]) == ("OTHER", "FAILURE", status)


def test_an_address_without_an_end_still_leads_to_the_page_of_its_row(console):
    answer = console.get("/admin/workspaces/workspace/anything/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/workspaces/workspace/anything/change/")
