"""People save the filters of a list under a name, find them above it, and nobody else does."""

from __future__ import annotations

import pytest

from audit.models import AuditLog
from forge.accounts.models import SavedList
from forge.accounts.saved_lists import MOST
from forge.db.ids import uuid7
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db
SAVE = "/admin/saved/"
LIST = "/admin/workspaces/workspace/"
LABEL = "workspaces.workspace"


@pytest.fixture
def lead():
    return MembershipFactory(role="team_lead").user


@pytest.fixture
def browser(client, lead):
    client.force_login(lead)
    return client


def save(browser, **changes):
    return browser.post(SAVE, {"model_label": LABEL, "name": "Stopped", "query": "state__exact=STOPPED&p=2"} | changes)


def told(action):
    return [entry.result for entry in AuditLog.objects.filter(action_type=action)]


def test_a_filter_is_saved_stands_above_its_list_and_leads_back_to_it(browser, lead):
    answer = save(browser)
    assert answer.url == f"{LIST}?state__exact=STOPPED"
    kept = SavedList.objects.get()
    assert (kept.user, kept.organization, kept.query) == (lead, lead.organization, "state__exact=STOPPED")
    page = browser.get(LIST)
    assert [link for _, link, _ in page.context["saved_lists"]] == [answer.url]
    assert "Stopped" in page.content.decode()
    assert browser.get("/admin/operations/operation/").context["saved_lists"] == []
    assert told("LIST_SAVE") == ["SUCCESS"]


def test_the_same_name_takes_the_place_of_what_stood_under_it(browser):
    save(browser)
    save(browser, query="state__exact=FAILED")
    assert SavedList.objects.get().query == "state__exact=FAILED"
    before, after = AuditLog.objects.filter(action_type="LIST_SAVE").order_by("timestamp", "id")
    assert before.full_changes["before"] is None
    assert after.full_changes["before"]["query"] == "state__exact=STOPPED"


@pytest.mark.parametrize(
    "changes", [{"name": " "}, {"name": "x" * 61}, {"query": ""}, {"query": "p=3"}, {"query": "a=" + "b" * 2100}]
)
def test_without_a_name_or_a_filter_nothing_is_saved(browser, changes):
    save(browser, **changes)
    assert not SavedList.objects.exists()
    assert told("LIST_SAVE") == ["DENIED"]


def test_a_list_that_the_person_may_not_open_cannot_be_saved(browser):
    for label in ("workspaces.finding", "no.such", ""):
        save(browser, model_label=label)
    assert not SavedList.objects.exists()
    assert told("LIST_SAVE") == ["FAILURE"] * 3


def test_there_is_an_end_to_how_many(browser):
    for number in range(MOST + 1):
        save(browser, name=f"filter {number}")
    assert SavedList.objects.count() == MOST
    save(browser, name="filter 0", query="state__exact=FAILED")
    assert SavedList.objects.get(name="filter 0").query == "state__exact=FAILED"


def test_one_takes_the_own_away_and_nobody_elses(browser, lead):
    save(browser)
    kept = SavedList.objects.get()
    colleague = MembershipFactory(
        role="admin", team=None, organization=lead.organization, user__organization=lead.organization
    ).user
    for other in (colleague, UserFactory(organization=None)):
        browser.force_login(other)
        assert browser.get(LIST).context["saved_lists"] == []
        browser.post(f"{SAVE}{kept.pk}/forget/")
        assert SavedList.objects.exists()
    browser.force_login(lead)
    assert browser.get(f"{SAVE}{kept.pk}/forget/").status_code == 405
    assert browser.post(f"{SAVE}{kept.pk}/forget/").url == LIST
    assert not SavedList.objects.exists()
    browser.post(f"{SAVE}{uuid7()}/forget/")
    assert sorted(told("LIST_FORGET")) == ["FAILURE", "FAILURE", "FAILURE", "SUCCESS"]


def test_who_may_not_come_in_saves_nothing(client):
    client.force_login(MembershipFactory(role="engineer").user)
    save(client)
    assert not SavedList.objects.exists()
    assert told("LIST_SAVE") == ["DENIED"]


@pytest.mark.parametrize("changes", [{"name": "a\x00b"}, {"query": "q=%00"}, {"query": "q=a\x00b"}])
def test_null_characters_are_not_saved(browser, changes):
    assert save(browser, **changes).status_code == 302
    assert not SavedList.objects.exists()
    assert told("LIST_SAVE") == ["DENIED"]
