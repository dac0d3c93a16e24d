from collections.abc import Callable, Iterator

import pytest

from forge.db.ids import uuid7
from forge.operations import services
from forge.operations.bell import bell
from forge.operations.models import Operation
from tests.forge.operations.support import KIND, NOW, ORGANIZATION, OWNER, TEAM, ScriptedHandler, scripted


@pytest.fixture
def handler(settings) -> Iterator[ScriptedHandler]:
    settings.FORGE_OPERATION_HANDLERS = {KIND: "tests.forge.operations.support.scripted"}
    settings.FORGE_OPERATION_LEASE_SECONDS = 60
    scripted.reset()
    yield scripted
    scripted.reset()


@pytest.fixture
def rung(monkeypatch) -> list[tuple]:
    """What the bell was asked to ring: (operation id, countdown)."""
    rings: list[tuple] = []
    monkeypatch.setattr(bell, "ring", lambda operation_id, countdown=0.0: rings.append((operation_id, countdown)))
    return rings


@pytest.fixture
def enqueue(handler, rung) -> Callable[..., Operation]:
    def make(**fields) -> Operation:
        return services.enqueue(
            **{
                "id": uuid7(),
                "organization_id": ORGANIZATION,
                "actor_id": OWNER,
                "owner_id": OWNER,
                "team_id": TEAM,
                "kind": KIND,
                "target_type": "workspace",
                "target_id": uuid7(),
                "spec": {"bundle_type": "STANDARD"},
                "correlation_id": uuid7(),
                "now": NOW,
                **fields,
            }
        )

    return make
