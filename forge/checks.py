"""System checks of the whole house: what must hold before it may serve people.

E001 to E003 and W002 to W004 judge settings with DEBUG off, E004 and E005 always. E010 to E013 ask the database and
run where one is named (`check --database default`, `check --deploy --database default`). E020 resolves every port.
E021 finds the table of which nothing says whose its rows are.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from forge.db import policies
from forge.db.ports import resolve

LEAST_POSTGRES = 15
LINKS_HOLD = {"FORGE_PASSWORD_LINK_MINUTES": (5, 1_440), "FORGE_INVITATION_DAYS": (1, 90)}
"""Least and most: a link in mail that comes late must work still, and one that lies about for a year must not."""

PORT_SETTINGS = (
    "FORGE_LAUNCH_GUARDS",
    "FORGE_SPEND_HOOKS",
    "FORGE_END_HOOKS",
    "FORGE_CHANGE_HOOKS",
    "FORGE_UNDO_HOOKS",
    "FORGE_KEEPING_PRICES",
    "FORGE_OPERATION_HANDLERS",
    "FORGE_REFUSAL_RECORDER",
    "FORGE_MAIL_KINDS",
    "FORGE_MAIL_READER",
)
"""Settings that hold a dotted path, a list of them, or a dict with them as values."""


def register() -> None:
    """Give the checks to Django; called once, when the console app is ready."""
    checks.register(check_secrets_and_hosts, checks.Tags.security)
    checks.register(check_cookies, checks.Tags.security)
    checks.register(check_owner_role, checks.Tags.security)
    checks.register(check_webhooks, checks.Tags.security)
    checks.register(check_second_factor, checks.Tags.security)
    checks.register(check_links_in_mail, checks.Tags.security)
    checks.register(check_database, checks.Tags.database)
    checks.register(check_ports)
    checks.register(check_isolation)


def check_secrets_and_hosts(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG:
        return []
    found: list[checks.CheckMessage] = []
    if not _has_secret_key():
        found.append(
            checks.Error(
                "SECRET_KEY is not set.",
                hint="Set SECRET_KEY (or SECRET_KEY_FILE) to at least 50 random characters and keep it secret.",
                id="forge.E001",
            )
        )
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        found.append(
            checks.Error(
                "ALLOWED_HOSTS is empty." if not settings.ALLOWED_HOSTS else "ALLOWED_HOSTS admits every host name.",
                hint="Set ALLOWED_HOSTS to the names by which people reach Forge, separated by commas.",
                id="forge.E002",
            )
        )
    return found


def check_cookies(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG:
        return []
    return [
        checks.Error(
            f"{name} is off, so this cookie would travel over plain HTTP.",
            hint=f"Leave {name} unset, or set DEBUG=true on a machine of your own.",
            id="forge.E003",
        )
        for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
        if not getattr(settings, name)
    ]


def check_owner_role(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG or not _is_one_role():
        return []
    return [
        checks.Warning(
            "The application connects as the owner of its tables: DATABASE_OWNER_URL is unset or names the same role.",
            hint="Make a second role for DATABASE_URL (forge_app), set DATABASE_OWNER_URL to the owner, run migrate.",
            id="forge.W001",
        )
    ]


def check_webhooks(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG or not settings.FORGE_WEBHOOK_HTTP:
        return []
    return [
        checks.Warning(
            "FORGE_WEBHOOK_HTTP is on, so webhooks may go over plain HTTP, which anybody on the way reads.",
            hint="Leave FORGE_WEBHOOK_HTTP unset, and give receivers a certificate.",
            id="forge.W002",
        )
    ]


def check_second_factor(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if settings.DEBUG or settings.FORGE_MFA_REQUIRED:
        return []
    return [
        checks.Warning(
            "FORGE_MFA_REQUIRED is off, so a password alone opens the console.",
            hint="Leave FORGE_MFA_REQUIRED unset; people set a factor up at their next sign-in.",
            id="forge.W003",
        )
    ]


def check_links_in_mail(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if fault := _fault_of_address(settings.FORGE_BASE_URL):
        found.append(
            checks.Error(
                f"FORGE_BASE_URL is {settings.FORGE_BASE_URL!r}: {fault}.",
                hint="Set it to a scheme and a host alone, such as https://forge.example.com, or leave it unset.",
                id="forge.E004",
            )
        )
    elif not settings.DEBUG and settings.FORGE_BASE_URL.lower().startswith("http:"):
        found.append(
            checks.Warning(
                "FORGE_BASE_URL begins with http://, so a link that opens an account goes over plain HTTP.",
                hint="Give Forge a certificate, and FORGE_BASE_URL https://.",
                id="forge.W004",
            )
        )
    for name, (least, most) in LINKS_HOLD.items():
        if not least <= getattr(settings, name) <= most:
            found.append(
                checks.Error(
                    f"{name} is {getattr(settings, name)}, which is not between {least} and {most}.",
                    hint=f"Set {name} to a number from {least} to {most}, or leave it unset.",
                    id="forge.E005",
                )
            )
    return found


def check_database(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    for alias in databases or []:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
            (version,) = cursor.fetchone()
        if version < LEAST_POSTGRES:
            found.append(
                checks.Error(
                    f"Database {alias} is PostgreSQL {version}.",
                    hint=f"Forge needs PostgreSQL {LEAST_POSTGRES} or newer.",
                    id="forge.E010",
                )
            )
    if "default" in (databases or []):
        found.extend(_judge_policies())
        if not settings.DEBUG:
            found.extend(_judge_role())
    return found


def check_isolation(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    return [
        checks.Error(
            f"Nothing says whose the rows of {table} are.",
            hint="Give the model an organization_id, or name the table in forge.db.policies.",
            id="forge.E021",
        )
        for table in policies.unknown()
    ]


def check_ports(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    for name in PORT_SETTINGS:
        for path in _paths(getattr(settings, name)):
            try:
                resolve(path)
            except ImportError as error:
                found.append(
                    checks.Error(
                        f"{name} names {path!r}, which cannot be imported: {error}",
                        hint="Give the dotted path of a function or object that exists.",
                        id="forge.E020",
                    )
                )
    return found


def _fault_of_address(text: str) -> str:
    """Why links cannot begin so; '' where they can. Forge stands at the root of its host."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it is no address ({error})"
    if parts.scheme not in ("http", "https"):
        return "it has no scheme, http or https"
    if not host or any(letter.isspace() for letter in text):
        return "it has no host that could be meant"
    if parts.username is not None:
        return "it has a user name"
    is_more = parts.path not in ("", "/") or "?" in text or "#" in text
    return "it has more than a host" if is_more else ""


