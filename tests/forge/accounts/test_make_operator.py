"""`manage.py make_operator`: somebody who runs the installation."""

import re
import runpy
import sys
from datetime import timedelta
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command, load_command_class
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts import services
from forge.accounts.management import asking
from forge.accounts.models import SignInGuard, User
from forge.accounts.signin import recovering
from forge.db import scope
from forge.env import BASE_DIR
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
EMAIL = "ops@acme.example"
OTHER = "another horse altogether 9"


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", PASSWORD)


def make(**asked):
    out = StringIO()
    call_command("make_operator", stdout=out, **({"email": EMAIL} | asked))
    return out.getvalue()


def test_it_makes_an_operator_who_signs_in_and_adds_organizations(settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("whitenoise")]
    assert make(full_name="Op Erator") == f"Made {EMAIL} an operator of the installation.\n"
    operator = User.objects.get()
    assert (operator.email, operator.full_name, operator.is_operator) == (EMAIL, "Op Erator", True)
    client = Client()
    answer = client.post("/admin/login/?next=/admin/", {"username": EMAIL, "password": PASSWORD})
    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert client.get("/admin/accounts/organization/add/").status_code == 200


def test_the_log_has_who_was_made_by_which_command():
    make()
    entry = AuditLog.objects.get(action_type="OPERATOR_CREATE")
    assert (entry.actor_kind, entry.interface, entry.context["command"]) == ("COMMAND", "COMMAND", "make_operator")
    assert (entry.resource_id, entry.organization_id) == (str(User.objects.get().pk), None)


def test_without_its_audit_entry_there_is_no_operator(monkeypatch):
    def fail(**kwargs) -> None:
        raise ConnectionError

    monkeypatch.setattr("forge.accounts.services.operators.record", fail)
    with pytest.raises(ConnectionError):
        make()
    assert not User.objects.exists()


@pytest.mark.parametrize("email", [EMAIL, EMAIL.upper()])
def test_a_second_time_is_refused_before_a_password_is_asked_for(email, monkeypatch):
    make()
    before = User.objects.get().password
    monkeypatch.delenv("FORGE_OPERATOR_PASSWORD")
    monkeypatch.setattr(asking.getpass, "getpass", lambda prompt: pytest.fail("a password was asked for"))
    with pytest.raises(CommandError, match=r"has this email already: .*nothing was changed") as refused:
        make(email=email)
    assert refused.value.returncode == 1
    assert User.objects.get().password == before


def test_somebody_of_an_organization_does_not_become_an_operator():
    person = UserFactory(email=EMAIL)
    with pytest.raises(CommandError, match="has this email already"):
        make()
    assert User.objects.get().organization_id == person.organization_id


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"email": "nobody"}, "--email: .*valid email"),
        ({"full_name": "x" * 300}, "--full-name: .*at most 200"),
        ({"full_name": "a\x00b"}, "--full-name: Null characters"),
    ],
)
def test_a_wrong_value_is_named_and_nobody_is_made(asked, reason):
    with pytest.raises(CommandError, match=reason):
        make(**asked)
    assert not User.objects.exists()


def test_a_weak_password_is_refused_and_nobody_is_made(monkeypatch):
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", "password")
    with pytest.raises(CommandError, match="The password is not taken: This password is too short"):
        make()
    assert not User.objects.exists()


def test_the_password_is_asked_for_twice_where_no_variable_has_it(monkeypatch):
    monkeypatch.delenv("FORGE_OPERATOR_PASSWORD")
    typed = iter([PASSWORD, PASSWORD + "x", PASSWORD, PASSWORD])
    monkeypatch.setattr(asking.getpass, "getpass", lambda prompt: next(typed))
    with pytest.raises(CommandError, match="The two passwords differ"):
        make()
    assert not User.objects.exists()
    make()
    assert User.objects.get().check_password(PASSWORD)


