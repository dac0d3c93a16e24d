"""What a room above supplies to have its operations carried out, and how a kind finds its handler."""

import uuid
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from forge.db import ports
from forge.operations.models import Operation

if TYPE_CHECKING:
    from forge.operations.claims import Claim


class Handler(ABC):
    """Carries out one kind of operation; one instance serves all threads, so it keeps no state.

    Everything it does may be cut off at any line and be run again by somebody else: it looks before it acts, and
    calls `claim.point_of_no_return()` before the first effect outside the database.
    """

    max_failures: int = 8
    first_delay: timedelta = timedelta(seconds=2)
    longest_delay: timedelta = timedelta(minutes=5)
    unknown_delay: timedelta = timedelta(minutes=5)

    @abstractmethod
    def run(self, claim: "Claim") -> None:
        """Do the work, or the next stretch of it, and end with exactly one outcome of the claim.

        No transaction is open on entry. The outcome is called inside the handler's own transaction, together with
        the business rows and the audit entry that belong to it, after `claim.lock()`.
        """

    @abstractmethod
    def cancel(self, operation: Operation, *, actor: Any, now: datetime) -> None:
        """Undo what the request left behind and write the audit entry, in the transaction that cancels.

        Nothing has happened outside the database yet. `actor` is None when a worker does it because somebody
        (`operation.cancel_requested_by`) had asked while it was running.
        """

    def lock_first(self, operation: Operation) -> None:  # noqa: B027 - a hook
        """Take the locks that come before the operation's own in the lock order, e.g. of the scope rows.

        Called at the start of the transactions that end in `cancel` or `retry`; `operation` is not locked yet.
        """

    def cancel_requested(self, operation: Operation, *, actor: Any, now: datetime) -> None:  # noqa: B027 - a hook
        """Write the audit entry of a request that a worker has yet to see; in the transaction that notes it."""

    def retry(self, operation: Operation, *, actor: Any, now: datetime) -> None:  # noqa: B027 - a hook
        """Prepare a failed or unknown operation for another go, in the same transaction; raise a Problem to refuse."""

    def may_control(self, user: Any, operation: Operation) -> bool:
        """Whether `user` may cancel and retry it; a room that knows the target's permissions narrows it down."""
        return operation.is_controllable_by(user)

    def cancellable(self, operations: Sequence[Operation]) -> set[uuid.UUID]:
        """Those of open operations of its kind that a request to cancel can still have an effect on, by id.

        A handler that names one past its point of no return sees `cancel_requested_at` set and undoes what it did. It
        asks the database once however many there are.
        """
        return {one.id for one in operations if one.cancellable}

    def is_retryable(self, operation: Operation) -> bool:
        """Whether `retry` will not refuse it for good; for buttons that stand only where they work."""
        return operation.status in (Operation.Status.FAILED, Operation.Status.UNKNOWN)

    def on_exhausted(self, claim: "Claim") -> None:
        """Decide what becomes of an operation after `max_failures` unexpected faults in a row.

        By default its outcome is unknown: what it reserved stays reserved, and it is tried again, slowly.
        """
        with transaction.atomic():
            claim.unknown("Too many attempts in a row failed; it is looked at again from time to time.")


def kinds() -> list[str]:
    """The kinds of operation that this installation can carry out."""
    return list(settings.FORGE_OPERATION_HANDLERS)


def handler_of(kind: str) -> Handler:
    """The handler of `kind`; raises LookupError for a kind that settings.FORGE_OPERATION_HANDLERS does not name."""
    path = settings.FORGE_OPERATION_HANDLERS.get(kind)
    if path is None:
        raise LookupError(f"FORGE_OPERATION_HANDLERS names no handler for operations of kind {kind!r}.")
    handler = ports.resolve(path)
    if not isinstance(handler, Handler):
        raise ImproperlyConfigured(f"{path} is not a forge.operations.handlers.Handler.")
    return handler


def cancellable_of(operations: Iterable[Operation]) -> set[uuid.UUID]:
    """Those of any operations that a request to cancel can have an effect on, by id; a query for each kind at most."""
    by_kind = defaultdict(list)
    for operation in operations:
        if not operation.is_final and operation.kind in settings.FORGE_OPERATION_HANDLERS:
            by_kind[operation.kind].append(operation)
    return {one for kind, some in by_kind.items() for one in handler_of(kind).cancellable(some)}
