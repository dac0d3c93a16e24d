"""A fleet that lives as declared, in the simulator, on a stepped clock that goes from moment to moment.

The moments are those of the declared uses and wishes, those at which the product says that something is due, and the
next run of the jobs after somebody has logged on or while a machine is on its way. What it forgets to say is then
missing from its decisions, and what it says too early is too much.

When the jobs run, Forge asks AWS for samples (`collect_usage`) and carries out the rules (`enforce_lifecycle`), and
workers do what was asked for, all of it over HTTP and by the real handlers. Before that it looks at AWS (`reconcile`),
once a day and wherever AWS has done something by itself or is to be told something: after a log-in has woken a
machine, when AWS's AutoStop comes, when a lease begins.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from blueprints.models import Blueprint
from forge.accounts.models import Team, User
from forge.operations import runner
from forge.operations.models import Operation
from tests import factories
from tests.workspaces.rules.lives import CARRIED_OUT, DAY, HOUR, MINUTE, RUN_EVERY, Ask, Life, Use, at_a_run
from tests.world import IMAGE, REGION, World, actor, engineers
from workspaces import services
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile
from workspaces.rules import policies, sweep, usage
from workspaces.rules.reckoning import reckon
from workspaces.simulator import catalog
from workspaces.simulator.client import Control

_NEXT = """
    SELECT least(min(next_action_at), min(warn_at)), bool_or(state IN ('STARTING', 'STOPPING', 'TERMINATING'))
      FROM workspaces_workspace
