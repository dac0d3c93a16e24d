"""The matrix of the API: each operation of the OpenAPI schema by who asks by whose the row is, and what was seen.

A cell is one request. `offences` says what of another organization it showed or changed, whatever its status was.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import yaml
from django.apps import apps
from django.db import connection
from django.urls import resolve
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from forge.accounts.token_services import issue_token
from forge.db import policies, scope
from forge.env import BASE_DIR
from tests import factories
from tests.audit.test_capture_api import FOREIGN
from tests.audit.walk import rows
from tests.audit.walk.api import CASES
from tests.audit.walk.marks import client_of, nowhere
from tests.costs.books_of_days import book, record
from tests.world import World, actor

CALLERS = ("nobody", "contractor", "engineer", "lead", "finance", "auditor", "admin", "operator")
OWNERS = ("own", "foreign")
METHODS = ("get", "post", "put", "patch", "delete")


def _entry(world: World) -> AuditLog:
    """An entry of the log about that organization."""
    issue_token(actor=actor(world.engineer), user=world.engineer, name="seen", now=timezone.now())
    return AuditLog.objects.filter(organization_id=world.organization.id).latest("timestamp", "id")


def _charged(world: World) -> None:
    """An hour of a machine of the engineer's in the books, and the sums of all hours of the organization."""
    people = {"user_id": world.engineer.id, "team_id": world.team.id}
    with scope.organization(world.organization.id):
        book([record(world.organization, rows.hour(ahead=-2), Decimal(3), **people)])


SHOWN: dict[str, Callable[[World], Any]] = {
    "audit-export-download": rows.export,
    "report-subscription-list": rows.report_subscription,
    "audit-list": _entry,
    "audit-detail": _entry,
    "advice-summary": rows.advice,
    "costrecord-list": _charged,
    "cost-summary": _charged,
    "cost-timeseries": _charged,
    "cost-export-list": _charged,
    "cost-forecast": _charged,
    "cost-report-list": _charged,
    "token-list": rows.token,
    "workspace-connect": rows.connectable,
}
"""What a read shows, where FOREIGN of tests/audit/test_capture_api.py does not say it."""

_PARAMETER = re.compile(r"{\w+}")
_NO_PRICE = str(uuid.UUID(int=1))
"""The price of every made-up cost record (tests/costs/books_of_days.py)."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Operation:
    """One method of one path of the schema."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def room(self) -> str:
        return self.path.split("/")[3]

    @property
    def has_row(self) -> bool:
        return "{" in self.path

    @property
    def route(self) -> str:
        return str(resolve(_PARAMETER.sub("0", self.path)).url_name)

    @property
    def owners(self) -> tuple[str, ...]:
        """A list is read as a whole: whose the rows are is then no choice of the request's."""
        return OWNERS if self.has_row or self.method != "get" else OWNERS[:1]

    def row(self, world: World) -> Any:
        """The row of its address, or one that it would show, made in that world; None where there is none to make."""
        case = CASES.get((self.route, self.method))
        if case is not None and case.row is not None:
            return case.row(world)
        detail = self.route.removesuffix("-list") + "-detail"
        make: Callable[[World], Any] | None = SHOWN.get(self.route) or FOREIGN.get(self.route) or FOREIGN.get(detail)
        return make(world) if make is not None else None


def operations() -> list[Operation]:
    """Every operation of the committed schema, which a test holds to the code."""
    paths = yaml.load((BASE_DIR / "docs" / "openapi.yaml").read_text(), Loader=yaml.CSafeLoader)["paths"]
    return [Operation(method, path) for path, item in paths.items() for method in METHODS if method in item]


def clients(world: World) -> dict[str, APIClient]:
    """One client per caller: the people of the world, nobody, and an operator of the installation."""
    people = {caller: getattr(world, caller) for caller in CALLERS if hasattr(world, caller)}
    operator = factories.UserFactory(organization=None)
    return {
        "nobody": client_of(None, "API"),
        **{caller: client_of(user, "API") for caller, user in people.items()},
        "operator": client_of(operator, "API"),
    }


