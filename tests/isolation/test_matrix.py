"""Every operation of the API by who asks by whose the row is: the answers on file, and nothing of another organization.

`RECORD_MATRIX=1 python -m pytest tests/isolation/test_matrix.py` writes tests/isolation/matrix.json anew; the
difference is then reviewed. The second run is the proof of the second fence: every `visible_to` is taken away, so
row-level security alone stands between the caller and the rows. In the share of `make test` the callers take turns
from one operation to the next; the admin, who may most, reaches for each row of another organization.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.utils import timezone

from forge.db import scope
from tests import world as worlds
from tests.audit.walk.marks import undone
from tests.isolation.cells import CALLERS, Foreign, Operation, Request, clients, operations
from tests.plugins.share import Share

pytestmark = [
    pytest.mark.django_db(databases=["default", "owner"]),
    pytest.mark.usefixtures("listed_machines_stand"),
]

FILE = Path(__file__).with_name("matrix.json")
RECORD = "RECORD_MATRIX"
OPERATIONS = operations()
ROOMS = sorted({operation.room for operation in OPERATIONS})
ABOVE = "operator"
"""Runs the installation and sees all organizations."""
MIGHTIEST = "admin"
"""May most of those who belong to an organization."""

Asking = Callable[[Operation, str], Sequence[str]]


def on_file() -> dict[str, dict[str, dict[str, int]]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def put_on_file(seen: dict[str, dict[str, dict[str, int]]]) -> None:
    """Write these rows anew and keep the others; the workers of a run take turns."""
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        FILE.write_text(json.dumps(on_file() | seen, indent=1, sort_keys=True) + "\n")


def of(room: str) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.room == room]


def all_callers(operation: Operation, owner: str) -> tuple[str, ...]:
    return CALLERS


def in_turn(share: Share, every: int) -> Asking:
    """With --share one of so many callers; all of them otherwise."""

    def callers(operation: Operation, owner: str) -> list[str]:
        asked = share(CALLERS, every, OPERATIONS.index(operation))
        return asked if owner == "own" or MIGHTIEST in asked else [*asked, MIGHTIEST]

    return callers


def walked(rows: list[Operation], callers: Asking) -> Iterator[tuple[Operation, str, str, int, list[str]]]:
    """(operation, owner, caller, status, offences) of each cell of the rows; each is undone before the next."""
    expire_at = timezone.now() + timedelta(days=30)
    mine, other = worlds.build(expire_at=expire_at), worlds.build(expire_at=expire_at)
    asking = clients(mine)
    for operation in rows:
        with undone():
            requests = {"own": Request.of(operation, mine), "foreign": Request.of(operation, other)}
            before = Foreign.now(other)
            for owner in operation.owners:
                request = requests[owner]
                for caller in callers(operation, owner):
                    with undone():
                        answer = request.by(asking[caller])
                        offences = [] if caller == ABOVE else before.offences(answer, request)
                        yield operation, owner, caller, answer.status_code, offences


@pytest.mark.parametrize("room", ROOMS)
def test_each_cell_answers_as_on_file_and_shows_nothing_of_another_organization(share, room):
    seen: dict[str, dict[str, dict[str, int]]] = {}
    offences = []
    for operation, owner, caller, status, found in walked(of(room), in_turn(share, 4)):
        seen.setdefault(str(operation), {}).setdefault(owner, {})[caller] = status
        offences += [f"{operation} {owner} {caller}: {what}" for what in found]
    assert offences == []
    if os.environ.get(RECORD):
        put_on_file(seen)
    matrix = on_file()
    assert seen.keys() - matrix.keys() == set(), "no row on file: see the head of this file"
    assert seen == {
        name: {owner: {caller: matrix[name][owner].get(caller) for caller in asked} for owner, asked in row.items()}
        for name, row in seen.items()
    }


def test_the_matrix_has_a_row_for_each_operation_and_a_cell_for_each_caller_and_no_other():
    matrix = on_file()
    assert {name: {owner: set(cells) for owner, cells in row.items()} for name, row in matrix.items()} == {
        str(operation): {owner: set(CALLERS) for owner in operation.owners} for operation in OPERATIONS
    }
    assert sum(len(callers) for row in matrix.values() for callers in row.values()) >= 1_500


def test_on_file_nobody_enters_and_nobody_reaches_another_organizations_row():
    reached = [
        f"{name} {caller} {status}"
        for name, row in on_file().items()
        for caller, status in row.get("foreign", {}).items()
        if "{" in name and caller != ABOVE and status < 400
    ]
    assert reached == []
    entered = [
        name for name, row in on_file().items() for statuses in row.values() if statuses["nobody"] not in (401, 404)
    ]
    assert entered == []


@pytest.fixture
def unfiltered(monkeypatch):
    """Every queryset shows all rows to everybody."""
    kinds = {type(model._default_manager.all()) for model in apps.get_models()}
    kinds = {kind for kind in kinds if hasattr(kind, "visible_to")}
    for kind in kinds:
        monkeypatch.setattr(kind, "visible_to", lambda rows, user: rows.all())
    return kinds


@pytest.mark.parametrize("room", ROOMS)
def test_with_the_filters_removed_row_level_security_shows_nothing_of_another_organization(unfiltered, share, room):
    assert len(unfiltered) >= 20
    offences = [
        f"{operation} {owner} {caller}: {what}"
        for operation, owner, caller, _, found in walked(of(room), in_turn(share, 8))
        for what in found
    ]
    assert offences == []


def test_with_both_fences_removed_the_matrix_sees_the_other_organization(unfiltered, monkeypatch):
    monkeypatch.setattr(scope, "of", lambda organization_id: scope.SYSTEM)
    budgets = [operation for operation in OPERATIONS if str(operation) == "GET /api/v1/budgets/"]
    offences = {f"{operation} {caller}" for operation, _, caller, _, found in walked(budgets, all_callers) if found}
    assert "GET /api/v1/budgets/ admin" in offences
