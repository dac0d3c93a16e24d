"""`manage.py make_operator`: somebody who runs the installation."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.test import Client

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts import services
from forge.accounts.management import asking
from forge.accounts.models import User
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
EMAIL = "ops@acme.example"


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
    with pytest.raises(CommandError, match="too weak"):
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


@pytest.mark.parametrize("options", [[], ["--username=you", "--noinput"]])
def test_the_command_of_the_framework_names_ours(options, capsys):
    command = load_command_class("forge.console", "createsuperuser")
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", "createsuperuser", *options])
    assert ended.value.code == 1
    assert (
        capsys.readouterr().err == "CommandError: Forge has no superusers: run make_operator --email you@example.com\n"
    )
    with pytest.raises(CommandError, match="make_operator"):
        call_command("createsuperuser")
