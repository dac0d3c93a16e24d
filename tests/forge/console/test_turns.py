"""Files that are written at once: one for each person, few in each process, whoever has given them up."""

import gc
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from forge.api import turns
from forge.api.spools import spooled
from tests import factories
from tests import world as worlds

LISTS = ("/admin/workspaces/workspace/", "/admin/accounts/user/")
COSTS = "/api/v1/costs/export/?format=focus-csv"
LOG = "/api/v1/audit/export/?format=csv"


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture(autouse=True)
def nobody_has_a_turn(monkeypatch):
    monkeypatch.setattr(turns, "_held", set())


@pytest.fixture
def world():
    return worlds.build()


def console_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def api_of(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def asked(user, number=0):
    return console_of(user).get(f"{LISTS[number]}export/csv/")


def log_asked(user):
    return console_of(user).get("/admin/audit/auditlog/export/ndjson/")


def log_over_api(user):
    return api_of(user).get(LOG)


def costs_over_api(user):
    return api_of(user).get(COSTS)


def said(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


@pytest.mark.django_db(transaction=True)
def test_a_person_has_one_file_at_a_time_until_it_is_sent(world):
    first = asked(world.admin)
    assert first.status_code == 200
    pieces = iter(first.streaming_content)
    assert next(pieces)  # whole since before this piece; the rest waits for its reader, who has a thread for as long
    second = asked(world.admin, 1)
    assert second.status_code == 302
    assert "written for you already, or still being sent" in said(second)
    over_api = api_of(world.admin).get(COSTS)
    assert (over_api.status_code, over_api.json()["code"]) == (429, "export_under_way")
    assert int(over_api["Retry-After"]) > 0
    list(pieces)
    first.close()
    for _ in range(2):
        assert b"".join(asked(world.admin, 1).streaming_content)
        assert b"".join(api_of(world.admin).get(COSTS).streaming_content)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [log_asked, log_over_api])
def test_an_export_of_the_log_is_one_of_them_until_it_is_sent(world, settings, ask):
    first = ask(world.admin)
    pieces = iter(first.streaming_content)
    next(pieces)
    assert "written for you already" in said(asked(world.admin))
    assert log_over_api(world.admin).json()["code"] == "export_under_way"
    settings.FORGE_EXPORTS_AT_ONCE = 1
    assert "as can be at once" in said(log_asked(world.auditor))
    first.close()
    b"".join(ask(world.admin).streaming_content)
    assert not turns._held


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [log_asked, log_over_api])
def test_an_export_of_the_log_that_is_never_read_or_is_refused_leaves_its_turn(world, settings, ask):
    unread = ask(world.admin)
    assert turns._held == {world.admin.pk}
    unread.close()
    assert not turns._held
    settings.FORGE_EXPORT_STREAM_ENTRIES = 0
    assert ask(world.admin).status_code in (302, 422)
    assert not turns._held


@pytest.mark.django_db(transaction=True)
def test_a_process_writes_few_files_at_once(world, settings):
    settings.FORGE_EXPORTS_AT_ONCE = 2
    kept = [asked(world.admin), api_of(world.finance).get(COSTS)]
    assert [answer.status_code for answer in kept] == [200, 200]
    third = asked(world.auditor)
    assert third.status_code == 302
    assert "as can be at once" in said(third)
    b"".join(kept[1].streaming_content)
    for answer in (kept[0], asked(world.auditor)):
        assert answer.status_code == 200
        answer.getvalue()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [asked, costs_over_api, log_asked, log_over_api])
def test_no_other_process_writes_a_second_file_for_a_person(world, ask):
    def elsewhere():
        try:
            return ask(world.admin)
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        turns.require_alone(world.admin.pk)
        refused = pool.submit(elsewhere).result()
        assert refused.status_code in (302, 429)
        assert not turns._held
    answer = ask(world.admin)
    assert answer.status_code == 200
    answer.getvalue()


@pytest.mark.django_db
def test_a_turn_ends_with_a_refusal(world, settings):
    settings.FORGE_LIST_EXPORT_ROWS = 1
    factories.UserFactory(organization=world.organization)
    for _ in range(2):
        assert "Narrow the list" in said(asked(world.admin, 1))
    assert not turns._held


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_turn_ends_with_a_file_that_nobody_closes():
    person = uuid.uuid4()
    turns.take(person)
    file = spooled(iter_of(b"a"))
    file.at_end(lambda: turns.leave(person))
    with pytest.raises(turns.ExportUnderWay):
        turns.take(person)
    del file
    gc.collect()
    turns.take(person)


def iter_of(*pieces):
    yield from pieces
