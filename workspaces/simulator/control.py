"""The /_control/ endpoints: what tests and the demo may ask and do that AWS has no call for."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from workspaces.simulator import machine as life
from workspaces.simulator.errors import AwsError
from workspaces.simulator.machine import Machine
from workspaces.simulator.tags import tag_list
from workspaces.simulator.wire import Answer, Headers, is_aws_call
from workspaces.simulator.world import Place, World

PREFIX = "/_control/"
_FILTERS = ("account", "region", "state", "directory_id", "user_name")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(world: World, method: str, target: str, headers: Headers, body: bytes) -> Answer:
    """Carry out one control call; AWS calls are turned away whatever they ask."""
    try:
        if is_aws_call(headers):
            raise _RefusedError(403, "Control endpoints are not reachable by AWS calls.")
        with world.lock:
            return _json(200, _route(world, method, target, body))
    except _RefusedError as refusal:
        return _json(refusal.status, {"error": str(refusal)})


def _route(world: World, method: str, target: str, body: bytes) -> Any:
    url = urlsplit(target)
    parts = url.path.removeprefix(PREFIX).strip("/").split("/")
    match method, parts:
        case "GET", ["health"]:
            return _health(world)
        case "GET", ["machines"]:
            return _machines(world, dict(parse_qsl(url.query)))
        case "GET", ["launches"]:
            return _launches(world)
        case "POST", ["machines", workspace_id, "connect"]:
            return _command(world, workspace_id, life.connect)
        case "POST", ["machines", workspace_id, "disconnect"]:
            return _command(world, workspace_id, life.disconnect)
        case "POST", ["clock", "advance"]:
            return {"now": world.advance(_seconds(body))}
    raise _RefusedError(404, f"No control endpoint {method} {url.path}.")


def _health(world: World) -> dict[str, Any]:
    now = world.clock.now()
    count = sum(1 for place in world.places() for _ in place.walk(now))
    return {"status": "ok", "now": now, "speed": world.clock.anchor.speed, "machines": count}


def _machines(world: World, filters: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise _RefusedError(400, f"Unknown filter {', '.join(unknown)}; there are {', '.join(_FILTERS)}.")
    now = world.clock.now()
    found = (_machine(place, machine) for place in world.places() for machine in place.ever(now))
    return {"machines": [one for one in found if all(one[name] == value for name, value in filters.items())]}


def _machine(place: Place, machine: Machine) -> dict[str, Any]:
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
    }


def _launches(world: World) -> dict[str, Any]:
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


def _command(world: World, workspace_id: str, command: Any) -> dict[str, Any]:
    now = world.clock.now()
    for place in world.places():
        machine = place.find(workspace_id, now)
        if machine is None:
            continue
        try:
            changed = command(machine, now, place.durations)
        except AwsError as error:
            raise _RefusedError(409, error.message) from error
        place.commit(now=now, machines=[changed])
        return _machine(place, changed)
    raise _RefusedError(404, f"No machine {workspace_id}.")


def _seconds(body: bytes) -> float:
    try:
        seconds = json.loads(body)["seconds"]
    except (ValueError, TypeError, KeyError) as error:
        raise _RefusedError(400, 'The body must be {"seconds": number}.') from error
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise _RefusedError(400, "The clock only moves forward, by a number of seconds.")
    return float(seconds)


def _json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
