"""A simulated AWS with very many machines, written straight into the simulator's state file: by calls it takes long."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from workspaces.simulator import catalog
from workspaces.simulator.history import History
from workspaces.simulator.machine import Machine
from workspaces.simulator.server import Simulator
from workspaces.simulator.store import Store

REGION, IMAGE = "us-east-1", "engineering-linux-1"
AT_ONCE = 10_000
LOOKED_AT = """
    UPDATE workspaces_workspace
       SET connection_url = 'https://clients.amazonworkspaces.com/',
           ip_address = ('10.' || 64 + position / 62500 % 64 || '.' || position % 62500 / 250 || '.'
                         || 1 + position % 250)::inet
      FROM (SELECT id AS machine, substr(provider_id, 4)::integer - 1 AS position FROM workspaces_workspace) AS shown
     WHERE id = machine
"""
"""What a first look at machines of `standing` writes into their rows, all at once."""
STANDING_STILL = 1e-6
"""Simulated seconds per real one: nothing stops by itself while something is measured."""


@dataclass(frozen=True)
class Holding:
    """`count` machines of an account in one of the region's directories, `ws-` + `letter` + eight digits.

    They are of these kinds in turn, by their numbers, as the rows of `fleet.build` are.
    """

    account: str
    count: int
    directory: int = 1
    letter: str = "0"
    kinds: tuple[str, ...] = ("STANDARD",)


@contextlib.contextmanager
def standing(*holdings: Holding, since: datetime, at: datetime) -> Iterator[Simulator]:
    """Machines that have run since then; the clock stands `at`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state"
        _fill(file, holdings, since.timestamp())
        with Simulator(port=0, speed=STANDING_STILL, start=at.timestamp(), state_file=file) as simulator:
            yield simulator


def _fill(file: Path, holdings: Sequence[Holding], at: float) -> None:
    store = Store(file)
    for one in holdings:
        for first in range(1, one.count + 1, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, one.count + 1))
            store.save(
                account=one.account,
                region=REGION,
                machines=[(_machine(one, number, at), _history(at)) for number in numbers],
                tags={},
                records={},
            )
    store.close()


def _machine(holding: Holding, number: int, at: float) -> Machine:
    kind = holding.kinds[number % len(holding.kinds)]
    size = catalog.bundles(REGION)[catalog.bundle_id(REGION, IMAGE, kind)]
    return Machine(
        workspace_id=f"ws-{holding.letter}{number:08d}",
        account=holding.account,
        region=REGION,
        position=number - 1,
        directory_id=catalog.directory_id(REGION, holding.directory),
        user_name=f"fleet{number}",
        bundle_id=size.bundle_id,
        created_at=at,
        state="AVAILABLE",
        since=at,
        until=None,
        running_mode="AUTO_STOP",
        auto_stop_minutes=60,
        root_gib=80,
        user_gib=50,
        compute_type=size.compute_type,
        operating_system=size.image.operating_system,
        protocol="WSP",
        idle_since=at,
    )


def _history(at: float) -> History:
    history = History()
    history.add(at, "AVAILABLE", connected=False)
    return history
