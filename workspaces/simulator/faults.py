"""Faults on demand: what goes wrong in the next calls of an operation, or in a share of all of them.

A fault that is declared with a `count` strikes the next so many calls that it is meant for; one with a `rate` strikes
each of them with that probability, from a seed, so that the same calls in the same order fail again.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workspaces.simulator.errors import AwsError
from workspaces.simulator.machine import Fate

# The member of the request that holds the items of a batch, and that of the answer that holds the failed ones.
BATCHES = {
    "CreateWorkspaces": ("Workspaces", "FailedRequests"),
    "StartWorkspaces": ("StartWorkspaceRequests", "FailedRequests"),
    "StopWorkspaces": ("StopWorkspaceRequests", "FailedRequests"),
    "RebootWorkspaces": ("RebootWorkspaceRequests", "FailedRequests"),
    "RebuildWorkspaces": ("RebuildWorkspaceRequests", "FailedRequests"),
    "TerminateWorkspaces": ("TerminateWorkspaceRequests", "FailedRequests"),
    "BatchAssociateUserStack": ("UserStackAssociations", "errors"),
    "BatchDisassociateUserStack": ("UserStackAssociations", "errors"),
}
_CREATES = ("CreateWorkspaces",)
_LIMITED = ("CreateWorkspaces", "CreateTags", "CreateFleet", "StartFleet", "UpdateFleet", "CreateStack", "CreateUser")
_CAPACITY = ("CreateWorkspaces", "StartWorkspaces", "CreateFleet", "StartFleet", "UpdateFleet")
_COME_UP = ("CreateWorkspaces", "StartWorkspaces", "RebootWorkspaces", "RebuildWorkspaces", "RestoreWorkspace")
_LOOKS = ("Describe", "List", "Get", "AssumeRole")

# The operations that each kind is for; None means all, "changes" those that are no look.
KINDS: Mapping[str, tuple[str, ...] | str | None] = {
    "throttling": None,
    "error": None,
    "access_denied": None,
    "resource_limit": _LIMITED,
    "capacity": _CAPACITY,
    "timeout_before": None,
    "timeout_after": None,
    "partial_failure": tuple(BATCHES),
    "late_visibility": _CREATES,
    "late_tags": ("CreateWorkspaces", "CreateTags", "DeleteTags"),
    "no_op": "changes",
    "domain_join_failure": _CREATES,
    "unhealthy": _COME_UP,
}
_STATES = ("UNHEALTHY", "IMPAIRED", "ERROR")
_DOMAIN_JOIN = Fate(
    state="ERROR",
    error_code="DomainJoinFailed",
    error_message="The WorkSpace could not be joined to the domain of its directory.",
)

_NO_CAPACITY = ("ResourceUnavailableException", "There is not enough capacity for this request now.")
_NOT_PROCESSED = {
    False: ("InternalServerException", "The request could not be processed."),
    True: ("INTERNAL_ERROR", "The request could not be processed."),
}


@dataclass(frozen=True, slots=True)
class Effects:
    """What a fault does to the changes of one call."""

    discards: bool = False
    hides_for_seconds: float = 0.0
    hides_tags_for_seconds: float = 0.0
    fate: Fate | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call, as faults and limits see it."""

    service: str
    operation: str
    account: str
    region: str

    @property
    def is_look(self) -> bool:
        return self.operation.startswith(_LOOKS)


