"""A password by a link from mail: for whom, how long, how often, and that nobody learns from it who exists."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core import mail as django_mail
from django.db import connection
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts import links
from forge.accounts.models import User
from forge.accounts.services import (
    AlreadyIn,
    MayNotComeIn,
    MayNotManagePeople,
    OrganizationHasAdmin,
    awaited_admins,
    create_first_admin,
    create_member,
    create_service_account,
    has_admin,
    invite_again,
    set_active,
)
from forge.accounts.services.inviting import PAUSE
from forge.accounts.signin import guarding, recovering, recovery
from forge.accounts.signin.providers import parse
from forge.accounts.token_services import issue_token
from forge.api.errors import TooMany
from forge.outbox import sending
from forge.outbox.models import Mail
from tests.factories import PASSWORD, MembershipFactory, OrganizationFactory, TeamFactory, UserFactory
from tests.forge.accounts.signin.support import ACCOUNT, browser, is_in, left, sign_in, with_app
from tests.query_counts import hold
from tests.workspaces.support import client_of
from tests.world import actor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ASK, SENT = "/account/password/forgotten/", "/account/password/sent/"
CHOOSE, REVOKE = "/account/password/choose/", "/account/tokens/revoke/"
SURE = {"is_sure": "on"}
NEW = "quite another horse"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(recovery, "ANSWERED_AFTER", 0)


@pytest.fixture(autouse=True)
def own_address(settings):
    settings.FORGE_BASE_URL = "https://forge.example.com"
    settings.FORGE_RATE_PASSWORD_RESET = ""


@pytest.fixture
def admin():
    return MembershipFactory(role="admin", team=None).user


def ask(email, client=None):
    return (client or browser()).post(ASK, {"email": email})


def assert_not_valid(answer):
    """The refusal: away from the address of links, where the next one would not be asked for."""
    assert (answer.status_code, answer["Location"]) == (302, "/account/password/not-valid/")
    page = browser().get(answer["Location"]).content.decode()
    assert page.count("The link is not valid any more") == 2  # the title and the heading
    assert "Ask for another one by" in page


def link(*, now=None):
    """The token of the link in the one mail that is sent now."""
    django_mail.outbox.clear()
    assert sending.send(now=now or timezone.now())["sent"] == 1
    [message] = django_mail.outbox
    [whole, token] = re.search(r"(https://forge\.example\.com/account/password/choose/#(\S+))", message.body).groups()
    assert whole in message.alternatives[0].content
    return token


def choose(token, password=NEW, client=None):
    return (client or browser()).post(CHOOSE, {"link": token, "new_password1": password, "new_password2": password})


def invite(admin, **facts):
    team = TeamFactory(organization=admin.organization)
    wanted = {"email": "new@example.com", "full_name": "New Person", "role": "engineer", "team": team}
    return create_member(actor=actor(admin), organization=admin.organization, now=timezone.now(), **wanted | facts).user


def trust_provider(settings, organization):
    settings.FORGE_IDENTITY_PROVIDERS = parse(
        f'[{{"id": "okta", "kind": "oidc", "name": "Okta", "organization": "{organization.slug}",'
        '"server_url": "https://okta.example.com", "client_id": "x", "client_secret_env": "S"}]',
        environment={"S": "secret"},
    )


class TestForgotten:
    def test_both_sign_in_pages_lead_to_it(self):
        for page in (ACCOUNT, "/admin/login/"):
            assert f'href="{ASK}"' in browser().get(page).content.decode()
        assert "Send the link" in browser().get(ASK).content.decode()

    def test_a_link_from_mail_sets_a_password_and_ends_every_session(self, admin):
        elsewhere = browser()
        sign_in(elsewhere, admin)
        assert is_in(elsewhere)
        assert ask(admin.email.upper())["Location"] == SENT
        path = link()
        page = browser().get(CHOOSE)
        assert (page.status_code, "accounts/link" in page.content.decode()) == (200, True)
        assert "no-store" in page["Cache-Control"]
        assert choose(path)["Location"] == ACCOUNT
        assert not is_in(elsewhere)
        here = browser()
        assert sign_in(here, admin, password=PASSWORD).status_code == 200
        sign_in(here, admin, password=NEW)
        assert is_in(here)
        assert left("PASSWORD_RESET_REQUEST", "PASSWORD_RESET") == [
            ("PASSWORD_RESET_REQUEST", "SUCCESS", str(admin.pk)),
            ("PASSWORD_RESET", "SUCCESS", str(admin.pk)),
        ]
        entry = AuditLog.objects.get(action_type="PASSWORD_RESET")
        assert (entry.organization_id, entry.source_ip) == (admin.organization_id, "198.51.100.7")
        assert Mail.objects.get(kind="account.password_reset").recipient_id == admin.pk

    def test_tokens_outlast_a_new_password_and_page_and_mail_say_so(self, admin):
        api = client_of(admin)
        ask(admin.email)
        assert "API tokens work on" in browser().get(CHOOSE).content.decode()
        choose(link())
        assert api.get("/api/v1/me/").status_code == 200
        django_mail.outbox.clear()
        sending.send(now=timezone.now())
        [told] = django_mail.outbox
        assert "Your API tokens work on." in told.body
        assert "https://forge.example.com/account/" in told.body

    def test_all_of_ones_tokens_are_revoked_on_the_own_page(self, admin):
        own, other = [client_of(admin), client_of(admin)], client_of(MembershipFactory(role="engineer").user)
        ended = issue_token(actor=actor(admin), user=admin, name="old", now=timezone.now())[0]
        type(ended).objects.filter(pk=ended.pk).update(expires_at=timezone.now())
        client = browser()
        sign_in(client, admin)
        assert "2 tokens of yours work" in client.get("/account/").content.decode()
        assert client.get(REVOKE).status_code == 405
        unsure = client.post(REVOKE, follow=True)
        assert "Tick the box first" in unsure.content.decode()
        assert {one.get("/api/v1/me/").status_code for one in own} == {200}
        assert client.post(REVOKE, SURE, follow=True).redirect_chain == [("/account/", 302)]
        assert {one.get("/api/v1/me/").status_code for one in own} == {401}
        assert other.get("/api/v1/me/").status_code == 200
        assert "Revoke all" not in client.get("/account/").content.decode()
        client.post(REVOKE, SURE)
        assert left("TOKEN_REVOKE") == [
            ("TOKEN_REVOKE", "FAILURE", ""),
            ("TOKEN_REVOKE", "SUCCESS", str(admin.pk)),
            ("TOKEN_REVOKE", "FAILURE", ""),
        ]
        entry = AuditLog.objects.get(action_type="TOKEN_REVOKE", result="SUCCESS")
        assert sorted(entry.changes["before"]["tokens"]) == sorted(str(one.token.pk) for one in own)
        assert browser().post(REVOKE, SURE).status_code == 302, "to the sign-in page"
        assert AuditLog.objects.filter(action_type="TOKEN_REVOKE", result="SUCCESS").count() == 1

    def test_ones_tokens_are_listed_with_what_each_may(self, admin):
        until = timezone.now().replace(year=2031, month=3, day=4, hour=5, minute=6)
        facts = {"scopes": ["read"], "networks": ["203.0.113.0/24"], "expires_at": until}
        token, text = issue_token(actor=actor(admin), user=admin, name="nightly", now=timezone.now(), **facts)
        type(token).objects.filter(pk=token.pk).update(last_used_at=until.replace(year=2025))
        client = browser()
        sign_in(client, admin)
        page = hold("GET /account/", lambda: client.get("/account/")).content.decode()
        for said in ("nightly", token.prefix, "read", "203.0.113.0/24", "2025-03-04 05:06", "2031-03-04 05:06"):
            assert said in page
        assert text not in page
        bare, _ = issue_token(actor=actor(admin), user=admin, name="bare", now=timezone.now())
        page = client.get("/account/").content.decode()
        assert ("all that you may" in page, "everywhere" in page, "never" in page) == (True, True, True)
        assert f"/account/tokens/{bare.pk}/revoke/" in page

    def test_one_of_ones_tokens_is_revoked_on_the_own_page(self, admin):
        colleague = MembershipFactory(role="engineer", user__organization=admin.organization).user
        one, kept, other = client_of(admin), client_of(admin), client_of(colleague)
        client = browser()
        sign_in(client, admin)

        def revoke(token, client=client):
            return client.post(f"/account/tokens/{token.pk}/revoke/", follow=True).content.decode()

        assert client.get(f"/account/tokens/{one.token.pk}/revoke/").status_code == 405
        assert "works no more" in revoke(one.token)
        assert [each.get("/api/v1/me/").status_code for each in (one, kept, other)] == [401, 200, 200]
        assert "It was revoked at" in revoke(one.token)
        assert "There is no such token" in revoke(other.token)
        assert other.get("/api/v1/me/").status_code == 200
        revoke(kept.token, browser())
        assert kept.get("/api/v1/me/").status_code == 200, "nobody is signed in"
        results = [(result, resource) for _, result, resource in left("TOKEN_REVOKE")]
        assert results[:3] == [
            ("SUCCESS", str(one.token.pk)),
            ("FAILURE", str(one.token.pk)),
            ("DENIED", str(other.token.pk)),
        ]

    def test_known_and_unknown_addresses_are_answered_alike(self, admin):
        answers = [ask(address) for address in (admin.email, "nobody@example.com")]
        assert len({(one.status_code, one["Location"]) for one in answers}) == 1
        assert Mail.objects.count() == 1
        assert left("PASSWORD_RESET_REQUEST")[1] == ("PASSWORD_RESET_REQUEST", "DENIED", "")
        assert "nobody@example.com" not in str(AuditLog.objects.values_list("content", flat=True))

    def test_a_link_works_once(self, admin):
        ask(admin.email)
        path = link()
        choose(path)
        refused = choose(path, "yet another horse")
        assert_not_valid(refused)
        admin.refresh_from_db()
        assert admin.check_password(NEW)
        assert left("PASSWORD_RESET")[-1] == ("PASSWORD_RESET", "DENIED", "")

    def test_two_who_use_it_at_once_are_one(self, admin):
        ask(admin.email)
        token = link()
        nobody = replace(Actor.command("test"), kind="ANONYMOUS")

        def use(number):
            try:
                recovering.choose(actor=nobody, token=token, password=f"{NEW} {number}", now=timezone.now())
            except links.LinkNotValid:
                return False
            finally:
                connection.close()
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(use, range(4))) == [False, False, False, True]

    def test_a_link_ends_with_its_hour_and_with_a_sign_in(self, admin):
        ask(admin.email)
        token = link()
        assert links.holder(token, now=timezone.now() + timedelta(minutes=59)) == admin
        with pytest.raises(links.LinkNotValid):
            links.holder(token, now=timezone.now() + timedelta(minutes=61))
        sign_in(browser(), admin)
        with pytest.raises(links.LinkNotValid):
            links.holder(token, now=timezone.now())

    @pytest.mark.parametrize("token", ["", "x", "W10:1abcde:xyz", "a" * 5000, "https://forge.example.com/#"])
    def test_what_nobody_made_is_no_link(self, admin, token):
        assert_not_valid(choose(token))

    def test_no_address_that_a_browser_asks_for_has_the_token(self, admin):
        """Access logs, proxies and traces have addresses; what stands behind the # is sent to nobody."""
        ask(admin.email)
        token = link()
        asked_for = urlsplit(links.address_of(admin, until=timezone.now()))
        assert (asked_for.path, asked_for.query, bool(asked_for.fragment)) == (CHOOSE, "", True)
        assert browser().get(f"{CHOOSE}{token}/").status_code == 404
        assert choose(f"https://forge.example.com{CHOOSE}#{token}").status_code == 302, "by hand, without the script"

    def test_a_link_stays_in_the_form_while_passwords_are_refused(self, admin):
        ask(admin.email)
        token = link()
        page = choose(token, "short").content.decode()
        assert admin.email in page
        assert f'value="{token}"' in page

    def test_a_weak_password_is_refused_and_the_link_stays(self, admin):
        ask(admin.email)
        path = link()
        for password in ("short", PASSWORD):
            assert choose(path, password).status_code == 200
        assert left("PASSWORD_RESET") == [("PASSWORD_RESET", "FAILURE", "")], "the second is counted"
        assert choose(path).status_code == 302

    def test_a_second_factor_stays_and_a_lock_opens(self, admin):
        with_app(admin)
        for _ in range(5):
            sign_in(browser(), admin, password="wrong")
        assert guarding.is_locked(admin, timezone.now())
        Mail.objects.all().delete()
        ask(admin.email)
        choose(link())
        assert not guarding.is_locked(admin, timezone.now())
        client = browser()
        assert "/2fa/" in sign_in(client, admin, page=ACCOUNT, password=NEW)["Location"]
        assert not is_in(client)

    def test_asking_again_and_again_sends_one_mail_in_five_minutes(self, admin):
        now = timezone.now().replace(minute=10, second=0)
        for seconds in (0, 1, 299):
            recovering.ask(actor=Actor.command("test"), email=admin.email, now=now + timedelta(seconds=seconds))
        assert Mail.objects.count() == 1
        recovering.ask(actor=Actor.command("test"), email=admin.email, now=now + timedelta(seconds=300))
        assert Mail.objects.count() == 2

    def test_an_address_has_a_rate_whomever_it_asks_for(self, admin, settings):
        settings.FORGE_RATE_PASSWORD_RESET = "3/day"
        client = browser()
        client.defaults["REMOTE_ADDR"] = "203.0.113.77"
        assert [ask(f"{number}@example.com", client).status_code for number in range(3)] == [302, 302, 302]
        refused = ask(admin.email, client)
        assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)
        assert ask(admin.email).status_code == 302, "another address has its own"

    def test_an_address_has_a_rate_of_choosing_too(self, settings):
        settings.FORGE_RATE_PASSWORD_RESET = "3/day"
        client = browser()
        client.defaults["REMOTE_ADDR"] = "203.0.113.78"
        answers = [client.post(CHOOSE, {"link": "invented"}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [302, 302, 302, 429, 429]
        assert int(answers[-1]["Retry-After"]) > 0
        assert left("PASSWORD_RESET") == [("PASSWORD_RESET", "DENIED", "")], "the others are counted"
        assert len(left("RATE_LIMITED")) == 1

    def test_a_link_that_works_takes_as_many_tries_as_it_needs_whoever_shares_the_address(self, admin, settings):
        settings.FORGE_RATE_PASSWORD_RESET = "3/day"
        ask(admin.email)
        sent, client = link(), browser()
        client.defaults["REMOTE_ADDR"] = "203.0.113.79"
        for _ in range(5):
            assert "too short" in choose(sent, "short", client).content.decode()
        guesses = [client.post(CHOOSE, {"link": "invented"}) for _ in range(4)]
        assert [answer.status_code for answer in guesses] == [302, 302, 302, 429]
        page = guesses[-1].content.decode()
        assert ("Try again in" in page, "can help" in page) == (True, False)
        assert choose(sent, client=client)["Location"] == "/account/login/"
        assert_not_valid(choose(sent))

    def test_the_mail_is_never_sent_to_who_may_not_choose(self, admin, settings):
        ended = invite(admin, email="ended@example.com", password=PASSWORD)
        type(ended).objects.filter(pk=ended.pk).update(credentials_expire_at=timezone.now() - timedelta(days=1))
        off = invite(admin, email="off@example.com", password=PASSWORD)
        set_active(actor=actor(admin), user=off, is_active=False)
        linked = invite(admin, email="linked@example.com")
        SocialAccount.objects.create(user=linked, provider="okta", uid="1")
        service = create_service_account(
            actor=actor(admin), organization=admin.organization, name="robot", role="auditor", now=timezone.now()
        ).user
        Mail.objects.all().delete()
        for email in (ended.email, off.email, linked.email, service.email):
            assert ask(email)["Location"] == SENT
        assert {result for _, result, _ in left("PASSWORD_RESET_REQUEST")} == {"DENIED"}
        assert not Mail.objects.exists()

    def test_without_a_log_there_is_no_mail_and_no_password(self, admin, superuser_connection):
        ask(admin.email)
        path = link()
        superuser_connection.execute("ALTER TABLE audit_auditlane RENAME TO away")
        try:
            Mail.objects.all().delete()
            assert ask(admin.email).status_code == 503
            assert choose(path).status_code == 503
        finally:
            superuser_connection.execute("ALTER TABLE away RENAME TO audit_auditlane")
        admin.refresh_from_db()
        assert admin.check_password(PASSWORD)
        assert not Mail.objects.exists()


class TestInvitation:
    def test_a_person_whom_an_admin_makes_chooses_the_first_password_by_mail(self, admin):
        person = invite(admin)
        assert Mail.objects.get().kind == "account.invited"
        path = link()
        assert django_mail.outbox[0].to == [person.email]
        assert choose(path).status_code == 302
        client = browser()
        sign_in(client, person, page=ACCOUNT, password=NEW)
        assert is_in(client)
        assert not Mail.objects.filter(kind="account.password_reset").exists(), "the first one replaces none"

    def test_it_works_for_a_week_and_then_the_person_asks_for_another_link(self, admin):
        person = invite(admin)
        token = link()
        assert links.holder(token, now=timezone.now() + timedelta(days=6)) == person
        with pytest.raises(links.LinkNotValid):
            links.holder(token, now=timezone.now() + timedelta(days=8))
        ask(person.email)
        assert choose(link()).status_code == 302

    def test_a_person_who_is_not_made_after_all_is_not_invited(self, admin, superuser_connection):
        superuser_connection.execute("ALTER TABLE audit_auditlane RENAME TO away")
        try:
            with pytest.raises(Exception, match="audit"):
                invite(admin)
        finally:
            superuser_connection.execute("ALTER TABLE away RENAME TO audit_auditlane")
        assert not Mail.objects.exists()

    def test_whoever_is_given_a_password_is_not_invited(self, admin):
        invite(admin, password=PASSWORD)
        assert not Mail.objects.exists()

    def test_an_organization_with_an_identity_provider_invites_to_it_and_gives_no_password(self, admin, settings):
        trust_provider(settings, admin.organization)
        person = invite(admin)
        assert sending.send(now=timezone.now())["sent"] == 1
        [message] = django_mail.outbox
        assert "Sign in by Okta: https://forge.example.com/account/login/" in message.body
        assert "/password/" not in message.body
        ask(person.email)
        assert left("PASSWORD_RESET_REQUEST") == [("PASSWORD_RESET_REQUEST", "DENIED", str(person.pk))]

    def test_nobody_is_invited_who_has_signed_in_meanwhile(self, admin):
        person = invite(admin)
        person.last_login = timezone.now()
        person.save()
        assert sending.send(now=timezone.now()) == {"sent": 0, "failed": 0, "given_up": 0, "withdrawn": 1}


class TestInvitingAgain:
    def test_a_new_link_works_and_the_old_one_no_more(self, admin):
        person, now = invite(admin), timezone.now()
        old = link()
        invite_again(actor=actor(admin), user=person, now=now + PAUSE)
        new = link(now=now + PAUSE)
        assert_not_valid(choose(old))
        assert choose(new).status_code == 302
        assert left("MEMBER_INVITE") == [("MEMBER_INVITE", "SUCCESS", str(person.pk))]

    def test_nobody_is_invited_twice_within_five_minutes_whoever_asks(self, admin):
        person, now = invite(admin), timezone.now()
        with pytest.raises(TooMany) as refused:
            invite_again(actor=actor(admin), user=person, now=now)
        assert 0 < refused.value.retry_after <= PAUSE.total_seconds() + 1
        invite_again(actor=actor(admin), user=person, now=now + PAUSE)
        with pytest.raises(TooMany):
            invite_again(actor=Actor.command("test"), user=person, now=now + PAUSE + timedelta(seconds=299))
        assert Mail.objects.count() == 2

    def test_many_who_ask_at_once_send_one(self, admin):
        person, now = invite(admin), timezone.now() + PAUSE

        def ask_for(number):
            try:
                invite_again(actor=Actor.command("test"), user=person, now=now + timedelta(milliseconds=number))
            except TooMany:
                return False
            finally:
                connection.close()
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(ask_for, range(4))) == [False, False, False, True]

    def test_whoever_has_come_in_is_not_invited(self, admin):
        person, later = invite(admin), timezone.now() + PAUSE
        choose(link())
        with pytest.raises(AlreadyIn):
            invite_again(actor=actor(admin), user=person, now=later)
        by_provider = invite(admin, email="sso@example.com")
        User.objects.filter(pk=by_provider.pk).update(last_login=later)
        with pytest.raises(AlreadyIn):
            invite_again(actor=actor(admin), user=by_provider, now=later)
        person.refresh_from_db()
        assert person.check_password(NEW)

    def test_no_mail_for_who_is_switched_off_or_ended(self, admin):
        person, later = invite(admin), timezone.now() + PAUSE
        for facts in ({"is_active": False}, {"credentials_expire_at": timezone.now()}):
            User.objects.filter(pk=person.pk).update(**{"is_active": True, "credentials_expire_at": None} | facts)
            with pytest.raises(MayNotComeIn):
                invite_again(actor=actor(admin), user=person, now=later)

    def test_in_an_organization_with_a_provider_it_leads_there_again(self, admin, settings):
        trust_provider(settings, admin.organization)
        person, later = invite(admin), timezone.now() + PAUSE
        invite_again(actor=actor(admin), user=person, now=later)
        assert sending.send(now=later)["sent"] == 2

    def test_leads_invite_the_people_of_their_team_alone(self, admin):
        team = TeamFactory(organization=admin.organization)
        lead = MembershipFactory(user__organization=admin.organization, team=team, role="team_lead").user
        own, other = invite(admin, team=team), invite(admin, email="other@example.com")
        overseer = invite(admin, email="overseer@example.com", team=None, role="finance")
        MembershipFactory(user=overseer, team=team, role="engineer")
        stranger = MembershipFactory(role="admin", team=None).user
        later = timezone.now() + PAUSE
        for asking, person in ((lead, other), (lead, overseer), (stranger, own), (own, own)):
            with pytest.raises(MayNotManagePeople):
                invite_again(actor=actor(asking), user=person, now=later)
        invite_again(actor=actor(lead), user=own, now=later)
        assert Mail.objects.filter(recipient_id=own.pk).count() == 2

    def test_by_the_console_and_the_api(self, admin):
        person = invite(admin)
        Mail.objects.update(created_at=timezone.now() - PAUSE)
        client = browser()
        sign_in(client, admin)
        page = f"/admin/accounts/user/{person.pk}/"
        assert "Invite again" in client.get(f"{page}change/").content.decode()
        client.post(f"{page}do/invite-again/")
        assert Mail.objects.count() == 2
        address = f"/api/v1/members/{person.memberships.get().pk}/invite/"
        refused = client_of(admin).post(address)
        assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)
        Mail.objects.update(created_at=timezone.now() - PAUSE)
        answer = client_of(admin).post(address)
        assert (answer.status_code, answer.json()["email"]) == (200, person.email)
        User.objects.filter(pk=person.pk).update(last_login=timezone.now())
        assert client_of(admin).post(address).json()["code"] == "already_in"
        assert "Invite again" not in client.get(f"{page}change/").content.decode()


