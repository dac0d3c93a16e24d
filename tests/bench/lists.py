"""`admin_list_growth` and `rls_overhead`: the console's list of machines over many and few, and what isolation costs.

Growth: the same requests to the changelist (its first page, the next one, and a search by each of what is searched) as
an organization's admin and as an operator, over a large and a small population. Both lie in one database; the small one
in a schema of its own whose tables have the columns, indexes and policies of the first, looked at by `search_path`.
Overhead: the API's list of machines with the policies of its tables on, and off.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import time
from collections.abc import Iterator
from html import unescape
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, connections
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

from forge.accounts.token_services import issue_token
from forge.db import policies, scope
from tests import factories
from tests import world as worlds
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size

MACHINES = {"tiny": 300, "quick": 20_000, "full": 1_000_000}
SMALLER = 100
"""So many times fewer machines are in the small population."""
SMALL = "bench_small"
TABLES = ("accounts_user", "workspaces_workspace")
LIST = "/admin/workspaces/workspace/"
API = "/api/v1/workspaces/?page_size=100"
REQUESTS = {"tiny": 2, "quick": 20, "full": 50}

_PEOPLE = """
    INSERT INTO accounts_user (
        id, organization_id, password, email, full_name, external_id, directory_username, location, time_zone,
        is_active, created_at, updated_at
    )
    SELECT forge_uuid7(), %(organization)s, '!', 'Person' || lpad(nr::text, 7, '0') || '@example.com',
           'First' || lpad(nr::text, 7, '0') || ' Last' || lpad(nr::text, 7, '0'), '',
           'user' || lpad(nr::text, 7, '0'), '', '', true, %(now)s, %(now)s
      FROM generate_series(1, %(count)s) AS nr
"""
_MACHINES = """
    INSERT INTO workspaces_workspace (
        id, organization_id, owner_id, team_id, name, service_type, bundle_type, operating_system, running_mode,
        blueprint_id, application_ids, root_volume_gb, user_volume_gb, state, state_since, launched_at,
        provider_account_id, directory_id, directory_user, provider_id, provider_state, health, region, protocol,
        domain_joined, domain_join_status, domain_join_attempts, cost_to_date, auto_stop_timeout_minutes,
        max_lifetime_days, keep_alive, keep_alive_reason, next_action, is_unreckoned, tags, version, created_at,
        updated_at
    )
    SELECT forge_uuid7(), organization_id, id, %(team)s, 'Machine-' || substr(directory_username, 5),
           'WORKSPACES_PERSONAL', 'STANDARD', 'LINUX', 'AUTO_STOP', %(blueprint)s, '{}', 80, 50, 'AVAILABLE', %(now)s,
           %(now)s, %(account)s, %(directory)s, directory_username,
           'ws-' || lpad(substr(directory_username, 5), 9, '0'),
           'AVAILABLE', 'HEALTHY', 'us-east-1', 'DCV', true, 'JOINED', 0, 0, 60, 90, false, '', '', false, '{}', 1,
           %(now)s::timestamptz - interval '1 second' * (%(count)s - nr), %(now)s
      FROM (SELECT *, substr(directory_username, 5)::int AS nr FROM accounts_user
             WHERE organization_id = %(organization)s AND directory_username LIKE 'user%%') person
     ORDER BY nr
