"""A fleet that lives as declared, on a clock that goes from moment to moment: what happens between them is nothing.

The moments are those of the declared uses and wishes, and those at which the product says that something is due. What
it forgets to say is then missing from its decisions, and what it says too early is too much. At each moment AWS is
asked for samples (`collect_usage`; the two calls are answered here, from the declared uses), the rules are carried out
(`enforce_lifecycle`), and what was queued has happened.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from forge.operations.models import Operation
from tests import factories
from tests.workspaces.rules.lives import Ask, Life
from tests.workspaces.rules.support import BUSY, IDLE, machine
from tests.world import World, actor, engineers
from workspaces import aws, services
from workspaces.models import WorkSpace
from workspaces.rules import policies, sweep, usage
from workspaces.rules.reckoning import reckon

STEP = timedelta(minutes=5)
"""How often the jobs run: moments are rounded up to it."""

_NEXT = "SELECT least(min(next_action_at), min(warn_at)) FROM workspaces_workspace"
_STOPPED = """
    UPDATE workspaces_workspace SET state = 'STOPPED', state_since = %(now)s, stopped_at = %(now)s
     WHERE id = ANY(%(ids)s)
"""
_ENDED = """
    UPDATE workspaces_workspace
       SET state = 'TERMINATED', state_since = %(now)s, terminated_at = %(now)s, next_action = '', next_action_at = NULL
     WHERE id = ANY(%(ids)s)
"""
_WOKEN = """
    UPDATE workspaces_workspace SET state = 'AVAILABLE', state_since = %(now)s
     WHERE id = ANY(%(ids)s) AND state = 'STOPPED'
"""


class DeclaredAws:
    """Answers the two questions of `collect_usage` from what people declared; `now` is the walk's."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._lives: dict[str, Life] = {}

    def add(self, provider_id: str, life: Life) -> None:
        if not life.is_always_on:  # nobody uses those, and no rule asks
            self._lives[provider_id] = life

    def connections(self, provider_ids: Sequence[str]) -> dict[str, aws.Connection]:
        found = {}
        for provider_id, life in self._of(provider_ids):
            met = [use for use in life.uses if use.is_connected and use.begins <= self.now]
            last = met[-1] if met else None
            is_connected = last is not None and self.now < last.ends
            left_at = None if last is None else min(last.ends, self.now)
            found[provider_id] = aws.Connection(provider_id, is_connected, left_at)
        return found

    def read(self, provider_ids: Sequence[str], *, since: datetime, until: datetime) -> list[aws.Figures]:
        found = []
        for provider_id, life in self._of(provider_ids):
            if life.is_silent:
                continue
            at = since
            while at < until:
                uses = [use for use in life.uses if use.begins < at + STEP and at < use.ends]
                is_connected = any(use.is_connected for use in uses)
                found.append(aws.Figures(provider_id, at, float(is_connected), BUSY if uses else IDLE))
                at += STEP
        return found

    def _of(self, provider_ids: Sequence[str]) -> Iterator[tuple[str, Life]]:
        return ((one, self._lives[one]) for one in provider_ids if one in self._lives)


