"""A configuration that would hurt people is refused by name, with a hint; a good one passes `check --deploy`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from forge import checks
from forge.accounts.signin.providers import BadProvider, parse
from forge.env import BASE_DIR, identity_providers, networks, rate
from tests.audit.support import SIGNING_KEY
from tests.plugins.database import superuser_url

GOOD = {
    "DEBUG": "false",
    "SECRET_KEY": "n3Vw-8sKq2LxZr5TgYbHu7JmPd4FcAeWiQo9XvBt6RkEyUzMhN",
    "ALLOWED_HOSTS": "forge.example.com",
    "FORGE_AUDIT_SIGNING_KEY": SIGNING_KEY,
    "FORGE_AUDIT_SINKS": f"directory:{BASE_DIR},log:",
}


def ids(found: list[django_checks.CheckMessage]) -> list[str]:
    return [message.id for message in found]


@pytest.fixture
def manage(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command as a process of its own that knows the addresses of the test databases and no running demo."""
    kept = ("PATH", "HOME", "LANG", "DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    base = {name: os.environ[name] for name in kept if name in os.environ} | {"FORGE_HOME": str(tmp_path)}

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=base | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


# -- Settings ----------------------------------------------------------------------------------------------------
def test_a_missing_secret_key_is_an_error(settings):
    settings.SECRET_KEY = ""
    settings.ALLOWED_HOSTS = ["forge.example.com"]
    assert ids(checks.check_secrets_and_hosts(None)) == ["forge.E001"]


def test_a_rate_that_is_none_stops_the_start_with_its_name(manage, monkeypatch):
    done = manage("check", **GOOD, FORGE_RATE_TEAM="many/minute")
    assert (done.returncode, done.stderr) == (
        2,
        (
            "manage.py: FORGE_RATE_TEAM: A rate is a number per second, minute, hour or day, like 100/minute,"
            " not 'many/minute'.\n"
        ),
    )
    monkeypatch.setenv("FORGE_RATE_TEAM", "100/min")
    assert rate("FORGE_RATE_TEAM") == "100/min"


def test_networks_of_webhooks_that_are_none_stop_the_start_with_their_name(monkeypatch):
    monkeypatch.setenv("FORGE_WEBHOOK_NETWORKS", "10.0.0.0/8,fd12::/48")
    assert [str(one) for one in networks("FORGE_WEBHOOK_NETWORKS")] == ["10.0.0.0/8", "fd12::/48"]
    monkeypatch.setenv("FORGE_WEBHOOK_NETWORKS", "10.0.0.1/8")
    with pytest.raises(ImproperlyConfigured, match=r"FORGE_WEBHOOK_NETWORKS: 10\.0\.0\.1/8 has host bits set"):
        networks("FORGE_WEBHOOK_NETWORKS")


def test_webhooks_over_plain_http_are_a_warning(settings):
    assert checks.check_webhooks(None) == []
    settings.FORGE_WEBHOOK_HTTP = True
    assert ids(checks.check_webhooks(None)) == ["forge.W002"]


def test_a_console_that_a_password_alone_opens_is_a_warning(settings):
    settings.FORGE_MFA_REQUIRED = True
    assert checks.check_second_factor(None) == []
    settings.FORGE_MFA_REQUIRED = False
    assert ids(checks.check_second_factor(None)) == ["forge.W003"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("forge.example.com", "no scheme"),
        ("forge.example.com:8443", "no scheme"),
        ("ftp://forge.example.com", "no scheme"),
        ("https://", "no host"),
        ("https:///account", "no host"),
        ("https://forge example.com", "no host"),
        ("https://me@forge.example.com", "user name"),
        ("https://forge.example.com/forge", "more than a host"),
        ("https://forge.example.com?a=b", "more than a host"),
        ("https://forge.example.com/#here", "more than a host"),
        ("https://forge.example.com/#", "more than a host"),
        ("https://forge.example.com?", "more than a host"),
        ("https://forge.example.com:port", "no address"),
        ("https://[::1", "no address"),
    ],
)
def test_an_address_with_which_no_link_can_begin_is_an_error(settings, address, said):
    settings.FORGE_BASE_URL = address
    (error,) = checks.check_links_in_mail(None)
    assert (error.id, said in error.msg) == ("forge.E004", True), error.msg


def test_links_begin_with_a_scheme_and_a_host_and_plain_http_is_a_warning(settings):
    for address in ("https://forge.example.com", "https://forge.example.com:8443/", "https://[::1]:8000"):
        settings.FORGE_BASE_URL = address
        assert checks.check_links_in_mail(None) == []
    for address in ("http://forge.example.com", "HTTP://forge.example.com"):
        settings.FORGE_BASE_URL = address
        assert ids(checks.check_links_in_mail(None)) == ["forge.W004"]
    settings.DEBUG = True
    assert checks.check_links_in_mail(None) == []