"""


class Population:
    """The list over one population, asked by each of two people; `schema` is where its machines are."""

    def __init__(self, schema: str, people: dict[str, Any], searched: dict[str, str]) -> None:
        self.schema, self.searched = schema, searched
        self.clients = {name: Client(SERVER_NAME="127.0.0.1") for name in people}
        self.taken: dict[str, list[float]] = {}
        for name, person in people.items():
            self.clients[name].force_login(person)

    def run(self) -> Run:
        """Every request once, by each of both; `work` is the machines that were shown."""
        began, shown = time.perf_counter(), 0
        with looking_at(self.schema):
            for who, client in self.clients.items():
                page = self._ask(who, client, "first page", LIST)
                found = re.search(r'rel="next"[^>]*href="([^"]+)"', page)
                if found is None:
                    raise UnequalWork(f"{who} sees no second page")
                shown += _machines(page) + _machines(self._ask(who, client, "next page", LIST + unescape(found[1])))
                for what, term in self.searched.items():
                    shown += _machines(self._ask(who, client, what, f"{LIST}?q={term}"))
        return Run(time.perf_counter() - began, shown)

    def medians(self) -> dict[str, float]:
        """Milliseconds by request."""
        return {name: round(1000 * statistics.median(seconds), 1) for name, seconds in self.taken.items()}

    def _ask(self, who: str, client: Client, what: str, address: str) -> str:
        began = time.perf_counter()
        answer = client.get(address)
        text = answer.content.decode()
        self.taken.setdefault(f"{who}: {what}", []).append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise UnequalWork(f"{address} answered {answer.status_code}")
        return text


@contextlib.contextmanager
def prepare_growth(size: str) -> Iterator[Sides]:
    """Both populations, vacuumed and analyzed, as in life."""
    machines = of_size(size, MACHINES)
    small = max(machines // SMALLER, 120)
    world, operator = worlds.build(), factories.UserFactory(organization=None)
    with _second(), _quietly():
        fill("public", world, machines)
        fill(SMALL, world, small)
        _settle_down()
        people = {"admin": world.admin, "operator": operator}
        large, few = (_population(schema, people, small // 2) for schema in ("public", SMALL))

        def verify() -> dict[str, Any]:
            table = {f"{name} (ms)": ms for name, ms in large.medians().items()}
            table |= {f"{name}, few (ms)": ms for name, ms in few.medians().items()}
            return {"machines": machines, "machines_of_few": small, "table": table}

        yield Sides(mine=large.run, bare=few.run, verify=verify)
    connections.close_all()


def _population(schema: str, people: dict[str, Any], number: int) -> Population:
    """Each search finds the one machine with that number."""
    with looking_at(schema), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM workspaces_workspace WHERE search_name = %s", [f"machine-{number:07}"])
        (machine,) = cursor.fetchone()
    searched = {
        "search by id": str(machine),
        "search by AWS id": f"ws-{number:09}",
        "search by name": f"machine-{number:07}",
        "search by email": f"person{number:07}",
        "search by last name": f"LAST{number:07}",
        "search by directory user": f"user{number:07}",
    }
    return Population(schema, people, searched)


@contextlib.contextmanager
def prepare_overhead(size: str) -> Iterator[Sides]:
    """The large population, and the first page of the API's list."""
    requests = of_size(size, REQUESTS)
    world = worlds.build()
    fill("public", world, of_size(size, MACHINES))
    _settle_down()
    _, token = issue_token(actor=worlds.actor(world.admin), user=world.admin, name="bench", now=timezone.now())
    client = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": f"Bearer {token}"})
    tables = [*policies.policies()]

    def run(word: str) -> Run:
        """With the policies of all tables switched so before, which does not count."""
        with _owner() as owner:
            for table in tables:
                owner.execute(f'ALTER TABLE "{table}" {word} ROW LEVEL SECURITY')
        began = time.perf_counter()
        shown = sum(client.get(API).content.count(b'"connection_url"') for _ in range(requests))
        return Run(time.perf_counter() - began, shown)

    with _quietly():
        try:
            yield Sides(mine=lambda: run("ENABLE"), bare=lambda: run("DISABLE"), verify=lambda: {"tables": len(tables)})
        finally:
            run("ENABLE")
    connections.close_all()


@contextlib.contextmanager
def looking_at(schema: str) -> Iterator[None]:
    """What the product does meanwhile, on its connection, it does to the tables of `schema`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', %s, false)", [f"{schema}, public"])
        try:
            yield
        finally:
            cursor.execute("SELECT set_config('search_path', 'public', false)")


def fill(schema: str, world: worlds.World, count: int) -> None:
    """`count` people of the world's organization, each with a machine."""
    given = {
        "organization": world.organization.id,
        "team": world.team.id,
        "blueprint": world.blueprint.id,
        "account": world.account.id,
        "directory": f"d-{schema}",
        "count": count,
        "now": timezone.now(),
    }
    with looking_at(schema), connection.cursor() as cursor:
        cursor.execute(_PEOPLE, given)
        cursor.execute(_MACHINES, given)


@contextlib.contextmanager
def _second() -> Iterator[None]:
    """The second set of tables, with the policies of the first and whoever signs in; gone afterwards."""
    own = policies.policies()
    with _owner() as owner:
        owner.execute(f"CREATE SCHEMA {SMALL}")
        try:
            for table in TABLES:
                name = f"{SMALL}.{table}"
                owner.execute(f"CREATE TABLE {name} (LIKE public.{table} INCLUDING ALL)")
                owner.execute(f"CREATE POLICY {policies.POLICY} ON {name} USING ({own[table].own})")
            owner.execute(f"GRANT USAGE ON SCHEMA {SMALL} TO PUBLIC")
            owner.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {SMALL} TO PUBLIC")
            columns = _columns(owner, "accounts_user")
            owner.execute(f"INSERT INTO {SMALL}.accounts_user ({columns}) SELECT {columns} FROM public.accounts_user")
            for table in TABLES:
                owner.execute(f"ALTER TABLE {SMALL}.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
            yield
        finally:
            connections.close_all()
            owner.execute(f"DROP SCHEMA {SMALL} CASCADE")


def _columns(owner: psycopg.Connection, table: str) -> str:
    """Those that are written, not generated."""
    found = owner.execute(
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        [table],
    ).fetchone()
    return str(found[0]) if found else ""


def _settle_down() -> None:
    with _owner() as owner:
        owner.execute("SET client_min_messages = error")  # tables of the catalogue are passed over
        owner.execute("VACUUM (ANALYZE)")


@contextlib.contextmanager
def _owner() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        owner.execute("SELECT set_config(%s, %s, false)", [scope.SETTING, scope.SYSTEM])
        yield owner


def _machines(page: str) -> int:
    return len(set(re.findall(r"/admin/workspaces/workspace/([0-9a-f-]{36})/change/", page)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Requests within this process: no line of the log for each, no collected files, and a password is enough."""
    left = [name for name in settings.MIDDLEWARE if not name.startswith(("whitenoise", "django_structlog"))]
    plain = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(MIDDLEWARE=left, STORAGES=plain, FORGE_MFA_REQUIRED=False):
        yield


GROWTH = Benchmark(name="admin_list_growth", goal=1.5, prepare=prepare_growth, is_rate=False)
OVERHEAD = Benchmark(name="rls_overhead", goal=None, prepare=prepare_overhead, is_rate=False)
