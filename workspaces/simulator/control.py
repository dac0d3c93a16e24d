"""The /_control/ endpoints: what tests and the demo may ask and do that AWS has no call for; RULES.md lists them."""

import json
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from workspaces.simulator import control_machines as machines
from workspaces.simulator import control_stacks
from workspaces.simulator import machine as life
from workspaces.simulator.applications import sessions
from workspaces.simulator.applications.common import QUOTAS
from workspaces.simulator.control_machines import RefusedError
from workspaces.simulator.create import QUOTA
from workspaces.simulator.errors import AwsError
from workspaces.simulator.protocols import Answer
from workspaces.simulator.traffic import read_rates
from workspaces.simulator.wire import Headers, is_aws_call
from workspaces.simulator.world import World

PREFIX = "/_control/"


def answer(world: World, method: str, target: str, headers: Headers, body: bytes) -> Answer:
    """Carry out one control call; AWS calls are turned away whatever they ask."""
    try:
        if is_aws_call(headers):
            raise RefusedError(403, "Control endpoints are not reachable by AWS calls.")
        with world.lock:
            return _json(200, _route(world, method, target, body))
    except RefusedError as refusal:
        return _json(refusal.status, {"error": str(refusal)})
    except AwsError as error:
        return _json(409, {"error": error.message})
    except ValueError as error:
        return _json(400, {"error": str(error)})


def _route(world: World, method: str, target: str, body: bytes) -> Any:
    url = urlsplit(target)
    parts = [unquote(part) for part in url.path.removeprefix(PREFIX).strip("/").split("/")]
    match method, parts:
        case "GET", ["health"]:
            return machines.health(world)
        case "GET", ["machines"]:
            return machines.machines(world, dict(parse_qsl(url.query)))
        case "POST", ["machines"]:
            return machines.appear(world, _document(body))
        case "GET", ["launches"]:
            return machines.launches(world)
        case "POST", ["machines", workspace_id, ("connect" | "disconnect" | "vanish") as verb]:
            return machines.command(world, workspace_id, _COMMANDS[verb])
        case "POST", ["machines", workspace_id, "state"]:
            return machines.set_state(world, workspace_id, _document(body))
        case "POST", ["clock", "advance"]:
            return {"now": world.advance(_seconds(body))}
        case "POST", ["clock", "speed"]:
            return {"now": world.set_speed(_number(_document(body), "speed"))}
    return _settings(world, method, parts, url.path, body)


def _settings(world: World, method: str, parts: list[str], path: str, body: bytes) -> Any:
    match method, parts:
        case "GET", ["faults"]:
            return {"faults": world.faults.show()}
        case "POST", ["faults"]:
            return world.faults.declare(_document(body)).show()
        case "DELETE", ["faults"]:
            return {"withdrawn": world.faults.withdraw()}
        case "DELETE", ["faults", number] if number.isdigit():
            return {"withdrawn": world.faults.withdraw(int(number))}
        case "GET", ["traffic"]:
            return {"traffic": world.traffic.show(), "is_limited": world.traffic.is_limited}
        case "GET", ["traffic", account, region]:
            return world.traffic.calls(account, region)
        case "DELETE", ["traffic"]:
            world.traffic.forget()
            return {}
        case "POST", ["limits"]:
            return _limit(world, _document(body))
        case "POST", ["quotas"]:
            return _set_quota(world, _document(body))
        case "GET", ["usage"]:
            return {"rules": world.usage_rules.show()}
        case "POST", ["usage"]:
            world.usage_rules.declare(_document(body))
            return {"machines": machines.reassign_usage(world)}
        case "DELETE", ["usage"]:
            world.usage_rules.withdraw()
            return {"machines": machines.reassign_usage(world)}
        case "POST", ["stacks"]:
            return control_stacks.appear(world, _document(body))
        case "POST", ["streaming"]:
            ticket = sessions.ticket_of(str(_document(body).get("url")))
            return sessions.open_url(world.place(ticket["account"], ticket["region"]), world.clock.now(), ticket)
        case "POST", ["streaming", session_id, "leave"]:
            return _leave(world, session_id)
    raise RefusedError(404, f"No control endpoint {method} {path}.")


_COMMANDS: dict[str, Callable[..., Any]] = {
    "connect": life.connect,
    "disconnect": life.disconnect,
    "vanish": life.vanish,
}


def _limit(world: World, document: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(document) - {"enabled", "clock", "rates"})
    if unknown or not isinstance(document.get("enabled"), bool) or document.get("clock", "real") not in _CLOCKS:
        raise ValueError('Limits are {"enabled": true or false, "clock": "real" or "simulated", "rates": {…}}.')
    rates = read_rates(document.get("rates", {}))
    is_simulated = document.get("clock", "real") == "simulated"
    world.traffic.configure(is_limited=document["enabled"], is_simulated=is_simulated, rates=rates)
    return {"is_limited": world.traffic.is_limited}


_CLOCKS = ("real", "simulated")


def _set_quota(world: World, document: dict[str, Any]) -> dict[str, Any]:
    account, region, name, value = (document.get(key) for key in ("account", "region", "name", "value"))
    if not isinstance(account, str) or not isinstance(region, str) or name not in {QUOTA, *QUOTAS}:
        raise ValueError(f"A quota needs account, region and a name, one of {', '.join((QUOTA, *QUOTAS))}.")
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("The value of a quota is a whole number, null for that of AWS.")
    body = None if value is None else {"value": value}
    world.place(account, region).commit(now=world.clock.now(), records={("quota", name): body})
    return {"name": name, "value": value}


def _leave(world: World, session_id: str) -> dict[str, Any]:
    for place in world.places():
        if place.record(sessions.SESSION, session_id) is not None:
            return sessions.leave(place, world.clock.now(), session_id)
    raise RefusedError(404, f"No session {session_id}.")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise RefusedError(400, "The body must be JSON.") from error
    if not isinstance(document, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return document


def _seconds(body: bytes) -> float:
    seconds = _number(_document(body), "seconds")
    if seconds < 0:
        raise RefusedError(400, "The clock only moves forward, by a number of seconds.")
    return seconds


def _number(document: dict[str, Any], name: str) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RefusedError(400, f'The body must be {{"{name}": number}}.')
    return float(value)


def _json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
