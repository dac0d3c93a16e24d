"""The simulated cloud: one place per account and region, one clock, one lock over everything."""

import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from workspaces.simulator import machine as life
from workspaces.simulator.clock import Clock
from workspaces.simulator.faults import Effects, Faults
from workspaces.simulator.history import History
from workspaces.simulator.machine import Machine
from workspaces.simulator.store import Records, Store
from workspaces.simulator.traffic import Traffic
from workspaces.simulator.usage import Usage
from workspaces.simulator.usage_rules import UsageRules

_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BECOMES_AVAILABLE = {"PENDING", "STARTING", "REBOOTING", "REBUILDING", "RESTORING"}


_NONE = Effects()


class Place:
    """What one account has in one region; every method needs the world's lock.

    `records` are small JSON documents by kind and name: fleets, stacks, settings of directories, quotas.
    """

    def __init__(
        self,
        *,
        account: str,
        region: str,
        store: Store,
        durations: Mapping[str, float],
        usage_of: Callable[[Machine], Usage | None],
        held_elsewhere: Callable[[str], bool] = lambda directory_id: False,  # noqa: ARG005
    ) -> None:
        self.account = account
        self.region = region
        self.durations = durations
        self._store = store
        self._usage_of = usage_of
        self._held_elsewhere = held_elsewhere
        self._directories: set[str] = set()
        self._effects = _NONE
        self._machines: dict[str, Machine] = {}
        self._histories: dict[str, History] = {}
        self._settled_until: dict[str, float] = {}
        self._order: list[str] = []
        self._by_user: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._tags: dict[str, dict[str, str]] = {}
        self._tags_before: dict[str, tuple[float, dict[str, str]]] = {}
        self._tag_order: list[str] = []
        self._records: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def __len__(self) -> int:
        """How many machines were ever created here."""
        return len(self._order)

    def holds(self, directory_id: str) -> bool:
        """Whether a machine was ever created in the directory here."""
        return directory_id in self._directories

    def shows(self, directory_id: str) -> bool:
        """Whether the directory is this account's: AWS has each in one, which here is where its machines are."""
        return self.holds(directory_id) or not self._held_elsewhere(directory_id)

    def find(self, workspace_id: str, now: float) -> Machine | None:
        """The machine as it stands now; None for one that never was, is gone, or does not show yet."""
        if workspace_id not in self._machines:
            return None
        current = self._current(workspace_id, now)
        hidden = current.visible_from is not None and now < current.visible_from
        return None if current.is_gone or hidden else current

    def walk(self, now: float, *, after: int = -1) -> Iterator[Machine]:
        """Machines that Describe shows, in the order of their creation, behind the given position."""
        for position in range(after + 1, len(self._order)):
            current = self.find(self._order[position], now)
            if current is not None:
                yield current

    def of_user(self, directory_id: str, user_name: str, now: float) -> list[Machine]:
        """The machines of a directory user, whose name is not case-sensitive, that Describe shows."""
        ids = self._by_user.get(_user_key(directory_id, user_name), ())
        return [current for current in (self.find(workspace_id, now) for workspace_id in ids) if current is not None]

    def is_taken(self, directory_id: str, user_name: str, now: float) -> bool:
        """Whether a directory user has a machine, also one that does not show yet."""
        ids = self._by_user.get(_user_key(directory_id, user_name), ())
        return any(self._current(workspace_id, now).holds_user for workspace_id in ids)

    def ever(self, now: float) -> Iterator[Machine]:
        """All machines ever created here, as they stand now."""
        for workspace_id in self._order:
            yield self._current(workspace_id, now)

    def past(self, workspace_id: str, now: float) -> tuple[Machine, History] | None:
        """A machine, also one that is gone, and what it was when; None for one that never was."""
        if workspace_id not in self._machines:
            return None
        return self._current(workspace_id, now), self._histories[workspace_id]

    def _current(self, workspace_id: str, now: float) -> Machine:
        """The record carried forward, and kept so in memory: the next look has less to do and sees the same."""
        if now < self._settled_until[workspace_id]:
            return self._machines[workspace_id]
        history = self._histories[workspace_id]
        for when, changed in life.steps(self._machines[workspace_id], now, self.durations):
            history.add(when, changed.state, connected=changed.connected)
            self._machines[workspace_id] = changed
        self._keep(self._machines[workspace_id])
        return self._machines[workspace_id]

    def _keep(self, current: Machine) -> None:
        due, _ = life.next_change(current)
        self._machines[current.workspace_id] = current
        self._settled_until[current.workspace_id] = float("inf") if due is None else due

    def new_id(self) -> str:
        while True:
            workspace_id = "ws-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(9))
            if workspace_id not in self._machines:
                return workspace_id

    def tags_of(self, resource_id: str) -> dict[str, str]:
        return dict(self._tags.get(resource_id, {}))

    def indexed_tags_of(self, resource_id: str, now: float) -> dict[str, str]:
        """The tags as the index of the tagging API has them, which a fault lets follow late."""
        until, before = self._tags_before.get(resource_id, (now, {}))
        return dict(before) if now < until else self.tags_of(resource_id)

    def tagged(self, *, after: int = -1) -> Iterator[tuple[int, str]]:
        """The ids of everything that was ever tagged, numbered in the order of first tagging, behind a number."""
        for number in range(after + 1, len(self._tag_order)):
            yield number, self._tag_order[number]

    def record(self, kind: str, name: str) -> dict[str, Any] | None:
        """A record, not to be changed but by `commit`."""
        return self._records[kind].get(name)

    def records(self, kind: str) -> Mapping[str, dict[str, Any]]:
        """All records of a kind by name, in the order of their creation."""
        return self._records[kind]

    @contextmanager
    def under(self, effects: Effects) -> Iterator[None]:
        """Let a fault change what is committed meanwhile."""
        self._effects = effects
        try:
            yield
        finally:
            self._effects = _NONE

    def commit(
        self,
        *,
        now: float,
        machines: Iterable[Machine] = (),
        tags: Mapping[str, dict[str, str]] | None = None,
        records: Records | None = None,
    ) -> None:
        """Record new and changed machines, whole tag sets and records, on disk first."""
        if self._effects.discards:
            return
        changed = [(one, self._history_with(one, now)) for one in map(self._struck, machines)]
        retagged, rewritten = dict(tags or {}), dict(records or {})
        if not (changed or retagged or rewritten):
            return
        self._store.save(account=self.account, region=self.region, machines=changed, tags=retagged, records=rewritten)
        for current, history in changed:
            self.restore(current, history)
        for resource_id, tag_set in retagged.items():
            if self._effects.hides_tags_for_seconds:
                shown = self.indexed_tags_of(resource_id, now)
                self._tags_before[resource_id] = (now + self._effects.hides_tags_for_seconds, shown)
            self.restore_tags(resource_id, tag_set)
        for (kind, name), body in rewritten.items():
            self.restore_record(kind, name, body)

    def _struck(self, current: Machine) -> Machine:
        effects, is_new = self._effects, current.workspace_id not in self._machines
        if is_new:
            current = replace(current, usage=self._usage_of(current))
        if is_new and effects.hides_for_seconds:
            current = replace(current, visible_from=current.created_at + effects.hides_for_seconds)
        if effects.fate is not None and current.state in _BECOMES_AVAILABLE:
            current = replace(current, fate=effects.fate)
        return current

    def _history_with(self, current: Machine, now: float) -> History:
        history = History(
            self._histories[current.workspace_id].packed() if current.workspace_id in self._histories else b""
        )
        history.add(now, current.state, connected=current.connected)
        return history

    def restore(self, current: Machine, history: History) -> None:
        """Take a machine that is on disk into memory."""
        if current.workspace_id not in self._machines:
            self._order.append(current.workspace_id)
            self._by_user[_user_key(current.directory_id, current.user_name)].append(current.workspace_id)
            self._directories.add(current.directory_id)
        self._histories[current.workspace_id] = history
        self._keep(current)

    def restore_tags(self, resource_id: str, tags: dict[str, str]) -> None:
        if resource_id not in self._tags:
            self._tag_order.append(resource_id)
        self._tags[resource_id] = tags

    def restore_record(self, kind: str, name: str, body: dict[str, Any] | None) -> None:
        if body is None:
            self._records[kind].pop(name, None)
        else:
            self._records[kind][name] = body


