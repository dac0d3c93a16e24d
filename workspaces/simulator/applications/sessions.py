"""Streaming URLs, and the sessions of those who opened one."""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workspaces.simulator.applications import images
from workspaces.simulator.applications.common import (
    APPLICATION_FLEET,
    ASSOCIATION,
    COMBINATION,
    FLEET,
    SESSION,
    STACK,
    Answer,
    Request,
    capacity,
    existing,
    not_found,
    page,
    pair,
    pairs,
    state_at,
)
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

_VALIDITY = (1, 604_800)
_DEFAULT_VALIDITY = 60
_TICKET = ("account", "region", "fleet", "stack", "user", "expires")


def create_streaming_url(place: Place, now: float, request: Request) -> Answer:
    fleet, stack = request["FleetName"], request["StackName"]
    body = existing(place, FLEET, fleet)
    existing(place, STACK, stack)
    validity = request.get("Validity", _DEFAULT_VALIDITY)
    if not _VALIDITY[0] <= validity <= _VALIDITY[1]:
        raise AwsError(COMBINATION, f"Validity must be from {_VALIDITY[0]} to {_VALIDITY[1]} seconds.")
    if place.record(ASSOCIATION, pair(fleet, stack)) is None:
        raise AwsError("OperationNotPermittedException", f"The fleet {fleet} is not associated with {stack}.")
    if state_at(body, now) != "RUNNING":
        raise AwsError("ResourceNotAvailableException", f"The fleet {fleet} is {state_at(body, now)}.")
    _require_application(place, fleet, body["settings"], request.get("ApplicationId"))
    ticket = {"fleet": fleet, "stack": stack, "user": request["UserId"], "expires": now + validity}
    ticket |= {"account": place.account, "region": place.region}
    packed = base64.urlsafe_b64encode(json.dumps(ticket).encode()).decode()
    url = f"https://appstream2.{place.region}.aws.amazon.com/authenticate?parameters={packed}"
    return {"StreamingURL": url, "Expires": ticket["expires"]}


def _require_application(place: Place, fleet: str, settings: Mapping[str, Any], application_id: str | None) -> None:
    if application_id is None or (application_id == "Desktop" and settings["StreamView"] == "DESKTOP"):
        return
    if settings["FleetType"] == "ELASTIC":
        arns = [arn for one, arn in pairs(place, APPLICATION_FLEET) if one == fleet]
        names = {images.application_of(place, arn).name for arn in arns}
    else:
        names = set(images.IMAGES[settings["ImageName"]].applications)
    if application_id not in names:
        raise not_found(f"The fleet {fleet} has no application {application_id}.")


def ticket_of(url: str) -> dict[str, Any]:
    """What a streaming URL says: account, region, fleet, stack, user and expires; AwsError."""
    try:
        packed = parse_qs(urlsplit(url).query)["parameters"][0]
        ticket = json.loads(base64.urlsafe_b64decode(packed.encode()))
        return {name: ticket[name] for name in _TICKET}
    except (ValueError, LookupError, TypeError, binascii.Error) as error:
        raise AwsError(COMBINATION, "This is no streaming URL.") from error


def open_url(place: Place, now: float, ticket: dict[str, Any]) -> dict[str, Any]:
    """A user opens a streaming URL and gets a session, or his one back; AwsError where AWS would show an error."""
    if now >= ticket["expires"]:
        raise AwsError(COMBINATION, "The streaming URL has expired.")
    fleet, owner = ticket["fleet"], (ticket["stack"], ticket["user"])
    body = existing(place, FLEET, fleet)
    running = of_fleet(place, now, fleet)
    session_id = next((name for name, one in running.items() if (one["stack"], one["user"]) == owner), None)
    if session_id is None:
        if state_at(body, now) != "RUNNING" or len(running) >= capacity(body["settings"]):
            raise AwsError("ResourceNotAvailableException", f"The fleet {fleet} has no instance free.")
        session_id = str(uuid.uuid4())
    began_at = running[session_id]["began_at"] if session_id in running else now
    opened = {
        "fleet": fleet,
        "stack": ticket["stack"],
        "user": ticket["user"],
        "began_at": began_at,
        "ends_at": began_at + body["settings"]["MaxUserDurationInSeconds"],
        "keeps_seconds": body["settings"]["DisconnectTimeoutInSeconds"],
        "left_at": None,
    }
    place.commit(now=now, records={(SESSION, session_id): opened})
    return _show(session_id, opened)


def leave(place: Place, now: float, session_id: str) -> dict[str, Any]:
    """The user closes his window; the session ends after the fleet's disconnect time-out."""
    session = existing(place, SESSION, session_id) | {"left_at": now}
    place.commit(now=now, records={(SESSION, session_id): session})
    return _show(session_id, session)


def of_fleet(place: Place, now: float, fleet: str) -> dict[str, dict[str, Any]]:
    """The sessions that still run on a fleet."""
    return {
        name: session
        for name, session in place.records(SESSION).items()
        if session["fleet"] == fleet and _runs(session, now)
    }


def expire_all(place: Place, now: float, fleet: str) -> None:
    place.commit(now=now, records={(SESSION, name): None for name in of_fleet(place, now, fleet)})


def describe_sessions(place: Place, now: float, request: Request) -> Answer:
    stack, fleet, user = request["StackName"], request["FleetName"], request.get("UserId")
    if user is not None and "AuthenticationType" not in request:
        raise AwsError(COMBINATION, "A UserId needs its AuthenticationType.")
    if not 1 <= request.get("Limit", 1) <= 50:
        raise AwsError(COMBINATION, "Limit must be from 1 to 50.")
    is_api = request.get("AuthenticationType", "API") == "API"
    found = [
        _show(name, session)
        for name, session in of_fleet(place, now, fleet).items()
        if session["stack"] == stack and user in (None, session["user"]) and is_api
    ]
    question = {"DescribeSessions": [stack, fleet, user, request.get("AuthenticationType")]}
    return page("Sessions", found, request, question=question, size=request.get("Limit", 20))


def expire_session(place: Place, now: float, request: Request) -> Answer:
    place.commit(now=now, records={(SESSION, request["SessionId"]): None})
    return {}


def _runs(session: Mapping[str, Any], now: float) -> bool:
    kept = session["left_at"] is None or now < session["left_at"] + session["keeps_seconds"]
    return kept and now < session["ends_at"]


def _show(name: str, session: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Id": name,
        "UserId": session["user"],
        "StackName": session["stack"],
        "FleetName": session["fleet"],
        "State": "ACTIVE",
        "ConnectionState": "CONNECTED" if session["left_at"] is None else "NOT_CONNECTED",
        "StartTime": session["began_at"],
        "MaxExpirationTime": session["ends_at"],
        "AuthenticationType": "API",
    }