@dataclass(frozen=True)
class Foreign:
    """Another organization before a request: by which words its rows would be known, and a digest of them."""

    world: World
    words: frozenset[str]
    digest: str

    @classmethod
    def now(cls, world: World) -> Foreign:
        people = (world.admin, world.engineer, world.lead)
        names = {person.email for person in people} | {world.team.slug, world.project.slug, world.organization.slug}
        return cls(world, frozenset(names | _ids_of(world)), _digest(world))

    def offences(self, answer: Any, request: Request) -> list[str]:
        """What the answer shows of it and was not in the request, and whether the request changed it."""
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        text = body.decode(errors="replace")
        shown = {word for word in self.words if word in text and word not in request.text and _stands_in(word, text)}
        found = [f"shows {word}" for word in sorted(shown)]
        if request.method == "get" or answer.status_code >= 400:
            return found
        return found if _digest(self.world) == self.digest else [*found, "changed a row"]


@dataclass(frozen=True)
class Request:
    """What is sent for an operation: to the row of its address, with what it names, all of one world."""

    method: str
    path: str
    given: dict[str, Any]

    @classmethod
    def of(cls, operation: Operation, world: World) -> Request:
        """Makes the row and whatever the body names."""
        row = operation.row(world) if operation.has_row or operation.method == "get" else None
        path = _PARAMETER.sub(str(getattr(row, "pk", row) or nowhere()), operation.path)
        case = CASES.get((operation.route, operation.method))
        if case is not None and case.content is not None:
            content, media = case.content(world)
            return cls(operation.method, path, {"data": content, "content_type": media})
        if case is not None and case.body is not None:
            return cls(operation.method, path, {"data": case.body(world), "format": "json"})
        return cls(operation.method, path, {})

    @property
    def text(self) -> str:
        data = self.given.get("data", "")
        return self.path + (data.decode() if isinstance(data, bytes) else str(data))

    def by(self, client: APIClient) -> Any:
        return getattr(client, self.method)(self.path, **self.given)


def _stands_in(word: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


@cache
def _tables() -> list[str]:
    """The tables with rows of one organization's own, but for the log, which hears of every refusal."""
    isolated = policies.policies().keys() - {"audit_auditlog"}
    return sorted(
        model._meta.db_table
        for model in apps.get_models()
        if model._meta.db_table in isolated and any(f.column == "organization_id" for f in model._meta.concrete_fields)
    )


def _digest(world: World) -> str:
    """A digest of all rows of the organization, by table. It is asked for in most cells, so it is planned once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_prepared_statements WHERE name = 'digest_of_rows'")
        if cursor.fetchone() is None:
            asked = " UNION ALL ".join(
                f"SELECT '{table}' || coalesce(md5(string_agg(one::text, '' ORDER BY one::text)), '')"
                f" FROM {table} AS one WHERE organization_id = $1"
                for table in _tables()
            )
            cursor.execute(f"PREPARE digest_of_rows (uuid) AS {asked}")
        cursor.execute("EXECUTE digest_of_rows (%s)", [world.organization.id])
        return "\n".join(digest for (digest,) in cursor.fetchall())


def _ids_of(world: World) -> set[str]:
    """Every UUID in a row of the organization, but for those of what all organizations share."""
    asked = " UNION ALL ".join(
        f"SELECT one::text FROM {table} AS one WHERE organization_id = %(organization)s" for table in _tables()
    )
    with connection.cursor() as cursor:
        cursor.execute(asked, {"organization": world.organization.id})
        own = {found for (text,) in cursor.fetchall() for found in _UUID.findall(text)}
        for table in policies.SHARED:
            cursor.execute(f"SELECT id::text FROM {table} WHERE organization_id IS NULL")
            own -= {_NO_PRICE} | {shared for (shared,) in cursor.fetchall()}
    return own