def _has_secret_key() -> bool:
    try:
        return bool(settings.SECRET_KEY)
    except ImproperlyConfigured:  # Django refuses to hand out an empty one
        return False


def _is_one_role() -> bool:
    default, owner = settings.DATABASES["default"], settings.DATABASES["owner"]
    facts = [(one.get("USER"), one.get("OPTIONS", {}).get("options")) for one in (default, owner)]  # of SET role too
    return facts[0] == facts[1]


def _judge_policies() -> Iterator[checks.CheckMessage]:
    if faulty := policies.faults("default"):
        yield checks.Error(
            f"Organizations are not isolated in {len(faulty)} tables: {', '.join(faulty[:5])}.",
            hint="Run manage.py migrate.",
            id="forge.E013",
        )


def _judge_role() -> Iterator[checks.CheckMessage]:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            """
            SELECT rolname, rolsuper OR rolbypassrls,
                   EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid AND relkind IN ('r', 'p')
                           AND relnamespace = current_schema()::regnamespace)
            FROM pg_roles WHERE rolname = current_user
            """
        )
        role, is_above_all, is_owner = cursor.fetchone()
    if is_above_all:
        yield checks.Error(
            f"DATABASE_URL connects as {role}, a role that passes every privilege and policy.",
            hint="Use a role that is NOSUPERUSER and NOBYPASSRLS; migrate grants it what it needs.",
            id="forge.E011",
        )
    elif is_owner and not _is_one_role():
        yield checks.Error(
            f"DATABASE_URL connects as {role}, which owns tables, although DATABASE_OWNER_URL names another role.",
            hint="Use a role that owns nothing for DATABASE_URL; migrate grants it what it needs.",
            id="forge.E012",
        )


def _paths(value: str | Sequence[str] | dict[str, str]) -> list[str]:
    if isinstance(value, str):
        return [value]
    return list(value.values()) if isinstance(value, dict) else list(value)