class World:
    """Everything that a simulator knows; hold `lock` around every use of it."""

    def __init__(self, *, clock: Clock, store: Store, durations: Mapping[str, float]) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.durations = durations
        self.faults = Faults()
        self.traffic = Traffic()
        self.usage_rules = UsageRules(store)
        self._store = store
        self._places: dict[tuple[str, str], Place] = {}
        store.save_anchor(clock.anchor)
        for current, history in store.machines():
            self.place(current.account, current.region).restore(current, history)
        for account, region, resource_id, tags in store.tags():
            self.place(account, region).restore_tags(resource_id, tags)
        for account, region, kind, name, body in store.records():
            self.place(account, region).restore_record(kind, name, body)

    def place(self, account: str, region: str) -> Place:
        key = (account, region)
        if key not in self._places:
            self._places[key] = Place(
                account=account,
                region=region,
                store=self._store,
                durations=self.durations,
                usage_of=self.usage_rules.usage_of,
                held_elsewhere=partial(self._is_held, region),
            )
        return self._places[key]

    def _is_held(self, region: str, directory_id: str) -> bool:
        """Whether any account has a machine in the directory of the region."""
        return any(place.region == region and place.holds(directory_id) for place in self.places())

    def places(self) -> list[Place]:
        return list(self._places.values())

    def advance(self, seconds: float) -> float:
        """Move simulated time forward and say what it is then."""
        self._store.save_anchor(self.clock.advance(seconds))
        return self.clock.now()

    def set_speed(self, speed: float) -> float:
        """Let simulated time run at another speed from now on, 0 = only when it is advanced; says the time."""
        self._store.save_anchor(self.clock.set_speed(speed))
        return self.clock.now()

    def close(self) -> None:
        with self.lock:
            self._store.close()


def _user_key(directory_id: str, user_name: str) -> tuple[str, str]:
    return directory_id, user_name.casefold()