def test_where_nobody_can_be_asked_the_variable_is_named(monkeypatch):
    def ends(prompt: str) -> str:
        raise EOFError

    monkeypatch.delenv("FORGE_OPERATOR_PASSWORD")
    monkeypatch.setattr(asking.getpass, "getpass", ends)
    with pytest.raises(CommandError, match="set FORGE_OPERATOR_PASSWORD"):
        make()


def test_nobody_makes_operators_but_the_command_line():
    operator = User.objects.create(email="first@acme.example")
    with pytest.raises(services.MayNotManagePeople):
        services.create_operator(actor=Actor.of_user(operator), email=EMAIL, full_name="", password=PASSWORD)
    assert User.objects.get() == operator


# -- One who is there, and cannot come in ----------------------------------------------------------------------------


def test_recover_gives_an_operator_a_new_password_opens_the_lock_and_ends_the_sessions(monkeypatch):
    make()
    operator = User.objects.get()
    browser = Client()
    browser.force_login(operator)
    now = timezone.now()
    SignInGuard.objects.create(user=operator, failures=0, locked_until=now + timedelta(minutes=9))
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={})
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", OTHER)
    make(email=EMAIL.upper(), recover=True)
    operator.refresh_from_db()
    assert operator.check_password(OTHER)
    assert not SignInGuard.objects.get().is_locked(now)
    assert browser.get("/account/").status_code == 302
    assert Authenticator.objects.filter(user=operator).exists()
    entry = AuditLog.objects.get(action_type="PASSWORD_RESET")
    assert (entry.actor_kind, entry.context["command"]) == ("COMMAND", "make_operator")
    assert (entry.resource_id, entry.organization_id) == (str(operator.pk), None)


def test_recover_takes_second_factors_away_where_that_is_asked_for(monkeypatch):
    make()
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", OTHER)
    operator = User.objects.get()
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={})
    make(recover=True, without_factors=True)
    assert not Authenticator.objects.exists()
    [entry] = AuditLog.objects.filter(action_type="MFA_RESET")
    assert [one["type"] for one in entry.changes["before"]["factors"]] == ["totp"]


def test_recover_refuses_the_password_that_the_operator_has():
    make()
    Authenticator.objects.create(user=User.objects.get(), type=Authenticator.Type.TOTP, data={})
    with pytest.raises(CommandError, match="the password that the operator has now; nothing was changed"):
        make(recover=True, without_factors=True)
    assert Authenticator.objects.exists()
    assert not AuditLog.objects.filter(action_type="PASSWORD_RESET").exists()


@pytest.mark.parametrize("who", ["nobody", "person", "off"])
def test_recover_helps_operators_alone_and_asks_for_no_password_in_vain(who, monkeypatch):
    if who == "person":
        UserFactory(email=EMAIL)
    if who == "off":
        make()
        User.objects.update(is_active=False)
    before = list(User.objects.values_list("password", flat=True))
    monkeypatch.delenv("FORGE_OPERATOR_PASSWORD")
    monkeypatch.setattr(asking.getpass, "getpass", lambda prompt: pytest.fail("a password was asked for"))
    with pytest.raises(CommandError, match="No operator of the installation has this email; nothing was changed"):
        make(recover=True)
    assert list(User.objects.values_list("password", flat=True)) == before


def test_whoever_makes_an_operator_twice_is_told_of_recover():
    make()
    with pytest.raises(CommandError, match="--recover gives an operator a new password"):
        make()


def test_without_its_audit_entry_the_password_stays(monkeypatch):
    def fail(**kwargs) -> None:
        raise ConnectionError

    make()
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", OTHER)
    monkeypatch.setattr("forge.accounts.signin.recovering.record", fail)
    with pytest.raises(ConnectionError):
        make(recover=True)
    assert User.objects.get().check_password(PASSWORD)


def test_nobody_recovers_operators_but_the_command_line():
    operator = User.objects.create(email=EMAIL)
    with pytest.raises(services.MayNotManagePeople):
        recovering.recover_operator(actor=Actor.of_user(operator), email=EMAIL, password=PASSWORD)


