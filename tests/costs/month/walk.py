"""A month of a fleet on the simulator's stepped clock: each wave of the plan happens at its instant, through Forge.

Nothing happens between waves but what AWS does by itself. Workers come when a wave has been asked for, and when the
simulator must be done with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from audit.actors import Actor
from budgets.sweep import check_budgets
from costs import metering
from forge.accounts.models import Membership, Project
from forge.operations import runner
from forge.operations import services as operations
from forge.operations.models import Operation
from tests import factories
from tests.costs.month.company import Company
from tests.world import actor
from workspaces import services
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile
from workspaces.simulator.client import Control

ALONE = 4
"""Of so many machines one is asked for by its owner alone, the others together by an admin."""


class Walk:
    """`machines` are the rows by their number in the plan."""

    def __init__(self, company: Company, plan: dict[str, Any], control: Control) -> None:
        self.company, self.plan, self.control = company, plan, control
        self.now = datetime.fromisoformat(plan["begin"])
        self.machines: dict[int, WorkSpace] = {}

    def go(self) -> None:
        for wave in self.plan["waves"]:
            self._pass_time(datetime.fromisoformat(wave["at"]))
            self._begin(wave)
            for verb, asked in groupby(wave["asks"], key=lambda step: step[0]):
                self._do(verb, [step[1:] for step in asked])
            if wave["pause"] and wave["asks"]:
                self._work()
                self._pass_time(self.now + timedelta(seconds=wave["pause"]))
                self._work()
                still = list(Operation.objects.open().values_list("kind", "status", "error", "steps"))
                assert not still, f"{self.now}: still open: {still[:3]}"
            for verb, number in wave["then"]:
                self._do(verb, [[number]])

    def _begin(self, wave: dict[str, Any]) -> None:
        """What comes before people do anything: Forge looks at AWS, books, and machines change hands."""
        if wave["look"]:
            reconcile(now=self.now)
        if wave["budgets"]:
            check_budgets(actor=Actor.job("check_budgets"), now=self.now)
        if wave["meter"]:
            metering.meter(now=self.now)
        for number, team, project in wave["moves"]:
            self._move(number, team, project)
        for slug, cost_center in wave["renames"]:
            Project.objects.filter(pk=self.company.projects[slug].pk).update(
                cost_center=cost_center, updated_at=self.now
            )

    def _move(self, number: int, team: str, project: str | None) -> None:
        moved = {"team": self.company.teams[team], "project": self.company.projects.get(project or "")}
        row = WorkSpace.objects.filter(pk=self.machines[number].pk)
        row.update(**moved, attributed_at=self.now)
        machine = self.machines[number] = row.select_related("owner").get()
        if not Membership.objects.filter(user=machine.owner, team=moved["team"]).exists():
            factories.MembershipFactory(user=machine.owner, team=moved["team"])

    # -- Steps of the plan -------------------------------------------------------------------------------------------

    def _do(self, verb: str, steps: list[list[Any]]) -> None:
        if verb in ("start", "stop", "terminate"):
            self._control(verb, [number for (number,) in steps])
            return
        do: dict[str, Callable[..., Any]] = {
            "launch": self._launch,
            "call_off": self._call_off,
            "modify": self._modify,
            "log_in": lambda number: self.control.connect(self._provider_id(number)),
            "log_off": lambda number: self.control.disconnect(self._provider_id(number)),
        }
        for step in steps:
            do[verb](*step)

    def _launch(self, number: int, facts: dict[str, Any]) -> Operation:
        owner = self.company.people[self.plan["owners"][str(number)]]
        answer = services.launch(actor=actor(owner), spec=self.company.spec(facts), now=self.now)
        assert answer.workspace is not None
        assert answer.operation is not None
        self.machines[number] = answer.workspace
        return answer.operation

    def _call_off(self, number: int, facts: dict[str, Any]) -> None:
        operation = self._launch(number, facts)
        operations.cancel(operation=operation, actor=actor(self.machines[number].owner), now=self.now)

    def _modify(self, number: int, wanted: dict[str, Any]) -> None:
        machine = self.machines[number]
        services.modify(actor=actor(machine.owner), workspace_id=machine.id, wanted=wanted, now=self.now)

    def _control(self, verb: str, numbers: list[int]) -> None:
        for number in numbers:
            if number % ALONE == 0:
                machine = self.machines[number]
                getattr(services, verb)(actor=actor(machine.owner), workspace_id=machine.id, now=self.now)
        together = [self.machines[number].id for number in numbers if number % ALONE]
        for at in range(0, len(together), services.many.MOST):
            asked = together[at : at + services.many.MOST]
            answer = services.bulk(actor=actor(self.company.admin), verb=verb, workspace_ids=asked, now=self.now)
            assert answer.counts["refused"] == 0, answer.items

    def _provider_id(self, number: int) -> str:
        machine = self.machines[number]
        if not machine.provider_id:
            machine.refresh_from_db(fields=["provider_id"])
        return machine.provider_id

    # -- Time --------------------------------------------------------------------------------------------------------

    def _pass_time(self, until: datetime) -> None:
        self.control.advance((until - self.now).total_seconds())
        self.now = until

    def _work(self) -> None:
        """Workers carry out what is due, and nothing of it may fail."""
        ways = runner.run_due(limit=1_000_000, now=self.now)
        assert not ways["fault"] + ways["lost"] + ways["failed"] + ways["unknown"], f"{self.now}: {ways}"