@pytest.mark.parametrize("name", ["FORGE_PASSWORD_LINK_MINUTES", "FORGE_INVITATION_DAYS"])
def test_links_that_hold_for_no_time_or_for_ever_are_an_error(settings, name):
    settings.FORGE_BASE_URL = "https://forge.example.com"
    for odd in (-1, 0, 1_000_000):
        setattr(settings, name, odd)
        (error,) = checks.check_links_in_mail(None)
        assert (error.id, name in error.msg, name in error.hint) == ("forge.E005", True, True)
    setattr(settings, name, 7)
    assert checks.check_links_in_mail(None) == []


def test_the_command_that_checks_names_settings_of_links(manage):
    done = manage("check", **GOOD, FORGE_BASE_URL="forge.example.com", FORGE_INVITATION_DAYS="0")
    assert done.returncode == 1
    assert "forge.E004" in done.stderr
    assert "forge.E005" in done.stderr


PROVIDER = {
    "id": "acme", "kind": "oidc", "name": "A", "organization": "acme", "client_id": "c",
    "server_url": "https://acme.okta.com/oauth2/default",
}  # fmt: skip
SAML_PROVIDER = {
    "id": "acme", "kind": "saml", "name": "A", "organization": "acme", "entity_id": "urn:acme",
    "sso_url": "https://accounts.google.com/o/saml2/idp?idpid=C0", "certificate_file": "/dev/null",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "acme: name the secret by one of client_secret_env and client_secret_file"),
        ({"client_secret_env": "NOT_SET_ANYWHERE"}, "acme: NOT_SET_ANYWHERE holds no secret"),
        ({"client_secret_file": "/nowhere/at/all"}, "cannot read /nowhere/at/all"),
        ({"client_secret": "in the open"}, "acme: client_secret is not known"),
        ({"kind": "ldap"}, "acme: kind is oidc or saml"),
        ({"id": "Acme Inc"}, "has the id 'Acme Inc'"),
        ({"kind": "saml"}, "acme: client_id is not known"),
        ({"client_secret_env": "PATH", "leads_to": "https://b.example"}, "acme: leads_to is a list of origins"),
        ({"client_secret_env": "PATH", "leads_to": ["https://b.example/c"]}, "acme: leads_to is a list of origins"),
        (
            {"client_secret_env": "PATH", "leads_to": ["b.example; script-src *"]},
            "acme: leads_to has 'b.example; script-src",
        ),
    ],
)
def test_an_identity_provider_that_cannot_be_meant_stops_the_start_with_its_name(monkeypatch, changes, said):
    monkeypatch.setenv("FORGE_IDENTITY_PROVIDERS", json.dumps([PROVIDER | changes]))
    with pytest.raises(ImproperlyConfigured, match=re.escape(said)):
        identity_providers("FORGE_IDENTITY_PROVIDERS")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("acme.okta.com", "which is no address such as https://login.acme.example"),
        ("ldap://a.example", "no address"),
        ("https://", "no address"),
        ("https://a.example;script-src *", "no address"),
        ("https://a.example/;script-src *", "no address"),
        ("https://a.example,b.example", "no address"),
        ("https://*.example", "no address"),
        ("https://user:s3cret@b.example", "has 'https://…@b.example', which is no address"),
        ("HTTPS://a.example", "in small letters"),
        ("https://a.example:", "no address"),
        ("https://a.example:99999", "has the port 99999: 1 to 65535"),
        ("https://a.example:0", "has the port 0"),
        ("https://münchen.example", "no address"),
        (" https://a.example", "no address"),
        (None, "no address"),
    ],
)
@pytest.mark.parametrize("name", ["server_url", "sso_url", "leads_to"])
def test_an_address_of_an_identity_provider_is_one(name, address, said):
    provider = (SAML_PROVIDER if name == "sso_url" else PROVIDER) | {name: [address] if name == "leads_to" else address}
    if provider["kind"] == "oidc":
        provider["client_secret_env"] = "ACME"
    with pytest.raises(BadProvider, match=re.escape(said)) as fault:
        parse(json.dumps([provider]), environment={"ACME": "a secret"})
    assert str(fault.value).startswith(f"acme: {name} has ")


@pytest.mark.parametrize("origin", ["https://a.example", "http://127.0.0.1:8080", "https://idp_1:65535", "http://idp"])
def test_an_address_that_is_one_has_its_origin(origin):
    found = parse(
        json.dumps([SAML_PROVIDER | {"sso_url": f"{origin}/a?b=c", "leads_to": [f"{origin}/"]}]), environment={}
    )
    assert found[0].origins == (origin, origin)


