"""Sign-in by an OpenID provider that runs beside the test: whom it stands for, and whom not."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts.models import Organization, SignInGuard, User
from forge.accounts.signin.providers import allauth_setting, parse
from tests.factories import MembershipFactory, TeamFactory
from tests.forge.accounts.signin.processes import free_port, path_of, running
from tests.forge.accounts.signin.support import browser, code_of, is_in, left, with_app

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("oidc")]

PEOPLE = {
    "sub-verified": {"email": "Ada@acme.example", "email_verified": True, "name": "Ada"},
    "sub-unverified": {"email": "ada@acme.example", "email_verified": False},
    "sub-word": {"email": "ada@acme.example", "email_verified": "false"},
    "sub-new": {"email": "new@acme.example", "email_verified": True, "name": "New Person"},
    "sub-foreign": {"email": "eve@other.example", "email_verified": True},
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The provider's address."""
    port = free_port()
    people = [f"--user-claims={json.dumps({'sub': sub, **claims})}" for sub, claims in PEOPLE.items()]
    address = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("oidc") / "log"
    with running(["-m", "oidc_provider_mock", "--port", str(port), *people], ready=address, log=log):
        yield address


@pytest.fixture
def configured(provider, settings):
    def configure(**changes):
        entry = {
            "id": "acme-oidc", "kind": "oidc", "name": "Acme", "organization": "acme", "server_url": provider,
            "client_id": "forge", "client_secret_env": "ACME_SECRET", **changes,
        }  # fmt: skip
        found = parse(json.dumps([entry]), environment={"ACME_SECRET": "a secret"})
        settings.FORGE_IDENTITY_PROVIDERS = found
        settings.SOCIALACCOUNT_PROVIDERS = allauth_setting(found)

    configure()
    return configure


@pytest.fixture
def ada(configured):
    user = MembershipFactory(
        role="admin", team=None, user__email="ada@acme.example", user__organization__slug="acme"
    ).user
    user.set_unusable_password()
    user.save()
    return user


def come(client, sub, *, query="", tamper=None):
    """The browser's way to the provider, where `sub` consents, and back; Forge's last answer."""
    begun = client.post(f"/account/oidc/acme-oidc/login/{query}")
    assert begun.status_code == 302, begun.content
    consent = requests.post(begun["Location"], data={"sub": sub}, allow_redirects=False, timeout=20)
    back = path_of(consent.headers["Location"])
    return client.get(tamper(back) if tamper else back)


def test_a_verified_email_finds_the_person_links_the_identity_and_signs_in(ada):
    client = browser()
    answer = come(client, "sub-verified", query="?next=/admin/system/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/system/")
    assert is_in(client, "/admin/")
    assert left() == [("IDENTITY_LINK", "SUCCESS", str(ada.pk)), ("AUTH_LOGIN", "SUCCESS", str(ada.pk))]
    account = SocialAccount.objects.get()
    assert (account.user, account.uid, account.extra_data) == (ada, "sub-verified", {})

    User.objects.filter(pk=ada.pk).update(email="renamed@acme.example")
    again = browser()
    come(again, "sub-verified")
    assert is_in(again), "the identity is found, whatever the email is now"
    assert len(left("IDENTITY_LINK")) == 1


def test_the_way_to_the_provider_is_the_code_flow_with_pkce(ada, provider):
    asked = browser().post("/account/oidc/acme-oidc/login/")["Location"]
    query = parse_qs(urlsplit(asked).query)
    assert asked.startswith(provider)
    assert query["response_type"] == ["code"]
    assert query["code_challenge_method"] == ["S256"]
    assert "a secret" not in asked


@pytest.mark.parametrize("sub", ["sub-unverified", "sub-word"])
def test_an_email_that_the_provider_has_not_verified_finds_nobody(ada, sub):
    client = browser()
    refused(come(client, sub), client, "sso_unknown_person")
    assert not SocialAccount.objects.exists()


def test_unless_the_settings_take_its_word(ada, configured):
    configured(trust_email=True)
    client = browser()
    come(client, "sub-unverified")
    assert is_in(client)


def test_external_id_finds_the_person_without_an_email(ada):
    User.objects.filter(pk=ada.pk).update(external_id="sub-foreign")
    client = browser()
    come(client, "sub-foreign")
    assert is_in(client)


def refused(answer, client, code):
    """A page that says why, nobody signed in, and one AUTH_FAILED entry that names the reason."""
    assert answer.status_code == 403
    assert not is_in(client)
    entry = AuditLog.objects.get()
    assert (entry.action_type, entry.result, entry.context["code"]) == ("AUTH_FAILED", "DENIED", code)


