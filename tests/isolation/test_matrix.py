"""Every operation of the API by who asks by whose the row is: the answers on file, and nothing of another organization.

`RECORD_MATRIX=1 python -m pytest tests/isolation/test_matrix.py` writes tests/isolation/matrix.json anew; the
difference is then reviewed. The second run is the proof of the second fence: every `visible_to` is taken away, so
row-level security alone stands between the caller and the rows.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.utils import timezone

from forge.db import scope
from tests import world as worlds
from tests.audit.walk.marks import undone
from tests.isolation.cells import CALLERS, Foreign, Operation, Request, clients, operations

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

FILE = Path(__file__).with_name("matrix.json")
RECORD = "RECORD_MATRIX"
OPERATIONS = operations()
ROOMS = sorted({operation.room for operation in OPERATIONS})
ABOVE = "operator"
"""Runs the installation and sees all organizations."""


def on_file() -> dict[str, dict[str, dict[str, int]]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def put_on_file(seen: dict[str, dict[str, dict[str, int]]]) -> None:
    """Write these rows anew and keep the others; the workers of a run take turns."""
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        FILE.write_text(json.dumps(on_file() | seen, indent=1, sort_keys=True) + "\n")


def walked(room: str) -> Iterator[tuple[Operation, str, str, int, list[str]]]:
    """(operation, owner, caller, status, offences) of each cell of a room; each is undone before the next."""
    expire_at = timezone.now() + timedelta(days=30)
    mine, other = worlds.build(expire_at=expire_at), worlds.build(expire_at=expire_at)
    asking = clients(mine)
    for operation in (one for one in OPERATIONS if one.room == room):
        with undone():
            requests = {"own": Request.of(operation, mine), "foreign": Request.of(operation, other)}
            before = Foreign.now(other)
            for owner in operation.owners:
                request = requests[owner]
                for caller in CALLERS:
                    with undone():
                        answer = request.by(asking[caller])
                        offences = [] if caller == ABOVE else before.offences(answer, request)
                        yield operation, owner, caller, answer.status_code, offences


@pytest.mark.parametrize("room", ROOMS)
def test_each_cell_answers_as_on_file_and_shows_nothing_of_another_organization(room):
    seen: dict[str, dict[str, dict[str, int]]] = {}
    offences = []
    for operation, owner, caller, status, found in walked(room):
        seen.setdefault(str(operation), {}).setdefault(owner, {})[caller] = status
        offences += [f"{operation} {owner} {caller}: {what}" for what in found]
    assert offences == []
    if os.environ.get(RECORD):
        put_on_file(seen)
    matrix = on_file()
    assert seen == {name: matrix.get(name, "no row on file: see the head of this file") for name in seen}


def test_the_matrix_has_a_row_for_each_operation_and_no_other():
    matrix = on_file()
    assert matrix.keys() == {str(operation) for operation in OPERATIONS}
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
def test_with_the_filters_removed_row_level_security_shows_nothing_of_another_organization(unfiltered, room):
    assert len(unfiltered) >= 20
    offences = [
        f"{operation} {owner} {caller}: {what}" for operation, owner, caller, _, found in walked(room) for what in found
    ]
    assert offences == []


def test_with_both_fences_removed_the_matrix_sees_the_other_organization(unfiltered, monkeypatch):
    monkeypatch.setattr(scope, "of", lambda organization_id: scope.SYSTEM)
    offences = {f"{operation} {caller}" for operation, _, caller, _, found in walked("budgets") if found}
    assert "GET /api/v1/budgets/ admin" in offences
