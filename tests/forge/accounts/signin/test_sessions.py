"""Where people are signed in, and ending it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from forge.accounts.models import UserSession
from forge.accounts.signin import sessions
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.support import ACCOUNT, browser, is_in, left, sign_in
from tests.workspaces.support import client_of, problem

pytestmark = pytest.mark.django_db

LIST = "/api/v1/me/sessions/"


@pytest.fixture
def person():
    return MembershipFactory(role="engineer").user


def signed_in(user):
    client = browser()
    assert sign_in(client, user, page=ACCOUNT).status_code == 302
    return client


def test_everybody_with_an_account_signs_in_there_and_lands_on_the_own_page(person):
    client = browser()
    answer = sign_in(client, person, page=ACCOUNT)
    assert answer["Location"] == "/account/"
    assert is_in(client)
    row = UserSession.objects.get()
    assert (row.user, row.organization, row.source_ip, row.user_agent) == (
        person,
        person.organization,
        "198.51.100.7",
        "Walk/1.0",
    )
    assert left() == [("AUTH_LOGIN", "SUCCESS", str(person.pk))]


def test_whoever_is_not_signed_in_is_led_to_the_page_for_everybody_and_whoever_is_past_it(person):
    assert browser().get("/account/")["Location"] == "/account/login/?next=/account/"
    assert browser().get("/account/2fa/")["Location"] == "/account/login/?next=/account/2fa/"
    assert signed_in(person).get(ACCOUNT)["Location"] == "/account/"


def test_where_to_go_on_to_is_kept_but_only_within_forge(person):
    assert sign_in(browser(), person, page=ACCOUNT, query="?next=/account/2fa/")["Location"] == "/account/2fa/"
    assert sign_in(browser(), person, page=ACCOUNT, query="?next=https://evil.example/")["Location"] == "/account/"


def test_the_list_shows_ones_own_and_which_is_this_one(person):
    here, _ = signed_in(person), signed_in(person)
    signed_in(MembershipFactory(role="admin", team=None, user__organization=person.organization).user)
    rows = here.get(LIST).json()["results"]
    assert len(rows) == 2
    assert sorted(row["is_current"] for row in rows) == [False, True]
    assert "session_key" not in rows[0]


def test_an_ended_session_opens_nothing_and_its_end_is_in_the_log(person):
    here, there = signed_in(person), signed_in(person)
    rows = here.get(LIST).json()["results"]
    [other] = [row["id"] for row in rows if not row["is_current"]]
    assert client_of(person).delete(f"{LIST}{other}/").status_code == 204
    assert not is_in(there)
    assert is_in(here)
    assert left("SESSION_REVOKE") == [("SESSION_REVOKE", "SUCCESS", other)]


def test_nobody_ends_a_colleagues_session_over_the_own_list(person):
    signed_in(person)
    admin = MembershipFactory(role="admin", team=None, user__organization=person.organization).user
    problem(client_of(admin).delete(f"{LIST}{UserSession.objects.get().pk}/"), 404, "not_found")


def test_the_page_ends_another_session(person):
    here, there = signed_in(person), signed_in(person)
    key = there.session.session_key
    page = f"/account/sessions/{UserSession.objects.get(session_key=key).pk}/end/"
    assert here.post(page)["Location"] == "/account/"
    assert not is_in(there)
    here.post(page)
    assert [result for _, result, _ in left("SESSION_REVOKE")] == ["SUCCESS", "FAILURE"]


def test_signing_out_takes_the_row_away(person):
    client = signed_in(person)
    assert client.post("/account/logout/")["Location"] == ACCOUNT
    assert not UserSession.objects.exists()
    assert left("AUTH_LOGOUT") == [("AUTH_LOGOUT", "SUCCESS", str(person.pk))]


def test_a_new_password_ends_the_other_sessions_and_keeps_the_row_of_this_one():
    admin = MembershipFactory(role="admin", team=None).user
    here, there = browser(), browser()
    sign_in(here, admin)
    sign_in(there, admin)
    new = {"old_password": "correct horse battery staple", "new_password1": "x" * 20, "new_password2": "x" * 20}
    assert here.post("/admin/password_change/", new).status_code == 302
    assert is_in(here)
    assert not is_in(there)
    assert UserSession.objects.get().session_key == here.session.session_key
    assert [row[:2] for row in left("SESSION_REVOKE")] == [("SESSION_REVOKE", "SUCCESS")]


def test_a_session_in_use_is_seen_every_five_minutes_at_most(person):
    client = signed_in(person)
    long_ago = timezone.now() - timedelta(minutes=6)
    UserSession.objects.update(seen_at=long_ago)
    is_in(client)
    assert UserSession.objects.get().seen_at == long_ago
    session = client.session
    session[sessions.SEEN_AT] = long_ago.isoformat()
    session.save()
    is_in(client)
    assert UserSession.objects.get().seen_at > long_ago


def test_what_is_past_its_end_is_purged_and_not_shown(person):
    client = signed_in(person)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    UserSession.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert client_of(person).get(LIST).json()["results"] == []
    assert sessions.purge(now=timezone.now()) == {"sessions": 1, "rows": 1}
    assert not is_in(client)
