"""The console's list of machines acts on what it shows: a preview, a confirmation, one entry for the request."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.audit.walk import rows
from workspaces.admin import bulk

pytestmark = pytest.mark.django_db
LIST = "/admin/workspaces/workspace/"


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def world(db):
    return worlds.build(expire_at=timezone.now())


@pytest.fixture
def fleet(world):
    """Two running machines and a stopped one."""
    people = worlds.engineers(world, 2)
    return [rows.machine(world, owner=people[0]), rows.machine(world, owner=people[1]), rows.stopped(world)]


def console_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def links(page):
    return [unescape(found) for found in re.findall(r'href="([^"]*workspace/bulk/[^"]*)"', page.content.decode())]


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def entries_of(user):
    return list(
        AuditLog.objects.filter(user_id=user.id).exclude(action_type__startswith="AUTH").values_list(
            "action_type", "result", "resource_type"
        )
    )  # fmt: skip


def ids_of(page):
    return re.search(r'name="ids" value="([^"]*)"', page.content.decode())[1]


def test_what_is_previewed_is_what_is_done(world, fleet):
    console = console_of(world.lead)
    shown = console.get(LIST)
    stop = next(link for link in links(shown) if "/stop/" in link)
    preview = console.get(stop)
    text = preview.content.decode()
    assert "2 machines stop; 1 do not." in text
    assert "1 for illegal in this state." in text
    assert entries_of(world.lead) == []
    answer = console.post(stop, {"ids": ids_of(preview)})
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    assert "2 machines, 1 refused" in said(answer)
    operation = Operation.objects.get(kind="workspace.bulk")
    assert sorted(operation.spec["ids"]) == sorted(str(machine.pk) for machine in fleet[:2])
    assert entries_of(world.lead) == [("WORKSPACE_BULK", "SUCCESS", "Operation")]


def test_filters_of_the_list_are_those_of_the_page(world, fleet):
    console = console_of(world.admin)
    start = next(link for link in links(console.get(LIST, {"state__exact": "STOPPED"})) if "/start/" in link)
    assert ids_of(console.get(start)) == str(fleet[2].pk)


def test_to_terminate_one_has_to_write_it(world, fleet):
    console = console_of(world.admin)
    preview = console.get(f"{LIST}bulk/terminate/")
    assert "lost for good" in preview.content.decode()
    refused = console.post(f"{LIST}bulk/terminate/", {"ids": ids_of(preview)})
    assert refused.status_code == 200
    assert not Operation.objects.exists()
    done = console.post(f"{LIST}bulk/terminate/", {"ids": ids_of(preview), "typed_confirmation": "terminate"})
    assert done.status_code == 302
    assert len(Operation.objects.get().spec["ids"]) == 3
    assert [result for _, result, _ in entries_of(world.admin)] == ["FAILURE", "SUCCESS"]


def test_more_than_may_be_done_at_once_is_not_offered(world, fleet, monkeypatch):
    monkeypatch.setattr(bulk, "MOST", 2)
    answer = console_of(world.admin).get(f"{LIST}bulk/stop/")
    assert answer.status_code == 302
    assert "more than 2 machines" in said(answer)


@pytest.mark.parametrize("role", ["auditor", "finance"])
def test_who_only_looks_sees_no_links_and_is_denied(world, fleet, role):
    user = getattr(world, role)
    console = console_of(user)
    assert links(console.get(LIST)) == []
    assert console.post(f"{LIST}bulk/stop/", {"ids": str(fleet[0].pk)}).status_code == 403
    assert entries_of(user) == [("WORKSPACE_BULK", "DENIED", "Operation")]


def test_another_organizations_machines_are_refused(world, fleet):
    foreign = factories.WorkSpaceFactory()
    answer = console_of(world.admin).post(f"{LIST}bulk/stop/", {"ids": str(foreign.pk)})
    assert "no such machine" not in said(answer)
    assert not Operation.objects.exists()
    assert entries_of(world.admin) == [("WORKSPACE_BULK", "DENIED", "Operation")]


def test_an_unknown_verb_is_not_found(world, fleet):
    assert console_of(world.admin).get(f"{LIST}bulk/rebuild/").status_code == 404
