"""Every page under /account/ has a case, and what is posted to it without success leaves an entry that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse

from forge.accounts.signin.urls import urlpatterns
from tests.audit.walk.marks import browser, left_by
from tests.factories import MembershipFactory

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
SIGN_IN = "tests/forge/accounts/signin/"
FACTORS, KEYS, SESSIONS = f"{SIGN_IN}test_factors.py", f"{SIGN_IN}test_security_keys.py", f"{SIGN_IN}test_sessions.py"
RECOVERING = f"{SIGN_IN}test_recovering.py"
OIDC, SAML = f"{SIGN_IN}test_oidc.py", f"{SIGN_IN}test_saml.py"

PAGES = {
    "account_overview": "reads",
    "account_login": (SESSIONS, "test_everybody_with_an_account_signs_in_there_and_lands_on_the_own_page"),
    "account_logout": (SESSIONS, "test_signing_out_takes_the_row_away"),
    "account_reset_password": (RECOVERING, "test_known_and_unknown_addresses_are_answered_alike"),
    "account_reset_password_done": "reads",
    "account_link_not_valid": "reads",
    "account_choose_password": (RECOVERING, "test_a_link_from_mail_sets_a_password_and_ends_every_session"),
    "account_inactive": "reads",
    "account_reauthenticate": (FACTORS, "test_changing_factors_asks_for_the_password_again_after_a_while"),
    "account_end_session": (SESSIONS, "test_the_page_ends_another_session"),
    "account_revoke_token": (RECOVERING, "test_one_of_ones_tokens_is_revoked_on_the_own_page"),
    "account_revoke_tokens": (RECOVERING, "test_all_of_ones_tokens_are_revoked_on_the_own_page"),
    "mfa_index": "reads",
    "mfa_authenticate": (
        FACTORS,
        "test_wrong_codes_lock_the_account_like_wrong_passwords_and_the_right_one_is_then_refused",
    ),
    "mfa_reauthenticate": (FACTORS, "test_a_session_of_before_the_rule_shows_the_factor_once"),
    "mfa_activate_totp": (FACTORS, "test_an_app_is_set_up_with_recovery_codes_and_an_entry_and_its_secret_is_closed"),
    "mfa_deactivate_totp": (FACTORS, "test_the_last_factor_stays_where_one_is_required"),
    "mfa_view_recovery_codes": "reads",
    "mfa_generate_recovery_codes": (KEYS, "test_new_recovery_codes_take_the_old_ones_place"),
    "mfa_download_recovery_codes": "reads",
    "mfa_list_webauthn": "reads",
    "mfa_add_webauthn": (KEYS, "test_a_key_is_added_and_then_asked_for_and_another_key_opens_nothing"),
    "mfa_reauthenticate_webauthn": (KEYS, "test_a_key_confirms_a_session_too"),
    "mfa_login_webauthn": (KEYS, "test_a_passkey_is_enough_alone_also_where_a_second_factor_is_required"),
    "mfa_remove_webauthn": (KEYS, "test_renaming_and_removing_a_key_have_their_entries_and_others_keys_are_not_there"),
    "mfa_edit_webauthn": (KEYS, "test_renaming_and_removing_a_key_have_their_entries_and_others_keys_are_not_there"),
    "socialaccount_login_cancelled": "reads",
    "socialaccount_login_error": "reads",
    "openid_connect_login": (OIDC, "test_the_sign_in_page_offers_the_provider_and_a_get_goes_nowhere"),
    "openid_connect_callback": (OIDC, "test_a_verified_email_finds_the_person_links_the_identity_and_signs_in"),
    "saml_login": (SAML, "test_a_signed_answer_signs_in_and_links_the_identity"),
    "saml_acs": (SAML, "test_an_answer_works_once_and_only_for_who_asked"),
    "saml_finish_acs": (SAML, "test_what_is_not_signed_by_the_provider_for_us_and_now_is_refused"),
    "saml_sls": (SAML, "test_a_sign_out_that_the_provider_has_not_signed_ends_nothing"),
    "saml_metadata": (SAML, "test_the_metadata_names_where_answers_go"),
}
"""Name of each page, and the test of what it leaves; "reads" for one that changes nothing, which is posted to below."""


def test_every_page_has_a_case_and_no_case_is_without_a_page():
    names = {pattern.name for pattern in urlpatterns}
    missing = sorted(names - PAGES.keys())
    assert not missing, f"add to PAGES of tests/audit/test_capture_account.py, with a test of its own: {missing}"
    assert PAGES.keys() - names == set()


@pytest.mark.parametrize("name", sorted(name for name, case in PAGES.items() if case != "reads"))
def test_the_test_of_a_page_is_there(name):
    path, test = PAGES[name]
    assert re.search(rf"^ *def {test}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(name for name, case in PAGES.items() if case == "reads"))
def test_what_is_posted_to_a_page_that_only_reads_is_a_failure(name):
    client = browser(MembershipFactory(role="admin", team=None).user)
    answer, entries = left_by(lambda: client.post(reverse(name)))
    assert answer.status_code in (302, 404, 405)
    assert [entry.result for entry in entries] in (["FAILURE"], ["SUCCESS"]), name
    if answer.status_code != 302:
        assert entries[0].result == "FAILURE"


@pytest.mark.parametrize(
    ("name", "action", "result"),
    [
        ("account_login", "AUTH_FAILED", "DENIED"),
        ("mfa_activate_totp", "MFA_ADD", "FAILURE"),
        ("mfa_add_webauthn", "MFA_ADD", "FAILURE"),
        ("mfa_generate_recovery_codes", "MFA_UPDATE", "FAILURE"),
    ],
)
def test_nonsense_is_told_of_as_what_it_would_have_done(name, action, result):
    user = MembershipFactory(role="admin", team=None).user
    client = browser(None)
    if name != "account_login":
        client.post("/account/login/", {"username": user.email, "password": "correct horse battery staple"})
        client.get(reverse(name))
    _, entries = left_by(lambda: client.post(reverse(name), {"code": "x", "credential": "{}"}))
    assert [(entry.action_type, entry.result) for entry in entries] == [(action, result)]
