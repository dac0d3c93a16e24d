"""Carrying out bulk operations: ask for each machine, then look at and act on them by the 25.

Each machine has an operation of its own, a part of this one, which any worker can carry out alone: when this one
stays away, its parts go on by themselves after a minute. What it adds is that AWS is called for many at once.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import User
from forge.api.errors import Problem
from forge.db import scope
from forge.operations.claims import CancelRequested, Claim, LeaseLost
from forge.operations.handlers import Handler
from forge.operations.models import Operation
from forge.operations.runner import UNEXPECTED, cancel
from forge.operations.services import NotYourOperation, OperationFinished, OperationNotCancellable
from forge.operations.services import cancel as call_off
from workspaces import absence, actions, aws, services
from workspaces.handlers.common import AskAnew, machine_of
from workspaces.handlers.mending import Reboot
from workspaces.handlers.power import Power
from workspaces.lifecycle import BY_ITSELF_AFTER, TERMINAL_STATES
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import place_of

POLL = timedelta(seconds=5)
NOTHING_DONE = "nothing_done"
CALLED_OFF = "called_off"

LAUNCH = "workspace.launch"
LAUNCH_IS_OFF = (Operation.Status.CANCELLED, Operation.Status.FAILED)
"""How a launch ends that leaves no machine; the end of a machine that is being launched calls its launch off."""
_LAUNCHED = {"code": "launched", "detail": "The launch was done before it could be called off: the machine is there"}

_NOT_ASKED = {"code": CALLED_OFF, "detail": "It was called off before the machine's turn came"}

_VERBS = {
    "start": services.start,
    "stop": services.stop,
    "reboot": services.reboot,
    "terminate": services.terminate,
}


@dataclass
class _Part:
    """One machine of a batch: the claim on its operation, and how AWS showed it."""

    claim: Claim
    handler: Power | Reboot
    workspace: WorkSpace
    seen: aws.Machine | None


class Bulk(Handler):
    """Steps: `admit` holds which operation each machine got, or why none."""

    def run(self, claim: Claim) -> None:
        admitted = self._admit(claim)
        self._call_off(claim)
        for account, batch in self._batches(claim):
            claim.heartbeat()
            self._call_off(claim)
            with suppress(aws.Throttled, aws.Unavailable):  # the parts are due again, here or by themselves
                self._carry(claim, account, batch)
        self._conclude(claim, admitted)

    def cancellable(self, operations: Sequence[Operation]) -> set[uuid.UUID]:
        """Those that can be called off themselves, or have parts that can."""
        passed = [one.id for one in operations if not one.cancellable]
        parents = _parts_to_call_off(passed).values_list("parent_id", flat=True).distinct()
        return super().cancellable(operations) | {parent for parent in parents if parent}

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        _record_outcome(operation, result="FAILURE", context={"outcome": "cancelled"}, now=now, actor=actor)

    def cancel_requested(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        context = {"outcome": "cancel_requested"}
        _record_outcome(operation, result="SUCCESS", context=context, now=now, actor=actor)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        """Look again at what is unknown. What has failed is over, as each of its parts is."""
        if operation.status == Operation.Status.FAILED:
            raise AskAnew(f"{operation.kind} has failed for certain.")
        context = {"outcome": "retry"}
        _record_outcome(operation, result="SUCCESS", context=context, now=now, actor=actor)

    def is_retryable(self, operation: Operation) -> bool:
        return operation.status == Operation.Status.UNKNOWN

    def _admit(self, claim: Claim) -> dict[str, dict[str, str]]:
        """Ask for each machine that has not been asked for; {machine: {operation}, or {code, detail}}."""
        spec = claim.operation.spec
        noted = next((step["detail"] for step in claim.operation.steps if step["name"] == "admit"), None)
        admitted: dict[str, dict[str, str]] = dict(noted or {})
        parts = Operation.objects.filter(parent_id=claim.operation.id).values_list("target_id", "id")
        admitted |= {str(target): {"operation": str(part)} for target, part in parts}
        missing = [one for one in spec["ids"] if one not in admitted]
        if not missing:
            return admitted
        claim.point_of_no_return()
        actor = Actor.of_operation(claim.operation)
        for start in range(0, len(missing), aws.BATCH):
            for workspace_id in missing[start : start + aws.BATCH]:
                is_off = claim.operation.cancel_requested_at is not None
                asked = _NOT_ASKED if is_off else _ask(claim, spec["action"], uuid.UUID(workspace_id), actor)
                admitted[workspace_id] = asked
            claim.step("admit", admitted, progress=5 + 20 * start // len(missing))
        return admitted

    def _batches(self, claim: Claim) -> list[tuple[ProviderAccount, list[Operation]]]:
        """The parts that are due, whatever befell them before, up to 25 of one provider account each."""
        parts = list(Operation.objects.open().filter(parent_id=claim.operation.id).order_by("id"))
        parts = [part for part in parts if _is_due(part, claim.now())]
        machines = WorkSpace.objects.select_related("provider_account").in_bulk([part.target_id for part in parts])
        parts = [part for part in parts if _is_batched(machines[part.target_id])]
        parts.sort(key=lambda part: (machines[part.target_id].provider_account_id, part.id))
        found = []
        for _, group in groupby(parts, key=lambda part: machines[part.target_id].provider_account_id):
            of_account = list(group)
            account = machines[of_account[0].target_id].provider_account
            found += [(account, of_account[at : at + aws.BATCH]) for at in range(0, len(of_account), aws.BATCH)]
        return found

    def _carry(self, claim: Claim, account: ProviderAccount, batch: Sequence[Operation]) -> None:
        """Look at the machines of a batch in one call, and ask for those that need it in another."""
        gateway = aws.Gateway(place_of(account), before_call=claim.heartbeat)
        machines = WorkSpace.objects.in_bulk([part.target_id for part in batch])
        shown = gateway.describe([machine.provider_id for machine in machines.values()])
        proof = absence.Proof(gateway)
        asking: list[_Part] = []
        for operation in batch:
            part = self._part(claim, operation, shown.get(machines[operation.target_id].provider_id))
            if part is not None and _settled(part, lambda one: _decide(one, gateway, proof)):
                asking.append(part)
        if asking:
            self._ask_all(claim.operation.spec["action"], gateway, asking)

    def _part(self, claim: Claim, operation: Operation, seen: aws.Machine | None) -> _Part | None:
        part = claim.take_part(operation.id, early=BY_ITSELF_AFTER)
        if part is None or not isinstance(part.handler, Power | Reboot):
            return None
        return _Part(part, part.handler, machine_of(part), seen)

    def _ask_all(self, verb: str, gateway: aws.Gateway, asking: Sequence[_Part]) -> None:
        """One call for all of a batch; each part gets its own answer, or the fault of the call."""
        fault: aws.AwsError | None = None
        refused: dict[str, aws.AwsError] = {}
        try:
            refused = gateway.ask_many(verb, [part.workspace.provider_id for part in asking])
        except aws.AwsError as error:
            fault = error
        for part in asking:
            own = fault or refused.get(part.workspace.provider_id)
            _settled(part, lambda one, own=own: _conclude_part(one, own))

    def _call_off(self, claim: Claim) -> None:
        """Where somebody asked for it, call off the parts that can be; the others go on to their end."""
        if claim.operation.cancel_requested_at is None:
            return
        actor = _who_called_off(claim.operation)
        for part in _parts_to_call_off([claim.operation.id]).order_by("id"):
            claim.heartbeat()
            with suppress(NotYourOperation, OperationFinished, OperationNotCancellable):
                call_off(operation=part, actor=actor, now=claim.now())

    def _conclude(self, claim: Claim, admitted: dict[str, dict[str, str]]) -> None:
        ids = [item["operation"] for item in admitted.values() if "operation" in item]
        parts = {str(part.id): part for part in Operation.objects.filter(id__in=ids)}
        with transaction.atomic():
            claim.lock()
            if unfinished := [part for part in parts.values() if not part.is_final]:
                claim.wait(_next_look(unfinished, claim.now()))
                return
            items = [_result(one, admitted[one], parts) for one in claim.operation.spec["ids"]]
            counts = dict(Counter(item["status"] for item in items))
            result = {"action": claim.operation.spec["action"], "counts": counts, "items": items}
            is_any = counts.get("succeeded", 0) > 0
            if is_any:
                claim.succeed(result)
            elif _is_called_off(claim.operation, counts):
                claim.cancelled(result)
            else:
                claim.fail(NOTHING_DONE, "None of the machines was changed", result)
            _record_outcome(
                claim.operation,
                result="SUCCESS" if is_any else "FAILURE",
                context={"outcome": str(claim.operation.status), "counts": counts},
                now=claim.now(),
            )


def _parts_to_call_off(bulk_ids: Sequence[uuid.UUID]) -> QuerySet[Operation]:
    """The parts of bulk operations that can be called off, and are not yet about to be."""
    parts = Operation.objects.open().filter(parent_id__in=bulk_ids, cancellable=True)
    return parts.filter(cancel_requested_at__isnull=True)


def _who_called_off(operation: Operation) -> Actor:
    """Whoever asked to call the operation off; a job or command where it was no person."""
    if operation.cancel_requested_by is None:
        return Actor.job("operations", operation.organization_id, correlation_id=operation.correlation_id)
    with scope.system():  # an operator belongs to no organization
        user = User.objects.get(pk=operation.cancel_requested_by)
    return Actor.of_user(user, correlation_id=operation.correlation_id)


def _is_due(part: Operation, now: datetime) -> bool:
    """Whether the bulk operation may take a part: its own time is up to a minute later; a fault of ours keeps its."""
    if part.next_attempt_at is None:
        return part.status == Operation.Status.RUNNING  # of a worker that may have vanished
    return part.next_attempt_at - _early(part) <= now


def _early(part: Operation) -> timedelta:
    return timedelta() if part.error.get("code") == UNEXPECTED else BY_ITSELF_AFTER


def _next_look(parts: Sequence[Operation], now: datetime) -> datetime:
    """When the first of the unfinished parts may be taken; those that rest are left to, for a minute at a time."""
    times = [part.next_attempt_at - _early(part) if part.next_attempt_at else now for part in parts]
    return min(max(min(times), now + POLL), now + BY_ITSELF_AFTER)


def _is_called_off(operation: Operation, counts: Mapping[str, int]) -> bool:
    """Whether nothing was changed because somebody called it off, though some machines may have been refused before."""
    others = counts.keys() - {"cancelled"}
    return "cancelled" in counts and (not others or operation.cancel_requested_at is not None)


def _is_batched(machine: WorkSpace) -> bool:
    return machine.capabilities.takes_batches and machine.state not in TERMINAL_STATES


def _ask(claim: Claim, verb: str, workspace_id: uuid.UUID, actor: Actor) -> dict[str, str]:
    try:
        answer = _VERBS[verb](actor=actor, workspace_id=workspace_id, now=claim.now(), bulk=claim.operation)
    except Problem as problem:
        launch = _ended_launch(workspace_id, since=claim.operation.created_at) if verb == "terminate" else None
        if launch is None:
            return {"code": problem.code, "detail": problem.detail}
        return {"operation": str(launch.id)}
    return {"operation": str(answer.operation.id)}


def _ended_launch(workspace_id: uuid.UUID, *, since: datetime) -> Operation | None:
    """The launch of a machine that came to nothing since then: a worker that called it off may not have noted that."""
    over = Operation.objects.filter(target_id=workspace_id, kind=LAUNCH, status__in=LAUNCH_IS_OFF)
    return over.filter(finished_at__gte=since).first()


def _settled(part: _Part, work: Any) -> Any:
    """Do a stretch of a part's work; whoever lost it, or was called off, is left out."""
    try:
        with part.handler.deciding_on_faults(part.claim, part.workspace):
            return work(part)
    except LeaseLost:
        return None
    except CancelRequested:
        with suppress(LeaseLost):
            cancel(part.claim)
        return None