@dataclass(slots=True)
class Fault:
    """One declared fault; `left` calls are still to be struck, None = for ever at `rate`."""

    number: int
    kind: str
    operation: str | None = None
    account: str | None = None
    region: str | None = None
    left: int | None = None
    rate: float | None = None
    seed: int = 0
    seconds: float = 0.0
    items: int | None = None
    code: str | None = None
    message: str | None = None
    status: int = 400
    state: str = "UNHEALTHY"
    struck: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def meets(self, call: Call) -> bool:
        """Whether this fault is meant for a call."""
        asked = ((self.operation, call.operation), (self.account, call.account), (self.region, call.region))
        return self.left != 0 and all(mine in (None, theirs) for mine, theirs in asked) and self.fits(call)

    def fits(self, call: Call) -> bool:
        operations = KINDS[self.kind]
        if operations is None:
            return True
        return not call.is_look if operations == "changes" else call.operation in operations

    def show(self) -> dict[str, Any]:
        """The fault as the control endpoint shows it."""
        names = ("number", "kind", "operation", "account", "region", "rate", "left", "struck")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Strike:
    """All that goes wrong in one call."""

    faults: tuple[Fault, ...]

    def refuse(self, call: Call) -> None:
        """Raise the error with which the call ends before anything has happened, if there is one."""
        for fault in self.faults:
            error = _error(fault, call)
            if error is not None:
                raise error

    @property
    def effects(self) -> Effects:
        """What is done to the changes of the call."""
        by_kind = {fault.kind: fault for fault in self.faults}
        fate = Fate(state=by_kind["unhealthy"].state) if "unhealthy" in by_kind else None
        return Effects(
            discards="no_op" in by_kind,
            hides_for_seconds=by_kind["late_visibility"].seconds if "late_visibility" in by_kind else 0.0,
            hides_tags_for_seconds=by_kind["late_tags"].seconds if "late_tags" in by_kind else 0.0,
            fate=_DOMAIN_JOIN if "domain_join_failure" in by_kind else fate,
        )

    def lost(self, kind: str) -> float | None:
        """For how many real seconds the connection is held before it is closed; None if there is an answer."""
        return next((fault.seconds for fault in self.faults if fault.kind == kind), None)

    def split(self, call: Call, request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """The request without the items that fail, and these as the answer shows them."""
        fault = next((one for one in self.faults if one.kind in {"partial_failure", "capacity"}), None)
        if fault is None or call.operation not in BATCHES:
            return request, {}
        asked, failed = BATCHES[call.operation]
        items = request[asked]
        fails = _chosen(fault, len(items)) if fault.kind == "partial_failure" else [True] * len(items)
        kept = [item for item, is_struck in zip(items, fails, strict=True) if not is_struck]
        lost = [_failed(call, item, fault) for item, is_struck in zip(items, fails, strict=True) if is_struck]
        if _is_of_items(fault):
            fault.struck += any(fails)
        return request | {asked: kept}, {failed: lost}


class Faults:
    """The declared faults, in the order of their declaration; they end with the process."""

    def __init__(self) -> None:
        self._declared: list[Fault] = []
        self._last = 0

    def declare(self, document: Any) -> Fault:
        """Take a fault from its JSON form; ValueError says what is wrong with it."""
        self._last += 1
        fault = _read(document, self._last)
        self._declared.append(fault)
        return fault

    def withdraw(self, number: int | None = None) -> int:
        """End one fault, or all of them; says how many."""
        kept = [fault for fault in self._declared if number is not None and fault.number != number]
        ended = len(self._declared) - len(kept)
        self._declared = kept
        return ended

    def show(self) -> list[dict[str, Any]]:
        return [fault.show() for fault in self._declared]

    def strike(self, call: Call) -> Strike:
        """What goes wrong in this call; counts it."""
        met = [fault for fault in self._declared if fault.meets(call) and _falls(fault)]
        for fault in met:
            fault.struck += not _is_of_items(fault)
            if fault.left is not None:
                fault.left -= 1
        return Strike(tuple(met))


def _falls(fault: Fault) -> bool:
    return fault.rate is None or _is_of_items(fault) or fault.dice.random() < fault.rate


def _is_of_items(fault: Fault) -> bool:
    """A rate of partial failures is one of items, not of calls: which are struck is seen when they are carried out."""
    return fault.kind == "partial_failure" and fault.rate is not None


def _chosen(fault: Fault, count: int) -> list[bool]:
    if fault.rate is not None:
        return [fault.dice.random() < fault.rate for _ in range(count)]
    struck = set(fault.dice.sample(range(count), min(fault.items or 1, count)))
    return [number in struck for number in range(count)]


def _failed(call: Call, item: Mapping[str, Any], fault: Fault) -> dict[str, Any]:
    default = _NO_CAPACITY if fault.kind == "capacity" else _NOT_PROCESSED[call.service == "appstream"]
    error = {"ErrorCode": fault.code or default[0], "ErrorMessage": fault.message or default[1]}
    if call.operation == "CreateWorkspaces":
        return {"WorkspaceRequest": item} | error
    if call.service == "appstream":
        return {"UserStackAssociation": item} | error
    return {"WorkspaceId": item.get("WorkspaceId", "")} | error


def _error(fault: Fault, call: Call) -> AwsError | None:
    is_applications = call.service == "appstream"
    match fault.kind:
        case "throttling":
            return throttled(call)
        case "error":
            return AwsError(fault.code or "", fault.message or "", status=fault.status)
        case "access_denied":
            code = "AccessDenied" if call.service in {"sts", "monitoring"} else "AccessDeniedException"
            text = f"User is not authorized to perform: {call.service}:{call.operation}"
            return AwsError(code, fault.message or text, status=400 if code.endswith("Exception") else 403)
        case "resource_limit":
            code = "LimitExceededException" if is_applications else "ResourceLimitExceededException"
            return AwsError(fault.code or code, fault.message or "Your resource limits have been exceeded.")
        case "capacity" if is_applications:
            return AwsError(fault.code or "ResourceNotAvailableException", fault.message or _NO_CAPACITY[1])
    return None


def throttled(call: Call) -> AwsError:
    """How AWS refuses a call that comes too soon."""
    is_query = call.service in {"sts", "monitoring"}
    return AwsError("Throttling" if is_query else "ThrottlingException", "Rate exceeded")


def _read(document: Any, number: int) -> Fault:
    if not isinstance(document, Mapping) or document.get("kind") not in KINDS:
        raise ValueError(f"A fault needs a kind, one of {', '.join(KINDS)}.")
    allowed = {
        "kind": str, "operation": str, "account": str, "region": str, "count": int, "rate": (int, float), "seed": int,
        "seconds": (int, float), "items": int, "code": str, "message": str, "status": int, "state": str,
    }  # fmt: skip
    for name, value in document.items():
        if name not in allowed:
            raise ValueError(f"A fault has no {name}; there are {', '.join(allowed)}.")
        if isinstance(value, bool) or not isinstance(value, allowed[name]):
            raise ValueError(f"{name} cannot be {value!r}.")
    given = dict(document)
    count, rate = given.pop("count", None), given.get("rate")
    if (count is None) == (rate is None):
        raise ValueError("A fault has either a count or a rate.")
    if (count is not None and count < 1) or (rate is not None and not 0 < rate <= 1):
        raise ValueError("A count is at least 1, a rate above 0 and at most 1.")
    if given.get("seconds", 0) < 0 or given.get("items", 1) < 1 or not 400 <= given.get("status", 400) <= 599:
        raise ValueError("seconds is 0 or more, items at least 1, status from 400 to 599.")
    _check_kind(given)
    fault = Fault(number=number, left=count, **given)
    fault.dice.seed(fault.seed)
    return fault


def _check_kind(given: Mapping[str, Any]) -> None:
    kind, operation = given["kind"], given.get("operation")
    if kind == "error" and not given.get("code"):
        raise ValueError("An error needs its code.")
    if kind in ("late_visibility", "late_tags") and not given.get("seconds"):
        raise ValueError(f"{kind} needs the seconds of simulated time for which what is new does not show.")
    if given.get("state", _STATES[0]) not in _STATES:
        raise ValueError(f"The state is one of {', '.join(_STATES)}.")
    if operation is not None and not Fault(0, kind).fits(Call("", operation, "", "")):
        raise ValueError(f"{kind} cannot strike {operation}.")


def read_all(documents: Iterable[Any]) -> None:
    """Check faults before any simulator runs; ValueError."""
    for document in documents:
        _read(document, 0)
