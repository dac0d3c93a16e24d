"""Carrying out start, stop and terminate: ask AWS once, follow the machine until it is there.

The first look says whether AWS was asked before, so a worker killed after its call does no harm.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Max

from forge.operations.claims import Claim
from forge.operations.models import Operation
from workspaces import absence, actions, aws
from workspaces.handlers.common import SELDOM, MachineHandler, times
from workspaces.lifecycle import AUTOMATIC, State, StateNotKnown, may_move, meaning_of
from workspaces.models import WorkSpace
from workspaces.rules import reckoning

FIRST_DELAY = timedelta(hours=1)
LONGEST_DELAY = timedelta(days=1)
"""How long what a rule asked for is put off after a failure: doubling from the first to the longest."""

MOST_ASKS = 20
LEAST_ASKS = 3
"""AWS is asked so often at most, and past the operation's deadline so often at least, before it counts as deaf."""

NO_EFFECT = "no_effect"


class Power(MachineHandler):
    """From a resting state through a passing one to the wanted one; `origin` None means that there is no way back."""

    origin: State | None
    passing: State
    wanted: State

    def ask(self, gateway: aws.Provider, provider_id: str) -> None:
        """Ask AWS for it."""
        raise NotImplementedError

    def observed(self, seen: aws.Machine | None) -> State | None:
        """Our state of what AWS shows; a machine that is gone is TERMINATED, one in ERROR is unclear (None)."""
        return State.TERMINATED if seen is None else meaning_of(seen.state).state

    def advance(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        claim.step("look", progress=10)
        seen = self.look(claim, workspace, gateway)
        if not self.decide(claim, workspace, seen):
            return
        fault: aws.AwsError | None = None
        try:
            self.ask(gateway, workspace.provider_id)
        except (aws.Throttled, aws.Unavailable):
            self.put_off(claim)
            raise
        except (aws.Invalid, aws.NotFound, aws.LimitReached) as error:
            fault = error
        self.conclude(claim, workspace, seen, fault)

    def decide(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None) -> bool:
        """True when AWS is to be asked now, which is noted; else the claim has its outcome."""
        state = self.observed(seen)
        if state == self.wanted:
            self._arrived(claim, workspace, seen)
        elif state == State.TERMINATED:
            self.vanished(claim, workspace)
        elif state == self.passing:
            self._pass(claim, workspace)
            self.poll_later(claim)
        elif self.origin is not None and self._is_deaf(claim):
            detail = f"AWS took the request, and the machine is still {seen.state if seen else state}"
            self._give_up(claim, workspace, state or self.origin, code=NO_EFFECT, detail=detail)
        else:
            claim.point_of_no_return()
            claim.step("ask", progress=30)
            return True
        return False

    def conclude(
        self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None, fault: aws.AwsError | None
    ) -> None:
        """The outcome after AWS was asked: it took the request, or refused it for good with `fault`."""
        if isinstance(fault, aws.NotFound) and self.origin is None:
            self._arrived(claim, workspace, None)
        elif fault is not None:
            back = self.observed(seen) or self.origin or State(workspace.state)
            self._give_up(claim, workspace, back, code=fault.code, detail=fault.message)
        elif self.origin is None and self._is_deaf(claim, asked_before=1):
            self._wait_long(claim)
        else:
            self._pass(claim, workspace)
            self.poll_later(claim)

    def put_off(self, claim: Claim) -> None:
        claim.step("put_off")

    @staticmethod
    def _is_deaf(claim: Claim, *, asked_before: int = 0) -> bool:
        """Whether AWS took the request again and again, but for the last `asked_before` times, and did nothing."""
        asks = times(claim, "ask") - times(claim, "put_off") - asked_before
        deadline = claim.operation.deadline_at
        is_late = deadline is not None and claim.now() > deadline
        return asks >= MOST_ASKS or (is_late and asks >= LEAST_ASKS)

    def _give_up(self, claim: Claim, workspace: WorkSpace, state: State, *, code: str, detail: str) -> None:
        """It failed, and the machine is taken to be what AWS shows: one that does not run is not billed as running."""
        with self.finishing(claim, workspace) as locked:
            if may_move(locked.state, state):
                self._move(claim, locked, state, reason=f"{claim.operation.kind}: {code}")
            self.fail(claim, locked, code=code, detail=detail)

    def _wait_long(self, claim: Claim) -> None:
        """An end without effect stays open: it is seldom looked at and asked for again."""
        at = self.own_time(claim, claim.now() + SELDOM)
        with transaction.atomic():
            claim.lock()
            claim.unknown("AWS took the request, and the machine is still there", at, code=NO_EFFECT)

    def _pass(self, claim: Claim, workspace: WorkSpace) -> None:
        """Note that the machine is on its way, unless that is known."""
        if workspace.state == self.passing or not may_move(workspace.state, self.passing):
            return
        with self.finishing(claim, workspace) as locked:
            if may_move(locked.state, self.passing):
                self._move(claim, locked, self.passing, reason=f"{claim.operation.kind} accepted by AWS")

    def _arrived(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None) -> None:
        with self.finishing(claim, workspace) as locked:
            if seen is not None:
                locked.provider_state = seen.state
                locked.health = meaning_of(seen.state).health
                locked.ip_address = seen.ip_address
                locked.save(update_fields=["provider_state", "health", "ip_address", "updated_at"])
            self._move(claim, locked, self.wanted, reason=f"{claim.operation.kind} done")
            self.succeed(claim, locked)

    def fail(self, claim: Claim, workspace: WorkSpace, *, code: str, detail: str) -> None:
        """What a rule asked for in vain is put off, longer each time, so that it does not block the rule for ever.

        A stop is so up to the hard deadline, and past that for the first delay: no machine runs on for a day.
        """
        if claim.operation.spec == AUTOMATIC:
            now = claim.now()
            until = now + min(FIRST_DELAY * 2 ** min(_failures_in_a_row(claim.operation), 10), LONGEST_DELAY)
            column = "put_off_until"
            if self.action == "stop":
                column = "stop_put_off_until"
                hard = reckoning.facts_of([workspace], now=now)[workspace.pk].hard_deadline
                until = min(until, max(hard, now + FIRST_DELAY))
            setattr(workspace, column, until)
            workspace.save(update_fields=[column, "updated_at"])
            reckoning.apply([workspace], now=now)
        super().fail(claim, workspace, code=code, detail=detail)


def _failures_in_a_row(operation: Operation) -> int:
    """How often rules asked the same of the machine in vain since it last went well, but for this time."""
    asked = Operation.objects.filter(target_id=operation.target_id, kind=operation.kind)
    went_well = asked.filter(status=Operation.Status.SUCCEEDED).aggregate(Max("created_at"))["created_at__max"]
    failed = asked.filter(status=Operation.Status.FAILED, spec=AUTOMATIC).exclude(pk=operation.pk)
    return (failed.filter(created_at__gt=went_well) if went_well else failed).count()


class Start(Power):
    outcome_action = actions.WORKSPACE_START_OUTCOME
    action = "start"
    origin, passing, wanted = State.STOPPED, State.STARTING, State.AVAILABLE

    def ask(self, gateway: aws.Provider, provider_id: str) -> None:
        gateway.start(provider_id)


class Stop(Power):
    outcome_action = actions.WORKSPACE_STOP_OUTCOME
    action = "stop"
    origin, passing, wanted = State.AVAILABLE, State.STOPPING, State.STOPPED

    def ask(self, gateway: aws.Provider, provider_id: str) -> None:
        gateway.stop(provider_id)


class Terminate(Power):
    outcome_action = actions.WORKSPACE_TERMINATE_OUTCOME
    action = "terminate"
    origin, passing, wanted = None, State.TERMINATING, State.TERMINATED

    def is_explained(self, workspace: WorkSpace, proof: absence.Proof) -> bool:
        """Of a fleet that somebody deleted in AWS the end is believed in time, or its rows would stay for ever."""
        return proof.is_place_shown(workspace) or super().is_explained(workspace, proof)

    def ask(self, gateway: aws.Provider, provider_id: str) -> None:
        gateway.terminate(provider_id)

    def observed(self, seen: aws.Machine | None) -> State | None:
        """An end is asked for in any state: one that Forge does not know is as unclear as ERROR, and no hindrance."""
        try:
            return super().observed(seen)
        except StateNotKnown:
            return None