def _decide(part: _Part, gateway: aws.Gateway, proof: absence.Proof) -> bool:
    """Whether AWS is to be asked for the part; one that the look at all did not show is looked at by itself."""
    if part.seen is None:
        part.seen = part.handler.look(part.claim, part.workspace, gateway, proof)
    return part.handler.decide(part.claim, part.workspace, part.seen)


def _conclude_part(part: _Part, fault: aws.AwsError | None) -> None:
    if isinstance(fault, aws.Throttled | aws.Unavailable):
        part.handler.put_off(part.claim)
        raise fault
    if fault is not None and not isinstance(fault, aws.Invalid | aws.NotFound | aws.LimitReached):
        raise fault
    part.handler.conclude(part.claim, part.workspace, part.seen, fault)


def _result(workspace_id: str, item: dict[str, str], parts: dict[str, Operation]) -> dict[str, Any]:
    part = parts.get(item.get("operation", ""))
    if part is None:
        status = str(Operation.Status.CANCELLED) if item.get("code") == CALLED_OFF else "refused"
        return {"id": workspace_id, "status": status, **item}
    if part.kind == LAUNCH and part.status in LAUNCH_IS_OFF:  # it was to end, and so it has
        return {"id": workspace_id, "operation": str(part.id), "status": str(Operation.Status.SUCCEEDED)}
    if part.kind == LAUNCH:
        return {"id": workspace_id, "operation": str(part.id), "status": str(Operation.Status.FAILED), **_LAUNCHED}
    found = {"id": workspace_id, "operation": str(part.id), "status": str(part.status)}
    return found | {name: part.error[name] for name in ("code", "detail") if part.status == "failed"}


def _record_outcome(
    operation: Operation, *, result: str, context: dict[str, Any], now: datetime, actor: Actor | None = None
) -> None:
    who = (actor or Actor.of_operation(operation)).in_organization(operation.organization_id)
    record(
        actor=who.with_correlation(operation.correlation_id),
        action=actions.WORKSPACE_BULK_OUTCOME,
        resource_type="Operation",
        resource_id=str(operation.id),
        result=result,
        description=f"{operation.kind} {operation.id} ended",
        context=context,
        occurred_at=now,
    )