def test_somebody_of_another_organization_is_not_found_by_it(ada):
    MembershipFactory(role="admin", team=None, user__email="eve@other.example")
    client = browser()
    refused(come(client, "sub-foreign"), client, "sso_unknown_person")


def test_nor_by_an_identity_of_before_the_person_changed_organization(ada):
    eve = MembershipFactory(role="admin", team=None, user__email="eve@other.example").user
    SocialAccount.objects.create(user=eve, provider="acme-oidc", uid="sub-foreign")
    client = browser()
    refused(come(client, "sub-foreign"), client, "sso_other_organization")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda user: User.objects.filter(pk=user.pk).update(is_active=False), "account_ended"),
        (lambda user: User.objects.filter(pk=user.pk).update(credentials_expire_at=timezone.now()), "account_ended"),
        (
            lambda user: Organization.objects.filter(pk=user.organization_id).update(is_active=False),
            "sso_unknown_person",
        ),
    ],
    ids=["switched off", "expired", "organization closed"],
)
def test_whoever_has_ended_stays_out(ada, end, code):
    end(ada)
    client = browser()
    refused(come(client, "sub-verified"), client, code)


def test_nobody_is_added_unless_the_provider_says_to_which_team(ada, configured):
    client = browser()
    refused(come(client, "sub-new"), client, "sso_unknown_person")
    TeamFactory(organization=ada.organization, slug="platform")
    configured(sign_up_team="platform")
    come(client, "sub-new")
    person = User.objects.get(email="new@acme.example")
    assert (person.full_name, person.organization, person.has_usable_password()) == (
        "New Person",
        ada.organization,
        False,
    )
    assert [(one.role, one.team.slug) for one in person.memberships.all()] == [("engineer", "platform")]
    assert is_in(client)
    assert [row[0] for row in left()][1:] == ["MEMBER_CREATE", "IDENTITY_LINK", "AUTH_LOGIN"]


def test_an_address_of_another_organization_is_not_signed_up(ada, configured):
    MembershipFactory(role="admin", team=None, user__email="eve@other.example")
    TeamFactory(organization=ada.organization, slug="platform")
    configured(sign_up_team="platform")
    client = browser()
    refused(come(client, "sub-foreign"), client, "sso_other_organization")


def test_the_second_factor_is_asked_for_after_the_provider(ada, settings):
    settings.FORGE_MFA_REQUIRED = True
    secret = with_app(ada)
    client = browser()
    assert come(client, "sub-verified")["Location"] == "/account/2fa/authenticate/"
    assert not is_in(client)
    assert client.post("/account/2fa/authenticate/", {"code": code_of(secret)})["Location"] == "/admin/"
    assert is_in(client, "/admin/")


def test_and_who_has_none_must_set_one_up(ada, settings):
    settings.FORGE_MFA_REQUIRED = True
    client = browser()
    come(client, "sub-verified")
    assert client.get("/admin/")["Location"] == "/account/2fa/"
    assert client.get("/account/2fa/totp/activate/").status_code == 200


def test_an_answer_that_was_not_asked_for_is_refused(ada):
    client = browser()
    refused(come(client, "sub-verified", tamper=lambda path: path.replace("state=", "state=x")), client, "sso_failed")


def test_an_answer_works_once(ada):
    seen = []
    client = browser()
    come(client, "sub-verified", tamper=lambda path: seen.append(path) or path)
    other = browser()
    other.cookies = browser().cookies
    assert other.get(seen[0]).status_code == 403


def test_somebody_who_is_signed_in_connects_nothing(ada):
    client = browser()
    client.force_login(ada)
    answer = come(client, "sub-verified", query="?process=connect")
    assert answer.status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_provider_that_is_away_is_a_page_and_no_error(ada, configured):
    configured(server_url=f"http://127.0.0.1:{free_port()}")
    assert browser().post("/account/oidc/acme-oidc/login/").status_code == 403


def test_the_sign_in_page_offers_the_provider_and_a_get_goes_nowhere(ada):
    assert "Sign in with Acme" in browser().get("/admin/login/").content.decode()
    assert browser().get("/account/oidc/acme-oidc/login/").status_code == 200
    assert browser().post("/account/oidc/another/login/").status_code == 404


def test_a_lock_by_wrong_passwords_does_not_keep_out_who_comes_by_the_provider(ada):
    until = timezone.now() + timedelta(minutes=9)
    SignInGuard.objects.create(user=ada, organization=ada.organization, locked_until=until)
    client = browser()
    come(client, "sub-verified")
    assert is_in(client)
