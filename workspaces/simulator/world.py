"""The simulated cloud: one fleet per account and region, one clock, one lock over everything."""

import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from workspaces.simulator import machine as life
from workspaces.simulator.clock import Clock
from workspaces.simulator.machine import Machine
from workspaces.simulator.store import Store

_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Fleet:
    """The machines and tags of one account in one region; every method needs the world's lock."""

    def __init__(self, *, account: str, region: str, store: Store, durations: Mapping[str, float]) -> None:
        self.account = account
        self.region = region
        self.durations = durations
        self._store = store
        self._records: dict[str, Machine] = {}
        self._order: list[str] = []
        self._by_user: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._tags: dict[str, dict[str, str]] = {}
        self._tag_order: list[str] = []

    def __len__(self) -> int:
        """How many machines were ever created here."""
        return len(self._order)

    def find(self, workspace_id: str, now: float) -> Machine | None:
        """The machine as it stands now; None for one that never was or is gone."""
        if workspace_id not in self._records:
            return None
        current = self._current(workspace_id, now)
        return None if current.is_gone else current

    def walk(self, now: float, *, after: int = -1) -> Iterator[Machine]:
        """Machines that still exist, in the order of their creation, behind the given position."""
        for position in range(after + 1, len(self._order)):
            current = self.find(self._order[position], now)
            if current is not None:
                yield current

    def of_user(self, directory_id: str, user_name: str, now: float) -> list[Machine]:
        """The existing machines of a directory user, whose name is not case-sensitive."""
        ids = self._by_user.get(_user_key(directory_id, user_name), ())
        return [current for current in (self.find(workspace_id, now) for workspace_id in ids) if current is not None]

    def ever(self, now: float) -> Iterator[Machine]:
        """All machines ever created here, as they stand now."""
        for workspace_id in self._order:
            yield self._current(workspace_id, now)

    def _current(self, workspace_id: str, now: float) -> Machine:
        """The record carried forward, and kept so in memory: the next look has less to do and sees the same."""
        current = life.at(self._records[workspace_id], now, self.durations)
        self._records[workspace_id] = current
        return current

    def new_id(self) -> str:
        while True:
            workspace_id = "ws-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(9))
            if workspace_id not in self._records:
                return workspace_id

    def tags_of(self, resource_id: str) -> dict[str, str]:
        return dict(self._tags.get(resource_id, {}))

    def tagged(self, *, after: int = -1) -> Iterator[tuple[int, str]]:
        """The ids of everything that was ever tagged, numbered in the order of first tagging, behind a number."""
        for number in range(after + 1, len(self._tag_order)):
            yield number, self._tag_order[number]

    def commit(self, *, machines: Iterable[Machine] = (), tags: Mapping[str, dict[str, str]] | None = None) -> None:
        """Record new and changed machines and whole tag sets, on disk first."""
        changed, retagged = list(machines), dict(tags or {})
        if not changed and not retagged:
            return
        self._store.save(account=self.account, region=self.region, machines=changed, tags=retagged)
        for record in changed:
            self.restore(record)
        for resource_id, tag_set in retagged.items():
            self.restore_tags(resource_id, tag_set)

    def restore(self, record: Machine) -> None:
        """Take a record that is on disk into memory."""
        if record.workspace_id not in self._records:
            self._order.append(record.workspace_id)
            self._by_user[_user_key(record.directory_id, record.user_name)].append(record.workspace_id)
        self._records[record.workspace_id] = record

    def restore_tags(self, resource_id: str, tags: dict[str, str]) -> None:
        if resource_id not in self._tags:
            self._tag_order.append(resource_id)
        self._tags[resource_id] = tags


class World:
    """Everything that a simulator knows; hold `lock` around every use of it."""

    def __init__(self, *, clock: Clock, store: Store, durations: Mapping[str, float]) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.durations = durations
        self._store = store
        self._fleets: dict[tuple[str, str], Fleet] = {}
        store.save_anchor(clock.anchor)
        for record in store.machines():
            self.fleet(record.account, record.region).restore(record)
        for account, region, resource_id, tags in store.tags():
            self.fleet(account, region).restore_tags(resource_id, tags)

    def fleet(self, account: str, region: str) -> Fleet:
        key = (account, region)
        if key not in self._fleets:
            self._fleets[key] = Fleet(account=account, region=region, store=self._store, durations=self.durations)
        return self._fleets[key]

    def fleets(self) -> list[Fleet]:
        return list(self._fleets.values())

    def advance(self, seconds: float) -> float:
        """Move simulated time forward and say what it is then."""
        self._store.save_anchor(self.clock.advance(seconds))
        return self.clock.now()

    def close(self) -> None:
        with self.lock:
            self._store.close()


def _user_key(directory_id: str, user_name: str) -> tuple[str, str]:
    return directory_id, user_name.casefold()