"""


class Walk:
    """Lives of `world`, walked through from `start` to `until`; `seats` holds each seat's machines in turn."""

    def __init__(
        self,
        world: World,
        *,
        seats: Sequence[Sequence[Life]],
        control: Control,
        start: datetime,
        until: datetime,
    ) -> None:
        self.world, self.control, self.now, self.until = world, control, start, until
        self.machines: dict[uuid.UUID, Life] = {}
        self._due = start
        self._looks: set[datetime] = set()
        self._provider_ids: dict[uuid.UUID, str] = {}
        self._todo: dict[datetime, list[Callable[[], Any]]] = defaultdict(list)
        self._teams: dict[str, Team] = {"": world.team}
        self._blueprints: dict[str, Blueprint] = {}
        for number in range((until - start).days + 1):
            self.look_at(start + number * DAY)
        for owner, lives in zip(engineers(world, len(seats)), seats, strict=True):
            for team in {life.team for life in lives if life.team}:
                factories.MembershipFactory(user=owner, team=self.team(team), role="engineer")
            for life in lives:
                self.at(life.launched_at, lambda life=life, owner=owner: self._launch(life, owner))

    def at(self, moment: datetime, do: Callable[[], Any]) -> None:
        """Do something at a moment; the jobs run then if they have to."""
        self._todo[moment].append(do)

    def look_at(self, moment: datetime) -> None:
        """Let the jobs run at a moment, and Forge look at AWS before."""
        self._looks.add(moment)
        self.at(moment, lambda: None)

    def team(self, slug: str) -> Team:
        """The team of that name, made when it is first asked for; without a name the world's."""
        if slug not in self._teams:
            self._teams[slug] = factories.TeamFactory(organization=self.world.organization, slug=slug)
        return self._teams[slug]

    def blueprint(self, family: str) -> Blueprint:
        """The blueprint of a family for all teams, made when it is first asked for."""
        if family not in self._blueprints:
            made = factories.BlueprintFactory(
                organization=self.world.organization, name=family, bundle=None, status="DRAFT"
            )
            bundle_id = catalog.bundle_id(REGION, IMAGE, "STANDARD")
            factories.BlueprintBundleFactory(blueprint=made, bundle_id=bundle_id)
            self._blueprints[family] = factories.publish(made)
        return self._blueprints[family]

    def bind(self, ceilings: dict[str, int], *, team: str = "", family: str = "") -> None:
        policies.create_policy(
            actor=actor(self.world.admin),
            organization=self.world.organization,
            team=self.team(team) if team else None,
            blueprint_name=self.blueprint(family).name if family else "",
            ceilings=ceilings,
            now=self.now,
        )

    def go(self) -> None:
        while self.now <= self.until:
            for do in self._todo.pop(self.now, ()):
                do()
            if self.now in self._looks:
                reconcile(now=self.now)
            if self.now in self._looks or self.now >= self._due:
                usage.collect(now=self.now)
                sweep.enforce(now=self.now)
            self._work()
            self._pass_time(self._next())

    # -- What people do ----------------------------------------------------------------------------------------------

    def _launch(self, life: Life, owner: User) -> None:
        made = self._make(life, owner)
        self.machines[made.id] = life
        if life.is_left_to_aws:
            self._leave_to_aws(made, self.now + CARRIED_OUT + HOUR)
        for use in life.uses:
            self._plan_use(made, use, life)
        for ask in life.asks:
            self.look_at(ask.at)
            if ask.verb != "bind":
                self.at(ask.at, lambda ask=ask: self._ask(made, ask))

    def _make(self, life: Life, owner: User) -> WorkSpace:
        if life.job:
            self._declare(life.job, life, owner)
        spec = self.world.spec(
            blueprint_id=self.blueprint(life.family or "general").id,
            team=self.team(life.team).slug,
            auto_stop_timeout_minutes=life.idle_minutes,
            max_lifetime_days=life.lifetime_days,
            running_mode="ALWAYS_ON" if life.is_always_on else "AUTO_STOP",
        )
        made = services.launch(actor=actor(owner), spec=spec, now=self.now).workspace
        assert made is not None
        if life.is_silent:
            self.at(self.now + RUN_EVERY, lambda: self.control.set_state(self._provider_id(made), "ERROR"))
        return made

    def _leave_to_aws(self, made: WorkSpace, stops_at: datetime) -> None:
        """AWS's AutoStop comes; the next run of the jobs looks."""
        self.look_at(at_a_run(stops_at))

    def _declare(self, job: tuple[str, str, str], life: Life, owner: User) -> None:
        """A computation of the machine, which CloudWatch tells of."""
        day, begins, ends = job
        pattern = {"time_zone": life.zone.key, "jobs": [{"days": [day], "begins": begins, "ends": ends}]}
        self.control.declare_usage(pattern, user_name=owner.directory_username)

    def _plan_use(self, made: WorkSpace, use: Use, life: Life) -> None:
        """A person logs on, which starts a machine that rests, and off, if it is still there."""
        if not use.is_connected:
            self.look_at(use.ends)  # CloudWatch is asked for the last minutes only, and no moment may be near
            return
        self.at(use.begins, lambda: self.control.connect(self._provider_id(made)))
        self.look_at(use.begins + RUN_EVERY)
        if life.ended_at is None or use.ends <= life.ended_at:
            self.at(use.ends, lambda: self.control.disconnect(self._provider_id(made)))
        if life.is_left_to_aws:
            self._leave_to_aws(made, use.ends + HOUR)

    def _ask(self, asked: WorkSpace, ask: Ask) -> None:
        who: dict[str, Any] = {"actor": actor(asked.owner), "workspace_id": asked.id, "now": self.now}
        if ask.verb == "lease":
            services.lease(**who, until=ask.value, reason="training")
        elif ask.verb == "extend":
            services.extend(**who, days=ask.value, reason="thesis")
        else:
            services.keep_alive(**who, until=ask.value, reason="leave")

    def _provider_id(self, made: WorkSpace) -> str:
        if made.id not in self._provider_ids:
            made.refresh_from_db(fields=["provider_id"])
            self._provider_ids[made.id] = made.provider_id
        return self._provider_ids[made.id]

    # -- Time --------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Workers ask AWS for what was queued, and are done with it when they look again.

        What is next is reckoned then, as the next run of the rules would.
        """
        if not Operation.objects.open().exists():
            return
        self._carry_out()
        self._pass_time(self.now + CARRIED_OUT)
        self._carry_out()
        still = list(Operation.objects.open().values_list("kind", "status", "error", "steps")[:3])
        assert not still, f"{self.now}: still open: {still}"
        reckon(now=self.now)

    def _carry_out(self) -> None:
        ways = runner.run_due(limit=1_000_000, now=self.now)
        assert not ways["fault"] + ways["lost"] + ways["failed"] + ways["unknown"], f"{self.now}: {ways}"

    def _pass_time(self, until: datetime) -> None:
        self.control.advance((until - self.now).total_seconds())
        self.now = until

    def _next(self) -> datetime:
        """The next moment at which something is declared or due, or a machine is where it was going."""
        with connection.cursor() as cursor:
            cursor.execute(_NEXT)
            due, is_passing = cursor.fetchone()
        soon = at_a_run(self.now + MINUTE)
        if is_passing:
            self.look_at(soon)
        self._due = max(at_a_run(due or self.until + RUN_EVERY), soon)
        return min([self._due, *(at for at in self._todo if at > self.now)])
