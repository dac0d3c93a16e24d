"""Security keys and passkeys: added, asked for, enough alone where they verify their holder, and taken away."""

from __future__ import annotations

import json
import re

import pytest
from allauth.mfa.models import Authenticator

from audit.models import AuditLog
from forge.accounts.models import User
from forge.api.models import DenialCount
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.security_key import SecurityKey
from tests.forge.accounts.signin.support import browser, is_in, left, sign_in

pytestmark = pytest.mark.django_db

ADD, CODE, PASSKEY = "/account/2fa/webauthn/add/", "/account/2fa/authenticate/", "/account/2fa/webauthn/login/"


@pytest.fixture
def admin():
    return MembershipFactory(role="admin", team=None).user


@pytest.fixture
def key():
    return SecurityKey("https://testserver", rp_id="testserver")


def options_on(page, name):
    text = re.search(r'<script id="js_data" type="application/json">(.*?)</script>', page.content.decode()).group(1)
    return json.loads(text)[name]


def add(client, key, **facts):
    options = options_on(client.get(ADD), "creation_options")
    credential = key.register(options, **facts)
    form = {"name": "Blue one", "credential": credential}
    return client.post(ADD, form | ({"passwordless": "on"} if facts.get("is_passkey") else {})), options


def test_a_key_is_added_and_then_asked_for_and_another_key_opens_nothing(admin, key):
    client = browser()
    sign_in(client, admin)
    answer, _ = add(client, key)
    assert answer["Location"] == "/account/2fa/recovery-codes/"
    assert [one["type"] for one in AuditLog.objects.get(action_type="MFA_ADD").changes["after"]["factors"]] == [
        "webauthn",
        "recovery_codes",
    ]

    for signer, expected in ((SecurityKey("https://testserver", rp_id="testserver"), 200), (key, 302)):
        other = browser()
        assert sign_in(other, admin)["Location"] == CODE
        options = options_on(other.get(CODE), "request_options")
        assert other.post(CODE, {"credential": signer.sign(options)}).status_code == expected
    assert is_in(other, "/admin/")
    assert left("AUTH_FAILED") == [("AUTH_FAILED", "DENIED", "")]


def test_an_answer_to_another_page_is_no_answer_to_ours(admin):
    client = browser()
    sign_in(client, admin)
    phished = SecurityKey("https://testserver.evil.example", rp_id="testserver")
    answer, _ = add(client, phished)
    assert answer.status_code == 200
    assert not Authenticator.objects.exists()


def test_a_passkey_is_enough_alone_also_where_a_second_factor_is_required(admin, key, settings):
    settings.FORGE_MFA_REQUIRED = True
    client = browser()
    sign_in(client, admin)
    _, options = add(client, key, is_passkey=True)
    handle = options["publicKey"]["user"]["id"]

    other = browser()
    asked = other.get(PASSKEY, headers={"accept": "application/json"}).json()["request_options"]
    answer = other.post(PASSKEY, {"credential": key.sign(asked, user_handle=handle)})
    assert answer["Location"] == "/admin/"
    assert is_in(other, "/admin/")
    assert left("AUTH_LOGIN")[-1] == ("AUTH_LOGIN", "SUCCESS", str(admin.pk))


def test_a_passkey_of_somebody_switched_off_opens_nothing(admin, key):
    client = browser()
    sign_in(client, admin)
    _, options = add(client, key, is_passkey=True)
    User.objects.update(is_active=False)
    other = browser()
    asked = other.get(PASSKEY, headers={"accept": "application/json"}).json()["request_options"]
    answer = other.post(PASSKEY, {"credential": key.sign(asked, user_handle=options["publicKey"]["user"]["id"])})
    assert answer.status_code == 403
    assert not is_in(other)
    assert left("AUTH_FAILED") == [("AUTH_FAILED", "DENIED", "")]


def test_renaming_and_removing_a_key_have_their_entries_and_others_keys_are_not_there(admin, key):
    client = browser()
    sign_in(client, admin)
    add(client, key)
    row = Authenticator.objects.get(type="webauthn")
    stranger = browser()
    sign_in(stranger, MembershipFactory(role="admin", team=None, user__organization=admin.organization).user)
    for end in ("edit", "remove"):
        assert stranger.post(f"/account/2fa/webauthn/keys/{row.pk}/{end}/", {"name": "x"}).status_code == 404
        assert client.post(f"/account/2fa/webauthn/keys/{row.pk}/{end}/", {"name": "Red one"}).status_code == 302
    assert not Authenticator.objects.exists()
    assert [one[:2] for one in left("MFA_UPDATE", "MFA_REMOVE") if one[1] == "SUCCESS"] == [
        ("MFA_UPDATE", "SUCCESS"),
        ("MFA_REMOVE", "SUCCESS"),
    ]


def test_new_recovery_codes_take_the_old_ones_place(admin, key):
    client = browser()
    sign_in(client, admin)
    add(client, key)
    old = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert client.post("/account/2fa/recovery-codes/generate/").status_code == 302
    new = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert set(old).isdisjoint(new)
    assert left("MFA_UPDATE") == [("MFA_UPDATE", "SUCCESS", str(admin.pk))]


def test_a_key_confirms_a_session_too(admin, key):
    client = browser()
    sign_in(client, admin)
    add(client, key)
    Authenticator.objects.filter(type="recovery_codes").delete()
    page = "/account/2fa/webauthn/reauthenticate/?next=/account/2fa/"
    for signer, expected in (
        (SecurityKey("https://testserver", rp_id="testserver"), "/account/login/"),
        (key, "/account/2fa/"),
    ):
        options = options_on(client.get(page), "request_options")
        assert client.post(page, {"credential": signer.sign(options)})["Location"] == expected
    assert left("AUTH_FAILED") == [("AUTH_FAILED", "DENIED", "")]


NO_KEYS = [
    '{"id":1}',
    "[]",
    "7",
    '{"id":"a","rawId":"a","type":"public-key","response":{}}',
    '{"id":"YQ","rawId":"YQ","type":"public-key","response":{}}',
    (
        '{"id":"YQ","rawId":"YQ","type":"public-key","response":{"clientDataJSON":"YQ","attestationObject":"YQ",'
        '"authenticatorData":"YQ","signature":"YQ"}}'
    ),
]


@pytest.mark.parametrize("sent", NO_KEYS)
def test_what_is_no_key_is_refused_like_a_wrong_key(admin, key, sent):
    client = browser()
    sign_in(client, admin)
    add(client, key)
    client.get(ADD)
    assert client.post(ADD, {"name": "x", "credential": sent}).status_code == 200
    again = "/account/2fa/webauthn/reauthenticate/"
    Authenticator.objects.filter(type="recovery_codes").delete()
    client.get(again)
    assert client.post(again, {"credential": sent})["Location"] == "/account/login/"

    waiting = browser()
    sign_in(waiting, admin)
    waiting.get(CODE)
    assert waiting.post(CODE, {"credential": sent}).status_code == 200

    nobody = browser()
    nobody.get(PASSKEY, headers={"accept": "application/json"})
    assert nobody.post(PASSKEY, {"credential": sent})["Location"] == "/account/login/"
    assert left("AUTH_FAILED") == [("AUTH_FAILED", "DENIED", "")], "the first of the minute; the others are counted"
    assert [one.count for one in DenialCount.objects.all()] == [3]
    assert Authenticator.objects.filter(type="webauthn").count() == 1
