"""Second factors: set up, asked for, required by a setting, changed with an entry, reset by an admin."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache

from audit.models import AuditLog
from forge.accounts.models import SignInGuard
from forge.accounts.services import MayNotManagePeople
from forge.accounts.signin import factors
from forge.outbox.models import Mail
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.support import (
    browser,
    code_of,
    is_in,
    left,
    secret_of,
    secret_on,
    sign_in,
    with_app,
)
from tests.workspaces.support import client_of, problem
from tests.world import actor

pytestmark = pytest.mark.django_db

APP, CODE = "/account/2fa/totp/activate/", "/account/2fa/authenticate/"


@pytest.fixture
def admin():
    return MembershipFactory(role="admin", team=None).user


def set_up(client):
    page = client.get(APP)
    assert page.status_code == 200
    return client.post(APP, {"code": code_of(secret_on(page))})


def test_an_app_is_set_up_with_recovery_codes_and_an_entry_and_its_secret_is_closed(admin):
    client = browser()
    sign_in(client, admin)
    assert set_up(client)["Location"] == "/account/2fa/recovery-codes/"
    entry = AuditLog.objects.get(action_type="MFA_ADD")
    assert (entry.result, entry.resource_id, entry.user_id) == ("SUCCESS", str(admin.pk), admin.pk)
    assert entry.changes["before"] == {"factors": []}
    assert [one["type"] for one in entry.changes["after"]["factors"]] == ["totp", "recovery_codes"]
    assert Mail.objects.get(kind="account.factors_changed").recipient_id == admin.pk
    row = Authenticator.objects.get(type="totp")
    assert len(secret_of(admin)) == 32
    assert secret_of(admin) not in str(row.data)


def test_a_wrong_code_sets_nothing_up(admin):
    client = browser()
    sign_in(client, admin)
    assert client.get(APP).status_code == 200
    assert client.post(APP, {"code": "000000"}).status_code == 200
    assert not Authenticator.objects.exists()
    assert left("MFA_ADD") == [("MFA_ADD", "FAILURE", "")]


def test_without_its_entry_no_factor_is_added(admin, monkeypatch):
    client = browser()
    sign_in(client, admin)

    def broken(**kwargs):
        raise RuntimeError("no log")

    monkeypatch.setattr(factors, "record", broken)
    assert set_up(client).status_code == 500
    assert not Authenticator.objects.exists()


def test_the_password_alone_signs_nobody_in_who_has_a_factor_and_the_code_does(admin):
    secret = with_app(admin)
    client = browser()
    assert sign_in(client, admin, query="?next=/admin/system/")["Location"] == CODE
    assert not is_in(client, "/admin/")
    assert left() == [("AUTH_CHALLENGE", "SUCCESS", str(admin.pk))]
    assert client.post(CODE, {"code": code_of(secret)})["Location"] == "/admin/system/"
    assert is_in(client, "/admin/")
    assert left("AUTH_LOGIN") == [("AUTH_LOGIN", "SUCCESS", str(admin.pk))]


def test_a_code_works_once_on_whichever_web_process(admin):
    secret = with_app(admin)
    code = code_of(secret)
    for expected in (302, 200):
        cache.clear()  # allauth remembers used codes in the memory of one process
        client = browser()
        sign_in(client, admin)
        assert client.post(CODE, {"code": code}).status_code == expected


def test_wrong_codes_lock_the_account_like_wrong_passwords_and_the_right_one_is_then_refused(admin):
    secret = with_app(admin)
    client = browser()
    sign_in(client, admin)
    for _ in range(5):
        assert client.post(CODE, {"code": "000000"}).status_code == 200
    assert left("ACCOUNT_LOCK") == [("ACCOUNT_LOCK", "SUCCESS", str(admin.pk))]
    assert left("AUTH_FAILED") == [("AUTH_FAILED", "DENIED", "")]
    assert client.post(CODE, {"code": code_of(secret)}).status_code == 200
    assert not is_in(client, "/admin/")


def test_a_recovery_code_opens_once(admin):
    client = browser()
    sign_in(client, admin)
    set_up(client)
    code = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]
    for expected in (302, 200):
        other = browser()
        sign_in(other, admin)
        assert other.post(CODE, {"code": code}).status_code == expected


def test_whoever_is_switched_off_between_password_and_code_stays_out(admin):
    secret = with_app(admin)
    client = browser()
    sign_in(client, admin)
    type(admin).objects.update(is_active=False)
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.status_code in (302, 403)
    assert not is_in(client)
    assert left("AUTH_LOGIN") == []


def test_where_a_factor_is_required_a_session_without_one_opens_only_its_setting_up(admin, settings):
    settings.FORGE_MFA_REQUIRED = True
    client = browser()
    sign_in(client, admin)
    for page in ("/admin/", "/admin/audit/auditlog/", "/account/"):
        assert client.get(page)["Location"] == "/account/2fa/"
    problem(client.get("/api/v1/me/"), 403, "second_factor_required")
    assert client.post("/admin/accounts/team/add/", {"name": "x", "slug": "x"}).status_code == 302
    assert [row for row in left() if row[1] == "DENIED"] == [
        ("ACCESS_DENIED", "DENIED", ""),
        ("TEAM_CREATE", "DENIED", ""),
    ]
    assert set_up(client).status_code == 302
    assert is_in(client, "/admin/")
    assert client.get("/api/v1/me/").status_code == 200


def test_who_had_to_set_up_a_factor_is_led_on_to_the_page_that_was_opened(admin, settings):
    settings.FORGE_MFA_REQUIRED = True
    client = browser()
    sign_in(client, admin)
    wanted = "/admin/audit/auditlog/?result__exact=DENIED"
    assert client.get(wanted)["Location"] == "/account/2fa/"
    shown = client.get(set_up(client)["Location"]).content.decode()
    assert f'href="{wanted}">Go on to the page that you opened</a>' in shown
    assert "Go on" not in client.get("/account/").content.decode()
    assert client.get(wanted).status_code == 200


def test_a_session_of_before_the_rule_shows_the_factor_once(admin, settings):
    secret = with_app(admin)
    client = browser()
    client.force_login(admin)
    assert is_in(client, "/admin/")
    settings.FORGE_MFA_REQUIRED = True
    again = client.get("/admin/")["Location"]
    assert again == "/account/2fa/reauthenticate/?next=%2Fadmin%2F"
    assert client.post(again, {"code": code_of(secret)})["Location"] == "/admin/"
    assert is_in(client, "/admin/")


def test_tokens_need_no_second_factor(admin, settings):
    settings.FORGE_MFA_REQUIRED = True
    assert client_of(admin).get("/api/v1/me/").status_code == 200


def test_the_last_factor_stays_where_one_is_required(admin, settings):
    secret = with_app(admin)
    client = browser()
    sign_in(client, admin)
    client.post(CODE, {"code": code_of(secret)})
    settings.FORGE_MFA_REQUIRED = True
    page = "/account/2fa/totp/deactivate/"
    assert client.post(page).status_code == 200
    assert Authenticator.objects.filter(type="totp").exists()
    settings.FORGE_MFA_REQUIRED = False
    assert client.post(page).status_code == 302
    assert not Authenticator.objects.exists()
    assert left("MFA_REMOVE") == [("MFA_REMOVE", "FAILURE", ""), ("MFA_REMOVE", "SUCCESS", str(admin.pk))]


def test_changing_factors_asks_for_the_password_again_after_a_while(admin):
    client = browser()
    client.force_login(admin)
    assert client.get(APP)["Location"].startswith("/account/reauthenticate/")
    answer = client.post(f"/account/reauthenticate/?next={APP}", {"password": "wrong"})
    assert answer.status_code == 200
    assert SignInGuard.objects.get().failures == 1
    assert (
        client.post(f"/account/reauthenticate/?next={APP}", {"password": "correct horse battery staple"})["Location"]
        == APP
    )
    assert client.get(APP).status_code == 200


def test_an_admin_resets_the_factors_of_a_colleague_and_ends_the_sessions(admin):
    colleague = MembershipFactory(role="auditor", team=None, user__organization=admin.organization).user
    client = browser()
    client.force_login(colleague)
    with_app(colleague)
    with pytest.raises(MayNotManagePeople):
        factors.reset(actor=actor(colleague), user=admin)
    factors.reset(actor=actor(admin), user=colleague)
    assert not Authenticator.objects.exists()
    assert not is_in(client)
    assert [row[:2] for row in left("MFA_RESET", "SESSION_REVOKE")] == [
        ("MFA_RESET", "SUCCESS"),
        ("SESSION_REVOKE", "SUCCESS"),
    ]
    with pytest.raises(factors.NoSecondFactor):
        factors.reset(actor=actor(admin), user=colleague)


def test_no_page_of_the_account_carries_a_script_of_its_own_or_asks_elsewhere(admin):
    client = browser()
    sign_in(client, admin)
    set_up(client)
    pages = (
        "", "2fa/", "2fa/webauthn/", "2fa/webauthn/add/", "2fa/recovery-codes/", "2fa/recovery-codes/generate/",
        "2fa/totp/deactivate/", "reauthenticate/", "2fa/reauthenticate/",
    )  # fmt: skip
    for page in pages:
        answer = client.get(f"/account/{page}")
        assert answer.status_code == 200, page
        html = answer.content.decode()
        for script in html.split("<script")[1:]:
            head = script.partition(">")[0]
            assert "src=" in head or "json" in head, (page, head)
        assert "onclick=" not in html
        assert 'src="http' not in html
        assert "data:image" not in html