class TestFirstAdmin:
    def test_an_operator_adds_the_first_admin_of_an_organization_in_the_console(self):
        operator, organization = UserFactory(organization=None), OrganizationFactory(slug="fresh")
        client = browser()
        sign_in(client, operator)
        page = f"/admin/accounts/organization/{organization.pk}/"
        assert "Add the first admin" in client.get(f"{page}change/").content.decode()
        wrong = {"email": "wrong@example.com", "full_name": "Wrong"}
        assert client.post(f"{page}do/add-admin/", wrong).status_code == 302
        assert client.post(f"{page}do/add-admin/", {"email": "a@example.com", "full_name": "Ada"}).status_code == 302
        person = User.objects.get(email="a@example.com")
        assert (person.organization, person.roles) == (organization, [("admin", None)])
        assert [result for _, result, _ in left("MEMBER_CREATE")] == ["SUCCESS"] * 2
        entry = AuditLog.objects.filter(action_type="MEMBER_CREATE").latest("timestamp")
        assert (entry.user_id, entry.organization_id) == (operator.pk, organization.pk)
        Mail.objects.exclude(recipient_id=person.pk).delete()
        choose(link())
        assert "Add the first admin" not in client.get(f"{page}change/").content.decode()
        person.refresh_from_db()
        with pytest.raises(OrganizationHasAdmin):
            create_first_admin(
                actor=actor(operator), organization=organization, email="b@example.com", full_name="B",
                now=timezone.now(),
            )  # fmt: skip
        inside = browser()
        sign_in(inside, person, password=NEW)
        assert is_in(inside, "/admin/")

    def test_another_address_takes_the_place_of_who_was_awaited_and_ends_link_and_role(self):
        operator, organization = UserFactory(organization=None), OrganizationFactory(slug="fresh")
        client = browser()
        sign_in(client, operator)
        press = f"/admin/accounts/organization/{organization.pk}/do/add-admin/"
        client.post(press, {"email": "boss@example.com", "full_name": "B"})
        first, sent = User.objects.get(email="boss@example.com"), link()
        assert "Invited and not come in yet: boss@example.com" in client.get(press).content.decode()
        assert client.post(press, {"email": "boss2@example.com", "full_name": "B"}).status_code == 302
        first.refresh_from_db()
        assert (first.is_active, list(first.memberships.all())) == (False, [])
        assert_not_valid(choose(sent))
        assert [row.email for row in awaited_admins(organization)] == ["boss2@example.com"]
        own = AuditLog.objects.filter(resource_id=str(first.pk)).order_by("timestamp", "id")
        told = {entry.action_type: entry.changes for entry in own if entry.result == "SUCCESS"}
        assert told["ROLE_CHANGE"] == {"before": {"role": "admin", "team": None}, "after": None}
        assert told["MEMBER_UPDATE"] == {"before": {"is_active": True}, "after": {"is_active": False}}
        assert {entry.organization_id for entry in own if entry.action_type in told} == {organization.pk}

    def test_an_address_that_was_invited_before_is_invited_again(self):
        operator, organization = UserFactory(organization=None), OrganizationFactory(slug="fresh")

        def add(email):
            Mail.objects.update(created_at=timezone.now() - PAUSE)
            asked = {"organization": organization, "email": email, "full_name": "B", "now": timezone.now()}
            return create_first_admin(actor=actor(operator), **asked).user

        first = add("boss@example.com")
        assert add("Boss@example.com") == first
        assert Mail.objects.filter(recipient_id=first.pk).count() == 2
        other = add("boss2@example.com")
        assert add("boss@example.com") == first
        first.refresh_from_db()
        other.refresh_from_db()
        assert ((first.is_active, first.roles), (other.is_active, other.roles)) == (
            (True, [("admin", None)]),
            (False, []),
        )
        newest = Mail.objects.filter(recipient_id=first.pk).latest("id")
        Mail.objects.exclude(pk=newest.pk).delete()
        choose(link())
        assert has_admin(organization, now=timezone.now())

    def test_a_link_that_was_used_meanwhile_stands_and_nobody_is_replaced(self):
        operator, organization = UserFactory(organization=None), OrganizationFactory(slug="fresh")
        asked = {"organization": organization, "full_name": "B", "now": timezone.now()}
        first = create_first_admin(actor=actor(operator), email="boss@example.com", **asked).user
        choose(link())
        with pytest.raises(OrganizationHasAdmin):
            create_first_admin(actor=actor(operator), email="boss2@example.com", **asked)
        first.refresh_from_db()
        assert (first.is_active, first.roles) == (True, [("admin", None)])

    def test_nobody_else_does_not_even_an_admin_elsewhere(self, admin):
        organization, later = OrganizationFactory(), timezone.now()
        facts = {"organization": organization, "email": "a@example.com", "full_name": "A", "now": later}
        with pytest.raises(MayNotManagePeople):
            create_first_admin(actor=actor(admin), **facts)
        client = browser()
        sign_in(client, admin)
        own = f"/admin/accounts/organization/{admin.organization_id}/"
        assert "Add the first admin" not in client.get(f"{own}change/").content.decode()

    def test_an_admin_who_has_ended_counts_as_none(self, admin):
        assert has_admin(admin.organization, now=timezone.now())
        User.objects.filter(pk=admin.pk).update(is_active=False)
        assert not has_admin(admin.organization, now=timezone.now())
        User.objects.filter(pk=admin.pk).update(is_active=True, credentials_expire_at=timezone.now())
        assert not has_admin(admin.organization, now=timezone.now())


@pytest.mark.parametrize(("email", "took"), [("ann@example.com", 0.07), ("nobody@example.com", 0.01), ("x@y.zz", 9)])
def test_the_answer_comes_as_late_whether_there_is_somebody_or_not(admin, monkeypatch, email, took):
    User.objects.filter(pk=admin.pk).update(email="ann@example.com")
    clock, slept = iter([100.0, 100.0 + took]), []
    monkeypatch.setattr(recovery, "ANSWERED_AFTER", 0.25)
    monkeypatch.setattr(recovery, "monotonic", lambda: next(clock))
    monkeypatch.setattr(recovery, "sleep", slept.append)
    assert ask(email)["Location"] == SENT
    assert slept == [pytest.approx(max(0, 0.25 - took))]
    assert Mail.objects.exists() is (email == "ann@example.com")


@pytest.mark.parametrize("path", ["/account/login/", ASK, CHOOSE, "/admin/login/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_host_that_is_not_ours_is_a_bad_request(settings, method, path):
    settings.ALLOWED_HOSTS = ["testserver"]
    answer = getattr(browser(), method)(path, headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert not Mail.objects.exists()
