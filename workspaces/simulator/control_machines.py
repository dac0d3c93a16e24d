"""What the control endpoints show of machines, and what they do to them behind everybody's back."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workspaces.simulator import create, inputs
from workspaces.simulator import machine as life
from workspaces.simulator.history import STATES
from workspaces.simulator.machine import Machine
from workspaces.simulator.shape import Structure, checked
from workspaces.simulator.tags import check_tags, tag_list
from workspaces.simulator.usage import show_usage
from workspaces.simulator.world import Place, World

_FILTERS = ("account", "region", "state", "directory_id", "user_name")
_ITEM = inputs.WORKSPACES["CreateWorkspaces"].members["Workspaces"].member


class RefusedError(Exception):
    """A control call that is refused, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def health(world: World) -> dict[str, Any]:
    now = world.clock.now()
    count = sum(1 for place in world.places() for _ in place.walk(now))
    return {"status": "ok", "now": now, "speed": world.clock.anchor.speed, "machines": count}


def machines(world: World, filters: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise RefusedError(400, f"Unknown filter {', '.join(unknown)}; there are {', '.join(_FILTERS)}.")
    now = world.clock.now()
    found = ((place, machine) for place in world.places() for machine in place.ever(now))
    return {
        "machines": [
            show(place, machine)
            for place, machine in found
            if all(getattr(machine, name) == value for name, value in filters.items())
        ]
    }


def show(place: Place, machine: Machine) -> dict[str, Any]:
    return {
        "workspace_id": machine.workspace_id,
        "account": machine.account,
        "region": machine.region,
        "directory_id": machine.directory_id,
        "user_name": machine.user_name,
        "bundle_id": machine.bundle_id,
        "state": machine.state,
        "since": machine.since,
        "created_at": machine.created_at,
        "running_mode": machine.running_mode,
        "connected": machine.connected,
        "tags": tag_list(place.tags_of(machine.workspace_id)),
        "usage": None if machine.usage is None else show_usage(machine.usage),
    }


def launches(world: World) -> dict[str, Any]:
    now = world.clock.now()
    ever: Counter[tuple[str, str, str, str]] = Counter()
    live: Counter[tuple[str, str, str, str]] = Counter()
    for place in world.places():
        for machine in place.ever(now):
            key = (machine.account, machine.region, machine.directory_id, machine.user_name.casefold())
            ever[key] += 1
            live[key] += machine.holds_user
    names = ("account", "region", "directory_id", "user_name")
    return {"launches": [dict(zip(names, key, strict=True)) | {"ever": ever[key], "live": live[key]} for key in ever]}


def command(world: World, workspace_id: str, change: Callable[..., Machine]) -> dict[str, Any]:
    """Do to one machine what its user or its cloud does; AwsError where its state does not allow it."""
    now = world.clock.now()
    place, machine = _find(world, workspace_id)
    changed = change(machine, now, place.durations)
    place.commit(now=now, machines=[changed])
    return show(place, changed)


def set_state(world: World, workspace_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Put a machine into a state, with the error that AWS would show."""
    state = document.get("state")
    texts = [document.get(name) for name in ("error_code", "error_message")]
    if state not in STATES or state == life.GONE or not set(document) <= {"state", "error_code", "error_message"}:
        names = ", ".join(name for name in STATES if name != life.GONE)
        raise ValueError(f"The body is state, error_code and error_message; the state is one of {names}.")
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ValueError("error_code and error_message are texts.")

    def change(machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
        entered = life.enter(replace(machine, modification=None, fate=None), state, now, durations)
        return replace(entered, error_code=texts[0], error_message=texts[1])

    return command(world, workspace_id, change)


def appear(world: World, document: Mapping[str, Any]) -> dict[str, Any]:
    """Make a machine that nobody asked for over the API: available at once, on PCoIP too.

    `{"account": …, "region": …, "workspace": {…}, "protocol": "PCOIP"}`, the workspace as CreateWorkspaces takes it.
    """
    account, region, protocol = document.get("account"), document.get("region"), document.get("protocol", "WSP")
    if not isinstance(account, str) or not isinstance(region, str) or protocol not in ("WSP", "PCOIP"):
        raise ValueError("A machine needs account, region and workspace, and WSP or PCOIP as its protocol.")
    if not isinstance(_ITEM, Structure):
        raise TypeError("The items of CreateWorkspaces are structures.")
    item = checked(_ITEM, document.get("workspace"))
    place, now = world.place(account, region), world.clock.now()
    machine = replace(create.make(place, now, item, []), protocol=protocol)
    machine = life.enter(machine, "AVAILABLE", now, place.durations)
    tags = check_tags(item.get("Tags", ()), already={})
    place.commit(now=now, machines=[machine], tags={machine.workspace_id: tags} if tags else None)
    return show(place, machine)


def reassign_usage(world: World) -> int:
    """Give every machine the pattern that the rules now say; its user begins with it now. Says how many changed."""
    now, count = world.clock.now(), 0
    for place in world.places():
        changed = []
        for machine in place.ever(now):
            usage = world.usage_rules.usage_of(machine)
            if usage != machine.usage and not machine.is_gone:
                seen = max(machine.visited_until, now)
                changed.append(replace(machine, usage=usage, visited_until=seen))
        place.commit(now=now, machines=changed)
        count += len(changed)
    return count


def _find(world: World, workspace_id: str) -> tuple[Place, Machine]:
    """A machine that is not gone, also one that Describe does not show yet."""
    now = world.clock.now()
    for place in world.places():
        found = place.past(workspace_id, now)
        if found is not None and not found[0].is_gone:
            return place, found[0]
    raise RefusedError(404, f"No machine {workspace_id}.")
