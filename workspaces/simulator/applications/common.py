"""What all operations of WorkSpaces Applications share: names, refusals, quotas, pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from workspaces.simulator import catalog, pages
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
Answer = dict[str, Any]

COMBINATION = "InvalidParameterCombinationException"
FLEET, STACK, USER = "fleet", "stack", "user"
ASSOCIATION, USER_STACK, APPLICATION_FLEET, SESSION = "association", "user-stack", "application-fleet", "session"
PAGE = 50
PASSING = {"STARTING": "RUNNING", "STOPPING": "STOPPED"}
# The default quotas of AWS per account and region; a record of kind "quota" replaces one.
QUOTAS = {"Fleets": 10, "Stacks": 10, "Users in the user pool": 50}
_QUOTA_OF = {FLEET: "Fleets", STACK: "Stacks", USER: "Users in the user pool"}


def existing(place: Place, kind: str, name: str) -> dict[str, Any]:
    """A record; ResourceNotFoundException."""
    record = place.record(kind, name)
    if record is None:
        raise not_found(f"The {kind} {name} does not exist.")
    return record


def not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, status=404)


def require_new(place: Place, kind: str, name: str) -> None:
    """Refuse a name that exists, and one more than the quota."""
    if place.record(kind, name) is not None:
        raise AwsError("ResourceAlreadyExistsException", f"The {kind} {name} already exists.")
    quota = place.record("quota", _QUOTA_OF[kind]) or {"value": QUOTAS[_QUOTA_OF[kind]]}
    if len(place.records(kind)) >= quota["value"]:
        raise AwsError("LimitExceededException", f"The quota of {quota['value']} for {_QUOTA_OF[kind]} is used up.")


def listed(place: Place, kind: str, names: Iterable[str] | None) -> list[tuple[str, dict[str, Any]]]:
    """The records asked for by name, or all of a kind."""
    if not names:
        return list(place.records(kind).items())
    return [(name, existing(place, kind, name)) for name in names]


def page(
    member: str, items: Iterable[Any], request: Request, *, question: Mapping[str, Any], size: int = PAGE
) -> Answer:
    """One page of numbered items; a list that the model does not allow to be empty is left out by the caller."""
    after = pages.after(request, question, code=COMBINATION)
    numbered = ((number, item) for number, item in enumerate(items) if number > after)
    found, token = pages.cut(numbered, size=size, question=question)
    return pages.page(member, found, token)


def pair(first: str, second: str) -> str:
    """The name of a record that joins two others; neither of their names holds a line break."""
    return f"{first}\n{second}"


def pairs(place: Place, kind: str) -> list[tuple[str, str]]:
    """The names of all records that join two others."""
    return [(first, second) for first, _, second in (name.partition("\n") for name in place.records(kind))]


def arn(place: Place, kind: str, name: str) -> str:
    return catalog.arn(place.account, place.region, f"{kind}/{name}")


def state_at(body: Mapping[str, Any], now: float) -> str:
    """The state of a fleet at an instant: a passing one ends by itself."""
    is_over = body["until"] is not None and now >= body["until"]
    return PASSING[body["state"]] if is_over else body["state"]


def capacity(settings: Mapping[str, Any]) -> int:
    """How many sessions a running fleet takes."""
    if settings["FleetType"] == "ELASTIC":
        return settings["MaxConcurrentSessions"]
    wanted = settings["ComputeCapacity"]
    return wanted.get("DesiredSessions") or wanted["DesiredInstances"] * settings.get("MaxSessionsPerInstance", 1)
