"""An export that fails while its rows are read: a message, its entry stands, and nothing is left open."""

import errno
import inspect
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from audit.models import AuditLog
from forge.api import turns
from forge.api.errors import Refused
from forge.api.models import DenialCount
from forge.api.spools import NoRoom, SpoolFull, spooled
from forge.api.turns import ExportsBusy
from forge.console import exports
from forge.db import scope
from tests import factories
from tests import world as worlds
from tests.audit.walk.marks import left_by

MACHINES = "/admin/workspaces/workspace/"


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def browser(monkeypatch):
    """An admin's, of an organization whose machines take 300 kB each in a file, read one by one."""
    world = worlds.build()
    for _ in range(5):
        factories.WorkSpaceFactory(organization=world.organization, team=world.team, provider_account=world.account)
    honest = exports._text
    monkeypatch.setattr(exports, "PAGE", 1)
    monkeypatch.setattr(exports, "_text", lambda lines: honest(lines) + os.urandom(300_000))
    browser = Client(raise_request_exception=False)
    browser.force_login(world.admin)
    return browser


def committed():
    """What another connection sees of exports in the log."""

    def look():
        try:
            with scope.system():
                return list(AuditLog.objects.filter(action_type="LIST_EXPORT").values_list("result", flat=True))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(look).result()


def full_disk(**_):
    return open("/dev/full", "wb+", buffering=0)


@pytest.mark.django_db(transaction=True)
def test_a_file_that_grows_too_large_leaves_its_entry_and_no_open_transaction(browser, monkeypatch):
    monkeypatch.setattr(exports, "SPOOLED", 700_000)
    answer = browser.get(f"{MACHINES}export/csv/")
    assert not connection.in_atomic_block
    assert (answer.status_code, answer["Location"]) == (302, f"{MACHINES}?")
    assert committed() == ["DENIED"]


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_becomes_a_message(browser, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", full_disk)
    answer = browser.get(f"{MACHINES}export/csv/")
    assert not connection.in_atomic_block
    assert (answer.status_code, answer["Location"]) == (302, f"{MACHINES}?")
    assert "no room on disk" in " ".join(str(message) for message in get_messages(answer.wsgi_request))
    assert committed() == ["FAILURE"]


@pytest.mark.django_db(transaction=True)
def test_rows_that_cannot_be_made_leave_no_open_transaction(browser, monkeypatch):
    def broken(value):
        raise ValueError("a cell")

    monkeypatch.setattr(exports, "_cell", broken)
    assert browser.get(f"{MACHINES}export/csv/").status_code == 500
    assert not connection.in_atomic_block
    with transaction.atomic():  # a cursor that was closed only now would break this one
        assert committed() == ["FAILURE"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (NoRoom(), ("FAILURE", 503, "no_room_for_file")),
        (ExportsBusy(), ("RATE_LIMITED", 429, "exports_busy")),
        (Refused(), ("DENIED", 422, "refused")),
        (ValueError("a fault of ours"), ("FAILURE", 500, None)),
    ],
)
def test_the_console_and_the_api_tell_the_same_of_an_export_that_came_to_nothing(monkeypatch, refusal, told):
    def fails(person):
        raise refusal

    world = worlds.build()
    console, api = Client(raise_request_exception=False), APIClient(raise_request_exception=False)
    console.force_login(world.admin)
    api.force_authenticate(world.admin)
    monkeypatch.setattr(turns, "take", fails)
    own = {MACHINES: "LIST_EXPORT", "/admin/audit/auditlog/": "AUDIT_EXPORT"}
    asks = [(console, f"{page}export/csv/", action) for page, action in own.items()]
    asks += [(api, "/api/v1/costs/export/?format=focus-csv", "COST_EXPORT")]
    asks += [(api, "/api/v1/audit/export/?format=csv", "AUDIT_EXPORT")]
    for client, address, action in asks:
        DenialCount.objects.all().delete()
        answer, (entry,) = left_by(lambda: client.get(address))  # noqa: B023
        assert answer.status_code in (302, told[1])
        (result, status, code), counted = told, told[0] == "RATE_LIMITED"
        expected = ("RATE_LIMITED", "DENIED") if counted else (action, result)
        assert (entry.action_type, entry.result) == expected
        assert entry.context["status"] == status
        assert entry.context["code"] == code or client is api


@pytest.mark.parametrize(("fault", "most"), [(SpoolFull, 10), (NoRoom, None)])
def test_what_makes_the_pieces_is_closed_before_anything_is_raised(monkeypatch, fault, most):
    pieces = (os.urandom(300_000) for _ in range(5))
    if fault is NoRoom:
        monkeypatch.setattr(tempfile, "TemporaryFile", full_disk)
    with pytest.raises(fault) as caught:
        spooled(pieces, most=most)
    assert inspect.getgeneratorstate(pieces) == inspect.GEN_CLOSED
    assert fault is SpoolFull or caught.value.__cause__.errno == errno.ENOSPC
