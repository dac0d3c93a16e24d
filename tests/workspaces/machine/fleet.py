"""Anything that people, AWS and dying processes may do to a few machines, in any order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from costs import metering
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.workspaces.machine import asking, books
from tests.workspaces.machine.dying import mortal
from tests.workspaces.machine.law import TERMINAL, allowed
from tests.workspaces.machine.sky import ACCOUNT, REGION, Sky
from tests.workspaces.machine.stage import APPLICATIONS, PERSONAL, TERMS, Stage
from tests.workspaces.machine.weather import BY_ITSELF, FAULTS, HIDDEN, LIVES, MODES, PAUSES, PEOPLE, TURNS
from workspaces.models import WorkSpace
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed
from workspaces.rules import sweep
from workspaces.simulator import catalog
from workspaces.simulator.client import ControlError


def judged(step: Callable[..., Any]) -> Callable[..., Any]:
    """A rule after which everything that must hold is looked at."""

    @wraps(step)
    def and_judge(fleet: Fleet, **drawn: Any) -> Any:
        answer = step(fleet, **drawn)
        fleet.judge()
        return answer

    return and_judge


class Fleet(RuleBasedStateMachine):
    """Rules leave things as they are, half done or not; after each one the books are held against AWS.

    Machines are known by their numbers in the order of launch, so that a printed example can be repeated.
    """

    machines = Bundle("machines")

    def __init__(self, sky: Sky) -> None:
        super().__init__()
        self.stage = Stage(sky)
        self.sky = sky

    @initialize(
        target=machines,
        team=st.sampled_from([60, 5000, 5000]),
        organization=st.sampled_from([90, 5000, 5000]),
        are_up=st.sampled_from([True, True, True, False]),
    )
    def begin(self, team: int, organization: int, are_up: bool) -> Any:
        """A machine of each kind, as far as the budgets hold them; mostly they run."""
        self.stage.set_budgets(team, organization)
        asking.launch(self.stage, 0, PERSONAL, "STANDARD", "AUTO_STOP", dies=None)
        asking.launch(self.stage, 1, PERSONAL, "STANDARD", "ALWAYS_ON", dies=None)
        asking.launch(self.stage, 2, APPLICATIONS, "STANDARD", "AUTO_STOP", dies=None)
        if are_up:
            self.carry_out()
        self.judge()
        return multiple(*range(len(self.stage.order)))

    # -- What people ask for -----------------------------------------------------------------------------------------

    @rule(
        target=machines,
        person=PEOPLE,
        service=st.sampled_from([PERSONAL, PERSONAL, PERSONAL, APPLICATIONS]),
        bundle_type=st.sampled_from(["STANDARD", "STANDARD", "PERFORMANCE"]),
        running_mode=MODES,
        dies=LIVES,
    )
    @judged
    def launch(self, person: int, service: str, bundle_type: str, running_mode: str, dies: int | None) -> Any:
        return multiple(*asking.launch(self.stage, person, service, bundle_type, running_mode, dies=dies))

    @rule(
        number=machines,
        verb=st.sampled_from(["start", "stop", "start", "stop", "reboot", "rebuild", "restore", "terminate"]),
        dies=LIVES,
        turns=TURNS,
    )
    @judged
    def ask(self, number: int, verb: str, dies: int | None, turns: int) -> None:
        asking.control(self.stage, number, verb, dies=dies)
        self.turn(turns)

    @rule(
        number=machines,
        wanted=st.sampled_from(asking.CHANGES),
        dies=LIVES,
        turns=TURNS,
        ignored=st.sampled_from([0, 0, 1, 9]),
    )
    @judged
    def modify(self, number: int, wanted: dict[str, Any], dies: int | None, turns: int, ignored: int) -> None:
        """AWS may take so many requests and do nothing."""
        if ignored:
            self.sky.control.fault("no_op", operation="ModifyWorkspaceProperties", count=ignored)
        asking.modify(self.stage, number, wanted, dies=dies)
        self.turn(turns)

    @rule(
        target=machines,
        faults=st.sampled_from(HIDDEN),
        turns=st.integers(1, 2),
        dies=LIVES,
        how=st.sampled_from(["cancel", "terminate"]),
        pause=st.sampled_from((0, 5, 20, 61, 120)),
    )
    @judged
    def think_better(self, faults: tuple[str, ...], turns: int, dies: int | None, how: str, pause: float) -> Any:
        """Somebody without a machine asks for one, AWS does not say what becomes of it, and it is called off."""
        free = [number for number, person in enumerate(self.stage.people) if not self.stage.has_computer(person)]
        if not free:
            return multiple()
        for kind in faults:
            self.stage.strike(kind, "CreateWorkspaces", 1)
        fresh = asking.launch(self.stage, free[0], PERSONAL, "STANDARD", "AUTO_STOP", dies=None)
        self.turn(turns, dies)
        for number in fresh:
            if how == "cancel":
                asking.call_off(self.stage, number, how, dies=None)
            else:
                asking.control(self.stage, number, how)
        self.stage.check_truth()  # what ended at once did so now, not after the pause
        self.stage.pass_time(pause)
        self.turn(4)
        return multiple(*fresh)

    @rule(number=machines, ignored=st.integers(1, 2), refusal=st.sampled_from(["capacity", "no_op"]), turns=TURNS)
    @judged
    def start_in_vain(self, number: int, ignored: int, refusal: str, turns: int) -> None:
        """AWS takes so many requests to start a stopped machine, does nothing, and then refuses it."""
        machine = self.stage.machine(number)
        if "start" not in allowed(machine.state, machine.running_mode, machine.service_type):
            return
        self.stage.strike("no_op", "StartWorkspaces", ignored)
        asking.control(self.stage, number, "start")
        for _ in range(ignored):
            self.turn(2)
            self.stage.pass_time(16)
        self.stage.strike(refusal, "StartWorkspaces", 9)
        self.turn(turns)

    @rule(number=machines, how=st.sampled_from(["lease", "keep-alive", "extend"]))
    @judged
    def hold(self, number: int, how: str) -> None:
        asking.hold(self.stage, number, how)

    @rule(verb=st.sampled_from(["start", "stop", "reboot", "terminate"]), dies=LIVES)
    @judged
    def bulk(self, verb: str, dies: int | None) -> None:
        if self.stage.order:
            asking.bulk(self.stage, verb, dies=dies)

    @rule(number=machines, how=st.sampled_from(["cancel", "retry"]), dies=LIVES)
    @judged
    def call_off(self, number: int, how: str, dies: int | None) -> None:
        asking.call_off(self.stage, number, how, dies=dies)

    @rule(number=machines)
    @judged
    def use(self, number: int) -> None:
        """The owner asks for the way in, and goes in."""
        url = asking.connect(self.stage, number)
        machine = self.stage.machine(number)
        with suppress(ControlError):
            if machine.service_type == APPLICATIONS and url:
                self.sky.control.open_stream(url)
            elif machine.provider_id:
                self.sky.control.connect(machine.provider_id)

    # -- What Forge does by itself -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(PAUSES), turns=st.integers(1, 6), dies=LIVES)
    @judged
    def work(self, seconds: float, turns: int, dies: int | None) -> None:
        """Time passes, and workers do what is due then."""
        self.stage.pass_time(seconds)
        self.turn(turns, dies)

    @rule(seconds=st.sampled_from(PAUSES), dies=LIVES)
    @judged
    def look(self, seconds: float, dies: int | None) -> None:
        """Time passes, and Forge looks at everything."""
        self.stage.pass_time(seconds)
        done = False
        with suppress(ReconcileFailed), mortal(dies):
            reconcile(now=self.stage.now)
            done = True
        self.stage.check_truth()
        if done:
            self.stage.check_agreement()

    @rule(seconds=st.sampled_from(PAUSES), dies=LIVES)
    @judged
    def meter(self, seconds: float, dies: int | None) -> None:
        """Time passes, and metering books it."""
        self.stage.pass_time(seconds)
        done = False
        with mortal(dies):
            metering.meter(now=self.stage.now)
            done = True
        if done:
            books.check_money(TERMS, self.stage.now)

    @rule(seconds=st.sampled_from(PAUSES), turns=TURNS)
    @judged
    def enforce(self, seconds: float, turns: int) -> None:
        """Time passes, and the rules of the lifecycle act."""
        self.stage.pass_time(seconds)
        sweep.enforce(now=self.stage.now)
        self.turn(turns)

    def turn(self, turns: int, dies: int | None = None) -> None:
        """A worker carries out what is due; the last of its turns is the one in which it may die."""
        for number in range(turns):
            did = True
            with mortal(dies if number == turns - 1 else None):
                did = run_one(now=self.stage.now)
            self.stage.check_truth()
            if not did:
                break
        if dies is not None:
            self.stage.new_process()

    # -- What AWS and others do --------------------------------------------------------------------------------------

    @rule(fault=st.sampled_from(FAULTS), count=st.integers(1, 3))
    @judged
    def fault(self, fault: tuple[str, str], count: int) -> None:
        self.stage.strike(*fault, count)

    @rule(number=machines, state=st.sampled_from(BY_ITSELF))
    @judged
    def turn_by_itself(self, number: int, state: str) -> None:
        machine = self.stage.machine(number)
        if machine.provider_id and self.stage.shown(machine) in BY_ITSELF and machine.service_type == PERSONAL:
            self.sky.control.set_state(machine.provider_id, state)
            self.stage.look()

    @rule(number=machines, how=st.sampled_from(["vanish", "end", "leave"]))
    @judged
    def lose(self, number: int, how: str) -> None:
        """A machine is gone at once, is ended in AWS's own console, or its user goes."""
        machine = self.stage.machine(number)
        if machine.service_type == APPLICATIONS:
            (self.sky.leave if how == "leave" else self.sky.take_right)(machine.directory_user)
        elif machine.provider_id:
            with suppress(ControlError, ClientError, BotoCoreError):
                {"vanish": self.sky.control.vanish, "end": self.sky.end, "leave": self.sky.control.disconnect}[how](
                    machine.provider_id
                )
        self.stage.look()

    @rule(number=machines, mode=st.sampled_from(["ALWAYS_ON", "AUTO_STOP"]))
    @judged
    def drift(self, number: int, mode: str) -> None:
        machine = self.stage.machine(number)
        if machine.service_type == PERSONAL and machine.provider_id:
            with suppress(ClientError, BotoCoreError):
                self.sky.drift(machine.provider_id, RunningMode=mode)
            self.stage.look()

    @rule(person=PEOPLE)
    @judged
    def appear(self, person: int) -> None:
        """Somebody makes a machine for a person in AWS's own console."""
        workspace = {
            "DirectoryId": self.stage.world.account.directory_id,
            "UserName": self.stage.people[person].directory_username,
            "BundleId": catalog.bundle_id(REGION, "engineering-linux-1", "STANDARD"),
            "WorkspaceProperties": {"RunningMode": "AUTO_STOP"},
        }
        with suppress(ControlError):
            self.sky.control.appear(account=ACCOUNT, region=REGION, workspace=workspace)

    # -- What must hold ----------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """After each rule; invariants of hypothesis would fill the printed example with themselves."""
        self.stage.check_truth()
        machines = WorkSpace.objects.in_bulk()
        books.check_moves(machines)
        books.check_one_machine_each(machines, self.sky)
        books.check_reserved(machines)
        books.check_ended(machines, TERMS)
        books.check_sums()

    def teardown(self) -> None:
        """Let everything come to its end, and compare all of it."""
        if sys.exception() is None and self.stage.order:
            self.settle()

    def settle(self) -> None:
        self.sky.control.withdraw_faults()
        self.carry_out()
        self.stage.pass_time(1000)
        for _ in range(2):
            with suppress(ReconcileFailed):
                reconcile(now=self.stage.now)
            self.stage.check_truth()
            self.end_what_is_not_believed()
        reconcile(now=self.stage.now)
        self.stage.check_agreement()
        self.stage.check_history()
        metering.meter(now=self.stage.now)
        books.check_money(TERMS, self.stage.now)
        self.judge()

    def carry_out(self) -> None:
        """Carry out all that is open, in the time that it takes."""
        for _ in range(150):
            self.turn(50)
            due = Operation.objects.open().order_by("next_attempt_at", "lease_expires_at").first()
            if due is None:
                return
            due_at = due.lease_expires_at or due.next_attempt_at
            self.stage.pass_time(min(max((due_at - self.stage.now).total_seconds(), 15), 600))
        still = list(Operation.objects.open().values_list("kind", "status", "error", "steps"))
        raise AssertionError(f"still open: {still}")

    def end_what_is_not_believed(self) -> None:
        """Where all machines of an account are gone at once, people say that it is so."""
        for number in range(len(self.stage.order)):
            machine = self.stage.machine(number)
            if machine.state not in TERMINAL and self.stage.shown(machine) == "GONE":
                asking.control(self.stage, number, "terminate")
        self.carry_out()
