"""`list_vs_bare_view`: 100 workspaces by HTTP, from the API over a bare Django view, in requests per second.

One gunicorn worker serves both addresses, so interpreter, middleware and database connection are the same. The client
asks one request after the other over a kept connection and reads the bodies without parsing them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from forge.accounts.models import User
from forge.accounts.token_services import issue_token
from tests import factories
from tests import world as worlds
from tests.bench.bare.view import PAGE
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.bench.web import asked, served

REQUESTS = {"tiny": 2, "quick": 20, "full": 200}
MINE, BARE = f"/api/v1/workspaces/?page_size={PAGE}", "/api/v1/bare/workspaces/"


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """An admin of an organization with 100 machines, and a server that shows them in both ways."""
    requests = of_size(size, REQUESTS)
    token = _machines_and_token()
    connections.close_all()
    with served() as client:

        def run(address: str) -> Run:
            began = time.perf_counter()
            shown = sum(asked(client, address, token).count(b'"connection_url"') for _ in range(requests))
            return Run(time.perf_counter() - began, shown // PAGE)

        yield Sides(mine=lambda: run(MINE), bare=lambda: run(BARE), verify=lambda: _verify(client, token))


def _verify(client: http.client.HTTPConnection, token: str) -> dict[str, Any]:
    mine, bare = (json.loads(asked(client, address, token)) for address in (MINE, BARE))
    if mine != bare or len(mine["results"]) != PAGE:
        raise UnequalWork(f"the answers differ: {len(mine['results'])} and {len(bare['results'])} machines")
    return {"workspaces": len(mine["results"])}


def _machines_and_token() -> str:
    world = worlds.build()
    now = timezone.now()
    for number in range(PAGE):
        factories.WorkSpaceFactory(
            organization=world.organization,
            team=world.team,
            project=world.project if number % 2 else None,
            blueprint=world.blueprint,
            provider_account=world.account,
            history=[(now - timedelta(days=2, minutes=number), "PENDING"), (now - timedelta(days=1), "AVAILABLE")],
            tags={"cost-center": "r-100"},
        )
    admin = User.objects.get(pk=world.admin.pk)
    _, token = issue_token(actor=worlds.actor(admin), user=admin, name="bench", now=now)
    return token


BENCHMARK = Benchmark(name="list_vs_bare_view", goal=0.5, prepare=prepare, is_rate=True)
