"""What the handlers of machine operations share: the place, the actor, the locks and the outcome's audit entry."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Conflict
from forge.operations.backoff import delay
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation
from workspaces import absence, aws, permissions
from workspaces.lifecycle import BY_ITSELF_AFTER, STATE_NOT_KNOWN, State, StateNotKnown, may_move, meaning_of
from workspaces.models import WorkSpace
from workspaces.places import known, place_of
from workspaces.transitions import lock_machine, lock_scopes_of, move

FIRST_POLL = timedelta(seconds=2)
LONGEST_POLL = timedelta(seconds=15)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=1), timedelta(seconds=16)
"""The back-off after calls that did not reach AWS, or that it put off."""
UNKNOWN_DELAY = timedelta(seconds=5)
"""The first pause where AWS may have done it: its lists show what is new a little later."""
SELDOM = timedelta(minutes=5)
"""The pause where people have to mend something before a look can show anything else."""
UNCLEAR_AT_MOST = timedelta(days=1)
"""So long an operation waits for a state that Forge knows; while it is open, nobody can ask for the machine's end."""

logger = logging.getLogger(__name__)


def machine_of(claim: Claim) -> WorkSpace:
    """The machine that an operation is about, as it is."""
    return WorkSpace.objects.select_related("provider_account", "blueprint").get(pk=claim.operation.target_id)


def step_of(claim: Claim, name: str) -> dict[str, Any]:
    """A step of the operation; one that never happened has no times."""
    return next((step for step in claim.operation.steps if step["name"] == name), {"times": 0})


def times(claim: Claim, name: str) -> int:
    """How often a step was reached."""
    times: int = step_of(claim, name)["times"]
    return times


def _explained_since(claim: Claim) -> datetime | None:
    """Since when every look has explained the machine's absence; None after a silence, and where it was just there.

    AWS took it on to end where it was asked meanwhile: the machine was there.
    """
    step, asked = step_of(claim, "absent"), step_of(claim, "ask").get("at")
    noted = step.get("detail")
    told = noted.get("explained_since") if isinstance(noted, dict) else None
    if told is None or absence.is_silence(datetime.fromisoformat(step["at"]), claim.now()):
        return None
    since = datetime.fromisoformat(told)
    return None if asked and datetime.fromisoformat(asked) > since else since


class AskAnew(Conflict):
    code = "operation_is_over"
    title = "An operation on a machine that has failed is not tried again"
    suggested_action = "Ask for it anew: the guards and budgets judge each request."


