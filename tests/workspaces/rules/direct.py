"""The same lives without AWS, for walks that are too long for it: what is queued has happened, and SQL says so.

`collect_usage` and `enforce_lifecycle` are the product's; the two calls by which AWS is asked for samples are answered
from the declared uses, and machines are started, stopped and ended by an UPDATE, when a worker would have known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from forge.accounts.models import User
from forge.operations.models import Operation
from tests.workspaces.rules.lives import CARRIED_OUT, RUN_EVERY, SAMPLE, STOPPING, Life, Use, at_a_run
from tests.workspaces.rules.support import BUSY, IDLE, machine
from tests.workspaces.rules.walk import Walk
from tests.world import World
from workspaces import aws
from workspaces.models import WorkSpace
from workspaces.rules.reckoning import reckon

_STOPPED = """
    UPDATE workspaces_workspace SET state = 'STOPPED', state_since = %(at)s, stopped_at = %(at)s
     WHERE id = ANY(%(ids)s)
"""
_ENDED = """
    UPDATE workspaces_workspace
       SET state = 'TERMINATED', state_since = %(at)s, terminated_at = %(at)s, next_action = '', next_action_at = NULL
     WHERE id = ANY(%(ids)s)
"""
_WOKEN = """
    UPDATE workspaces_workspace SET state = 'AVAILABLE', state_since = %(at)s
     WHERE id = ANY(%(ids)s) AND state = 'STOPPED'
"""


class DirectWalk(Walk):
    """A walk that answers the questions of `collect_usage` itself."""

    def __init__(self, world: World, *, seats: Sequence[Sequence[Life]], start: datetime, until: datetime) -> None:
        super().__init__(world, seats=seats, control=None, start=start, until=until)
        self._lives: dict[str, Life] = {}

    def connections(self, provider_ids: Sequence[str]) -> dict[str, aws.Connection]:
        """What DescribeWorkspacesConnectionStatus would say."""
        found = {}
        for provider_id, life in self._of(provider_ids):
            met = [use for use in life.uses if use.is_connected and use.begins <= self.now]
            last = met[-1] if met else None
            is_connected = last is not None and self.now < last.ends
            left_at = None if last is None else min(last.ends, self.now)
            found[provider_id] = aws.Connection(provider_id, is_connected, left_at)
        return found

    def read(self, provider_ids: Sequence[str], *, since: datetime, until: datetime) -> list[aws.Figures]:
        """What GetMetricData would say."""
        found = []
        for provider_id, life in self._of(provider_ids):
            at = until if life.is_silent else since
            while at < until:
                uses = [use for use in life.uses if use.begins < at + SAMPLE and at < use.ends]
                is_connected = any(use.is_connected for use in uses)
                found.append(aws.Figures(provider_id, at, float(is_connected), BUSY if uses else IDLE))
                at += SAMPLE
        return found

    def _of(self, provider_ids: Sequence[str]) -> Iterator[tuple[str, Life]]:
        return ((one, self._lives[one]) for one in provider_ids if one in self._lives)

    def _look(self) -> None:
        """There is nothing to look at."""

    def _make(self, life: Life, owner: User) -> WorkSpace:
        made = machine(
            self.world,
            owner=owner,
            since=self.now + CARRIED_OUT,
            created_at=self.now,
            auto_stop_timeout_minutes=life.idle_minutes,
            max_lifetime_days=life.lifetime_days,
            running_mode="ALWAYS_ON" if life.is_always_on else "AUTO_STOP",
            team=self.team(life.team),
            blueprint=self.blueprint(life.family or "general"),
        )
        if not life.is_always_on:  # nobody uses those, and no rule asks
            self._lives[made.provider_id] = life
        reckon(now=self.now)
        return made

    def _leave_to_aws(self, made: WorkSpace, stops_at: datetime) -> None:
        seen_at = at_a_run(stops_at)
        self.look_at(seen_at)
        self.at(seen_at, lambda: self._write(_STOPPED, made.id, at=at_a_run(stops_at + STOPPING)))

    def _plan_use(self, made: WorkSpace, use: Use, life: Life) -> None:
        woken_at = use.begins + RUN_EVERY if use.is_connected else use.ends
        self.look_at(woken_at)
        if use.is_connected:
            self.at(woken_at, lambda: self._write(_WOKEN, made.id, at=woken_at))
        if life.is_left_to_aws:
            self._leave_to_aws(made, use.ends + timedelta(hours=1))

    def _work(self) -> None:
        queued = list(Operation.objects.open().values_list("kind", "target_id"))
        if not queued:
            return
        for kind, statement in (("workspace.stop", _STOPPED), ("workspace.terminate", _ENDED)):
            self._write(statement, *(one for of, one in queued if of == kind), at=self.now + CARRIED_OUT)
        Operation.objects.open().update(
            status="succeeded", started_at=self.now, finished_at=self.now, next_attempt_at=None
        )
        reckon(now=self.now)

    def _write(self, statement: str, *ids: Any, at: datetime) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"at": at, "ids": list(ids)})

    def _pass_time(self, until: datetime) -> None:
        self.now = until