class Walk:
    """Lives of `world`, walked through from `start` to `until`; `seats` holds each seat's machines in turn."""

    def __init__(self, world: World, seats: Sequence[Sequence[Life]], *, start: datetime, until: datetime) -> None:
        self.world, self.now, self.until, self.steps = world, start, until, 0
        self.cloud = DeclaredAws(start)
        self.machines: dict[uuid.UUID, Life] = {}
        self._waking: list[uuid.UUID] = []
        self._todo: dict[datetime, list[Callable[[], Any]]] = defaultdict(list)
        self._places: dict[str, dict[str, Any]] = {}
        for owner, lives in zip(engineers(world, len(seats)), seats, strict=True):
            for team in {life.team for life in lives if life.team}:
                factories.MembershipFactory(user=owner, team=self.place(team)["team"], role="engineer")
            for life in lives:
                self.at(life.launched_at, lambda life=life, owner=owner: self._launch(life, owner))

    def at(self, moment: datetime, do: Callable[[], Any]) -> None:
        """Do something at a moment, before the jobs look."""
        self._todo[moment].append(do)

    def place(self, team: str = "", family: str = "") -> dict[str, Any]:
        """The team or blueprint that a ceiling stands over, made when it is first asked for."""
        key = f"{team}/{family}"
        if key not in self._places:
            made: dict[str, Any] = {}
            if team:
                made["team"] = factories.TeamFactory(organization=self.world.organization, slug=team)
            if family:
                made["blueprint"] = factories.BlueprintFactory(organization=self.world.organization, name=family)
            self._places[key] = made
        return self._places[key]

    def bind(self, ceilings: dict[str, int], *, team: str = "", family: str = "") -> None:
        policies.create_policy(
            actor=actor(self.world.admin),
            organization=self.world.organization,
            team=self.place(team, family).get("team"),
            blueprint_name=family,
            ceilings=ceilings,
            now=self.now,
        )

    def go(self) -> None:
        while self.now <= self.until:
            self.steps += 1
            for do in self._todo.pop(self.now, ()):
                do()
            self._wake()
            self.cloud.now = self.now
            usage.collect(now=self.now)
            sweep.enforce(now=self.now)
            self._carry_out()
            self.now = self._next()

    def _launch(self, life: Life, owner: Any) -> None:
        made = machine(
            self.world,
            owner=owner,
            since=life.launched_at,
            created_at=life.launched_at,
            auto_stop_timeout_minutes=life.idle_minutes,
            max_lifetime_days=life.lifetime_days,
            running_mode="ALWAYS_ON" if life.is_always_on else "AUTO_STOP",
            **self.place(life.team, life.family),
        )
        self.machines[made.id] = life
        self.cloud.add(made.provider_id, life)
        for use in life.uses:
            self.at(use.begins, lambda: self._waking.append(made.id))
            self.at(use.ends, lambda: None)  # AWS is looked at when it ends
        for ask in life.asks:
            if ask.verb != "bind":
                self.at(ask.at, lambda ask=ask: self._ask(made, ask))

    def _ask(self, asked: WorkSpace, ask: Ask) -> None:
        who: dict[str, Any] = {"actor": actor(asked.owner), "workspace_id": asked.id, "now": self.now}
        if ask.verb == "lease":
            services.lease(**who, until=ask.value, reason="training")
        elif ask.verb == "extend":
            services.extend(**who, days=ask.value, reason="thesis")
        else:
            services.keep_alive(**who, until=ask.value, reason="leave")

    def _wake(self) -> None:
        """Whoever signs in to a machine that rests starts it."""
        if self._waking:
            with connection.cursor() as cursor:
                cursor.execute(_WOKEN, {"now": self.now, "ids": self._waking})
            self._waking = []
            reckon(now=self.now)

    def _carry_out(self) -> None:
        """What was queued has happened, and the next moments of these machines are known."""
        queued = list(Operation.objects.open().values_list("kind", "target_id"))
        if not queued:
            return
        with connection.cursor() as cursor:
            for kind, statement in (("workspace.stop", _STOPPED), ("workspace.terminate", _ENDED)):
                cursor.execute(statement, {"now": self.now, "ids": [one for of, one in queued if of == kind]})
        Operation.objects.open().update(
            status="succeeded", started_at=self.now, finished_at=self.now, next_attempt_at=None
        )
        reckon(now=self.now)

    def _next(self) -> datetime:
        """The next moment at which something is declared or due."""
        with connection.cursor() as cursor:
            cursor.execute(_NEXT)
            (due,) = cursor.fetchone()
        moments = [*(at for at in self._todo if at > self.now), *([due] if due else [])]
        return max(_rounded(min(moments, default=self.until + STEP)), self.now + STEP)


def _rounded(at: datetime) -> datetime:
    return at + (datetime(1970, 1, 1, tzinfo=UTC) - at) % STEP