class MachineHandler(Handler):
    """Base of the handlers: a fault of AWS becomes retry, unknown or failure; subclasses do the work in `advance`.

    Each call to AWS may take most of a lease, so the lease is renewed before each.
    """

    outcome_action: str
    action: str
    first_delay, longest_delay, unknown_delay = FIRST_DELAY, LONGEST_DELAY, UNKNOWN_DELAY
    unclear_at_most: timedelta | None = UNCLEAR_AT_MOST

    def __init__(self, *, applications: MachineHandler | None = None) -> None:
        """`applications` does the work for machines of WorkSpaces Applications, where it is another one."""
        self._applications = applications

    def run(self, claim: Claim) -> None:
        workspace = machine_of(claim)
        is_streamed = workspace.service_type == WorkSpace.ServiceType.APPLICATIONS
        worker = self._applications if is_streamed and self._applications else self
        worker.work(claim, workspace)

    def work(self, claim: Claim, workspace: WorkSpace) -> None:
        """`run` for a machine whose service this handler knows."""
        with self.deciding_on_faults(claim, workspace):
            gateway = aws.provider_of(
                workspace.service_type, place_of(workspace.provider_account), before_call=claim.heartbeat
            )
            self.advance(claim, workspace, gateway)

    @contextmanager
    def deciding_on_faults(self, claim: Claim, workspace: WorkSpace) -> Iterator[None]:
        """Whatever AWS raises inside, or shows that Forge does not know, becomes the outcome of the claim.

        A state that Forge does not know is no failure: the machine goes on, and the next look may show another.
        """
        try:
            yield
        except (aws.Throttled, aws.Unavailable) as error:
            with transaction.atomic():
                claim.lock()
                claim.retry(self.own_time(claim, self._rested(claim)), reason=str(error), code=error.code)
        except absence.AbsenceDoubted as doubt:
            with transaction.atomic():
                claim.lock()
                claim.unknown(doubt.message, self.own_time(claim, claim.now() + SELDOM), code=doubt.code)
        except StateNotKnown as error:
            logger.error("%s %s of machine %s: %s", claim.operation.kind, claim.operation.id, workspace.pk, error)
            self.unclear(claim, workspace, error)
        except aws.UnknownOutcome as error:
            with transaction.atomic():
                claim.lock()
                claim.unknown(str(error), self.own_time(claim, self.after_unknown(claim)), code=error.code)
        except aws.AwsError as error:
            self.refused(claim, workspace, error)

    def advance(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        """Do the next stretch of the work and end with one outcome of the claim; may raise any AwsError."""
        raise NotImplementedError

    def look(
        self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider, proof: absence.Proof | None = None
    ) -> aws.Machine | None:
        """The machine as AWS shows it; None only where its absence is to be believed, for which `proof` is kept.

        Raises AbsenceDoubted where it is not, and any other AwsError.
        """
        seen = gateway.look(known(workspace))
        if seen is None:
            proof = proof or absence.Proof(gateway)
            with self.believing_in_time(claim, workspace, proof):
                proof.require(workspace)
        elif _explained_since(claim):
            claim.step("absent", {"explained_since": None})
        return seen

    @contextmanager
    def believing_in_time(self, claim: Claim, workspace: WorkSpace, proof: absence.Proof) -> Iterator[None]:
        """Let go of a doubt raised inside once every look of an hour has explained the absence.

        Or the operation would look for ever, and keep everybody from asking for the machine's end.
        """
        try:
            yield
        except absence.AbsenceDoubted as doubt:
            try:
                is_explained = self.is_explained(workspace, proof)
            except aws.AwsError as error:  # this look neither explains it nor says otherwise
                raise doubt from error
            since = (_explained_since(claim) or claim.now()) if is_explained else None
            claim.step("absent", {"code": doubt.code, "explained_since": since and since.isoformat()})
            if since is None or claim.now() - since < absence.BELIEVED_AFTER:
                raise

    def is_explained(self, workspace: WorkSpace, proof: absence.Proof) -> bool:
        """Whether AWS has the directory, or stack, of the machine surely no more. May raise AwsError."""
        return proof.is_place_gone(workspace)

    def refused(self, claim: Claim, workspace: WorkSpace, error: aws.AwsError) -> None:
        """AWS has refused for good: the operation fails and the machine stays as it is."""
        with self.finishing(claim, workspace) as locked:
            self.fail(claim, locked, code=error.code, detail=error.message)

    def unclear(self, claim: Claim, workspace: WorkSpace, error: StateNotKnown) -> None:
        """Look again at what is in a state that Forge does not know; after a day the operation fails, the row stays.

        The day begins when AWS was asked, or first showed the state: an operation may wait for days before it begins.
        """
        claim.step("unclear", str(error))
        begins = [step_of(claim, name).get("first_at") for name in ("ask", "unclear")]
        since = min(datetime.fromisoformat(begin) for begin in begins if begin)
        if self.unclear_at_most and claim.now() - since >= self.unclear_at_most:
            with self.finishing(claim, workspace) as locked:
                self.fail(claim, locked, code=STATE_NOT_KNOWN, detail=str(error))
            return
        with transaction.atomic():
            claim.lock()
            claim.unknown(str(error), self.own_time(claim, claim.now() + SELDOM), code=STATE_NOT_KNOWN)

    def may_control(self, user: Any, operation: Operation) -> bool:
        """Whoever asked for it, and those whose role lets them ask for it themselves."""
        if user.is_operator or user.id == operation.actor_id:
            return True
        workspace = WorkSpace.objects.filter(pk=operation.target_id).first()
        return workspace is not None and permissions.may(user, self.action, workspace)

    def is_retryable(self, operation: Operation) -> bool:
        return operation.status == Operation.Status.UNKNOWN

    def lock_first(self, operation: Operation) -> None:
        lock_scopes_of(operation.target_id)

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        self.record_outcome(operation, result="FAILURE", context={"outcome": "cancelled"}, now=now, actor=actor)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        """Look again at what is unknown. What has failed is over: its money is released, its guards are to be asked."""
        if operation.status == Operation.Status.FAILED:
            raise AskAnew(f"{operation.kind} has failed for certain.", extra={"workspace": operation.target_id})
        record(
            actor=actor.in_organization(operation.organization_id),
            action=self.outcome_action,
            resource_type=operation.target_type,
            resource_id=str(operation.target_id),
            description=f"Asked for another attempt of {operation.kind} {operation.id}",
            changes={"before": {"status": str(operation.status)}, "after": {"status": str(Operation.Status.QUEUED)}},
            context={"operation_id": str(operation.id), "outcome": "retry"},
        )

    def cancel_requested(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        record(
            actor=actor.in_organization(operation.organization_id),
            action=self.outcome_action,
            resource_type=operation.target_type,
            resource_id=str(operation.target_id),
            description=f"Asked to cancel {operation.kind} {operation.id}",
            changes={"before": {"cancel_requested": False}, "after": {"cancel_requested": True}},
            context={"operation_id": str(operation.id), "outcome": "cancel_requested"},
        )

    @contextmanager
    def finishing(self, claim: Claim, workspace: WorkSpace) -> Iterator[WorkSpace]:
        """A transaction with every lock taken in the one order: scope rows, operation, machine."""
        with transaction.atomic():
            lock_scopes_of(workspace.pk)
            claim.lock()
            yield lock_machine(workspace.pk)

    def succeed(self, claim: Claim, workspace: WorkSpace) -> None:
        """The operation has succeeded; in the transaction of `finishing`."""
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        claim.succeed({"state": workspace.state, "provider_id": workspace.provider_id})
        self.record_outcome(claim.operation, result="SUCCESS", context={"outcome": "succeeded"}, now=claim.now())

    def fail(self, claim: Claim, workspace: WorkSpace, *, code: str, detail: str) -> None:
        """The operation has failed for certain; in the transaction of `finishing`."""
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        claim.fail(code, detail, self.figures(workspace, code))
        outcome = {"outcome": "failed", "code": code}
        self.record_outcome(claim.operation, result="FAILURE", context=outcome, now=claim.now())

    def vanished(self, claim: Claim, workspace: WorkSpace) -> None:
        """AWS no longer has the machine, as `look` has proven: it is TERMINATED, and the operation has failed."""
        with self.finishing(claim, workspace) as locked:
            self._move(claim, locked, State.TERMINATED, reason="vanished from AWS")
            self.fail(claim, locked, code="machine_vanished", detail="AWS no longer has the machine")

    def show(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine) -> None:
        """Write what AWS shows beside the state, and follow it, when it differs; a step on the way, no outcome."""
        meaning = meaning_of(seen.state)
        target, facts = meaning.state, (seen.state, meaning.health)
        is_elsewhere = target is not None and target != workspace.state and may_move(workspace.state, target)
        if (workspace.provider_state, workspace.health) == facts and not is_elsewhere:
            return
        with self.finishing(claim, workspace) as locked:
            self.follow(claim, locked, seen)

    def follow(self, claim: Claim, locked: WorkSpace, seen: aws.Machine) -> None:
        """Bring a locked machine to what AWS shows; in the transaction of `finishing`."""
        locked.provider_state = seen.state
        locked.health = meaning_of(seen.state).health
        locked.ip_address = seen.ip_address
        locked.save(update_fields=["provider_state", "health", "ip_address", "updated_at"])
        target = meaning_of(seen.state).state
        if target is not None and target != locked.state and may_move(locked.state, target):
            self._move(claim, locked, target, reason=f"{claim.operation.kind}: AWS shows {seen.state}")

    def _move(self, claim: Claim, locked: WorkSpace, target: State, *, reason: str) -> None:
        move(
            workspace=locked,
            target=target,
            occurred_at=claim.now(),
            reason=reason,
            actor=self._actor(claim),
            now=claim.now(),
        )

    @staticmethod
    def _actor(claim: Claim) -> Actor:
        return Actor.of_operation(claim.operation)

    def figures(self, workspace: WorkSpace, code: str) -> Mapping[str, Any]:
        """What the error of a failed operation tells beside its code, for whoever decides what to do now."""
        return {}

    def record_outcome(
        self, operation: Operation, *, result: str, context: dict[str, Any], now: datetime, actor: Actor | None = None
    ) -> None:
        """The one audit entry of how an operation ended, at the business time `now`."""
        who = (actor or Actor.of_operation(operation)).in_organization(operation.organization_id)
        record(
            actor=who.with_correlation(operation.correlation_id),
            action=self.outcome_action,
            resource_type=operation.target_type,
            resource_id=str(operation.target_id),
            result=result,
            description=f"{operation.kind} {operation.id} ended",
            context={"operation_id": str(operation.id), **context},
            occurred_at=now,
        )

    def put_off(self, claim: Claim) -> None:
        """AWS surely did not take the request that was noted."""

    def poll_later(self, claim: Claim) -> None:
        """Look again soon; the pause grows with the time that the operation has taken.

        What belongs to a bulk operation is looked at by it, many at once; by itself only when that stays away.
        """
        with transaction.atomic():
            operation = claim.lock()
            elapsed = claim.now() - (operation.started_at or claim.now())
            pause = min(max(elapsed / 4, FIRST_POLL), LONGEST_POLL)
            claim.wait(claim.now() + (BY_ITSELF_AFTER if operation.parent_id else pause))

    @staticmethod
    def own_time(claim: Claim, at: datetime) -> datetime:
        """When an operation that rests until `at` is due by itself: one of a bulk operation leaves that a minute."""
        return at + BY_ITSELF_AFTER if claim.operation.parent_id else at

    def _rested(self, claim: Claim) -> datetime:
        """When to ask again what AWS has put off."""
        return _after(claim, self.first_delay, self.longest_delay)

    def after_unknown(self, claim: Claim) -> datetime:
        """When to look again at what AWS may have done."""
        return _after(claim, self.unknown_delay, self.longest_delay)


def _after(claim: Claim, first: timedelta, cap: timedelta) -> datetime:
    spread = random.random()  # noqa: S311 - it only disperses a crowd
    return claim.now() + delay(claim.failures + 1, first=first, cap=cap, fraction=spread)