def run(capsys, *options):
    """`manage.py make_operator` as a shell runs it: exit status, and the lines of stdout and of stderr."""
    asked, status = ["manage.py", "make_operator", "--skip-checks", *options], 0
    try:
        load_command_class("forge.accounts", "make_operator").run_from_argv(asked)
    except SystemExit as ended:
        status = ended.code
    written = capsys.readouterr()
    return status, written.out.splitlines(), written.err.splitlines()


@pytest.mark.parametrize(
    ("options", "has_factor", "factors"),
    [
        ([], True, "Second factors are as they were."),
        ([], False, "Second factors are as they were."),
        (["--without-factors"], True, "Second factors are gone."),
        (["--without-factors"], False, "There were no second factors."),
    ],
)
def test_recover_says_in_one_line_what_it_did(options, has_factor, factors, monkeypatch, capsys):
    make()
    if has_factor:
        Authenticator.objects.create(user=User.objects.get(), type=Authenticator.Type.TOTP, data={})
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", OTHER)
    said = run(capsys, "--recover", f"--email={EMAIL.upper()}", *options)
    assert said == (0, [f"{EMAIL} has a new password; every session has ended. {factors}"], [])


HERE = ["--recover", f"--email={EMAIL}"]
REFUSALS = {  # what is asked for, the password of the environment (else what is typed), and the line
    "nobody has the address": (
        ["--recover", "--email=nobody@acme.example"],
        OTHER,
        "There is no such operator: No operator of the installation has this email; nothing was changed.",
    ),
    "it is no address": (["--recover", "--email=nobody"], OTHER, "--email: Enter a valid email address."),
    "the password of now": (
        HERE,
        PASSWORD,
        "The password is not taken: It is the password that the operator has now; nothing was changed.",
    ),
    "a weak password": (
        HERE,
        "password",
        (
            "The password is not taken: This password is too short. It must contain at least 12 characters."
            " This password is too common."
        ),
    ),
    "two passwords": (HERE, [OTHER, PASSWORD], "The two passwords differ; nothing was changed."),
    "no terminal": (HERE, [], "Nobody can be asked for a password here: set FORGE_OPERATOR_PASSWORD."),
    "factors without recover": (
        ["--without-factors", f"--email={EMAIL}"],
        OTHER,
        "--without-factors goes with --recover.",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_to_recover_is_one_line_and_status_1_and_changes_nothing(refusal, monkeypatch, capsys):
    options, password, line = REFUSALS[refusal]
    make()
    Authenticator.objects.create(user=User.objects.get(), type=Authenticator.Type.TOTP, data={})
    before = User.objects.get().password
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", password if isinstance(password, str) else "")
    typed = iter(password)

    def asked(prompt):
        if (word := next(typed, None)) is None:
            raise EOFError
        return word

    monkeypatch.setattr(asking.getpass, "getpass", asked)
    assert run(capsys, *options) == (1, [], [f"CommandError: {line}"])
    assert User.objects.get().password == before
    assert Authenticator.objects.exists()
    assert not AuditLog.objects.filter(action_type__in=["PASSWORD_RESET", "MFA_RESET"]).exists()


# -- The terminal ----------------------------------------------------------------------------------------------------


def test_ctrl_c_at_a_prompt_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.delenv("FORGE_OPERATOR_PASSWORD")
    monkeypatch.setattr(asking.getpass, "getpass", interrupted)
    monkeypatch.setattr(scope, "process_is_system", lambda: None)
    monkeypatch.setattr(sys, "argv", ["manage.py", "make_operator", f"--email={EMAIL}", "--skip-checks"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BASE_DIR / "manage.py"), run_name="__main__")
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-2:] == ["", "manage.py: stopped by Ctrl-C."]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [("createsuperuser", []), ("createsuperuser", ["--username=you", "--noinput"]), ("changepassword", [EMAIL])],
)
def test_the_commands_of_the_framework_name_ours(name, options, capsys):
    command = load_command_class("forge.console", name)
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", name, *options])
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert re.fullmatch("CommandError: .*run make_operator .*--email (you|ops)@example.com", line)
    with pytest.raises(CommandError, match="make_operator"):
        call_command(name)