def test_an_identity_providers_secret_is_read_from_where_it_is_named(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("ACME", "from the environment")
    for reference, secret in (
        ({"client_secret_env": "ACME"}, "from the environment"),
        ({"client_secret_file": str(tmp_path / "secret")}, "from a file"),
    ):
        monkeypatch.setenv("FORGE_IDENTITY_PROVIDERS", json.dumps([PROVIDER | reference]))
        assert identity_providers("FORGE_IDENTITY_PROVIDERS")[0].secret == secret


@pytest.mark.parametrize("hosts", [[], ["*"], ["forge.example.com", "*"]])
def test_hosts_that_are_empty_or_anything_are_an_error(settings, hosts):
    settings.SECRET_KEY = "x" * 50
    settings.ALLOWED_HOSTS = hosts
    assert ids(checks.check_secrets_and_hosts(None)) == ["forge.E002"]


@pytest.mark.parametrize("name", ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"])
def test_a_cookie_that_travels_over_plain_http_is_an_error(settings, name):
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    assert checks.check_cookies(None) == []
    setattr(settings, name, False)
    [error] = checks.check_cookies(None)
    assert (error.id, name in error.msg) == ("forge.E003", True)


def test_on_a_machine_of_ones_own_with_debug_on_settings_are_not_judged(settings):
    settings.DEBUG = True
    settings.SECRET_KEY, settings.ALLOWED_HOSTS, settings.SESSION_COOKIE_SECURE = "", ["*"], False
    assert checks.check_secrets_and_hosts(None) + checks.check_cookies(None) + checks.check_owner_role(None) == []


@pytest.fixture
def one_role(settings, monkeypatch) -> None:
    monkeypatch.setitem(settings.DATABASES, "owner", settings.DATABASES["default"])


def test_two_roles_are_as_it_should_be():
    assert checks.check_owner_role(None) == []


def test_one_role_for_application_and_owner_is_a_warning(one_role):
    assert ids(checks.check_owner_role(None)) == ["forge.W001"]


def test_one_role_by_addresses_of_other_times_is_one_role(settings, monkeypatch):
    default = settings.DATABASES["default"]
    other = default | {"OPTIONS": default["OPTIONS"] | {"connect_timeout": 9}}
    monkeypatch.setitem(settings.DATABASES, "owner", other)
    assert ids(checks.check_owner_role(None)) == ["forge.W001"]


def test_every_message_has_a_hint(settings, one_role):
    settings.SECRET_KEY, settings.ALLOWED_HOSTS, settings.SESSION_COOKIE_SECURE = "", [], False
    settings.FORGE_SPEND_HOOKS = ["nowhere.at_all"]
    judges = (checks.check_secrets_and_hosts, checks.check_cookies, checks.check_owner_role, checks.check_ports)
    found = [message for judge in judges for message in judge(None)]
    assert len(found) >= 5
    assert all(message.hint for message in found)


# -- Ports -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORGE_LAUNCH_GUARDS", ["forge.db.ports.resolve", "nowhere.at_all"]),
        ("FORGE_END_HOOKS", ["forge.db.ports.missing"]),
        ("FORGE_OPERATION_HANDLERS", {"workspace.launch": "nodots"}),
        ("FORGE_REFUSAL_RECORDER", "audit.nothing"),
    ],
)
def test_a_port_that_leads_nowhere_is_an_error_that_names_it(settings, name, value):
    for port in checks.PORT_SETTINGS:
        setattr(settings, port, [])
    setattr(settings, name, value)
    [error] = checks.check_ports(None)
    assert error.id == "forge.E020"
    assert name in error.msg


def test_the_ports_of_the_house_lead_somewhere():
    assert checks.check_ports(None) == []


# -- The database ------------------------------------------------------------------------------------------------
@pytest.mark.servers
@pytest.mark.django_db(databases=["default", "owner"])
def test_the_application_role_of_the_tests_passes():
    assert checks.check_database(None, databases=["default", "owner"]) == []


def test_without_a_database_named_none_is_asked():
    assert checks.check_database(None, databases=None) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "expected"), [("postgres", "forge.E011"), ("forge_jobs", "forge.E011"), ("forge_owner", "forge.E012")]
)
def test_a_role_that_passes_policies_or_owns_the_tables_is_an_error(role, expected):
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        assert ids(checks.check_database(None, databases=["default"])) == [expected]


@pytest.mark.django_db
def test_the_owner_as_the_only_role_is_left_to_the_warning(one_role):
    with connections["default"].cursor() as cursor:
        cursor.execute("SET LOCAL ROLE forge_owner")
        assert checks.check_database(None, databases=["default"]) == []


@pytest.mark.django_db
def test_a_postgresql_that_is_too_old_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "LEAST_POSTGRES", 99)
    assert ids(checks.check_database(None, databases=["default"])) == ["forge.E010"]


# -- The whole ---------------------------------------------------------------------------------------------------
@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_good_production_settings_pass_check_deploy_without_a_warning(manage):
    result = manage(
        "check", "--deploy", "--fail-level", "WARNING", "--database", "default", "--database", "owner", **GOOD
    )
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout + result.stderr


@pytest.mark.django_db(transaction=True)
def test_bad_production_settings_fail_check_deploy_by_name(manage):
    bad = {"SECRET_KEY": "", "ALLOWED_HOSTS": "*", "SESSION_COOKIE_SECURE": "false", "DATABASE_OWNER_URL": ""}
    bad |= {"DEBUG": "false", "DATABASE_URL": superuser_url()}
    result = manage("check", "--deploy", "--database", "default", **bad)
    assert result.returncode == 1
    for name in ("forge.E001", "forge.E002", "forge.E003", "forge.E011", "forge.W001"):
        assert name in result.stderr
