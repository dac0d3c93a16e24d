"""Fleets: created stopped, started and stopped over passing states, changed as their state allows."""

from collections.abc import Mapping
from typing import Any

from workspaces.simulator.applications import sessions
from workspaces.simulator.applications.common import (
    APPLICATION_FLEET,
    ASSOCIATION,
    COMBINATION,
    FLEET,
    PASSING,
    Answer,
    Request,
    arn,
    capacity,
    existing,
    listed,
    page,
    pair,
    pairs,
    require_new,
    state_at,
)
from workspaces.simulator.applications.images import find_image, image_arn
from workspaces.simulator.applications.tags import asked_tags, tag_id
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

IN_USE = "ResourceInUseException"
_DEFAULTS = {
    "FleetType": "ON_DEMAND",
    "MaxUserDurationInSeconds": 57_600,
    "DisconnectTimeoutInSeconds": 900,
    "IdleDisconnectTimeoutInSeconds": 0,
    "EnableDefaultInternetAccess": False,
    "StreamView": "APP",
}
_RANGES = {
    "MaxUserDurationInSeconds": (600, 432_000),
    "DisconnectTimeoutInSeconds": (60, 36_000),
    "IdleDisconnectTimeoutInSeconds": (60, 36_000),
}
_WHILE_RUNNING = {"Name", "DisplayName", "IdleDisconnectTimeoutInSeconds", "DisconnectTimeoutInSeconds"}
_WHILE_RUNNING_WITH_INSTANCES = _WHILE_RUNNING | {"ComputeCapacity", "ImageArn", "ImageName"}
_WHILE_RUNNING_ELASTIC = _WHILE_RUNNING | {"MaxConcurrentSessions", "SessionScriptS3Location", "UsbDeviceFilterStrings"}
_DELETABLE = {
    "VPC_CONFIGURATION": "VpcConfig",
    "DOMAIN_JOIN_INFO": "DomainJoinInfo",
    "IAM_ROLE_ARN": "IamRoleArn",
    "USB_DEVICE_FILTER_STRINGS": "UsbDeviceFilterStrings",
    "SESSION_SCRIPT_S3_LOCATION": "SessionScriptS3Location",
    "MAX_SESSIONS_PER_INSTANCE": "MaxSessionsPerInstance",
    "VOLUME_CONFIGURATION": "RootVolumeConfig",
}


def create_fleet(place: Place, now: float, request: Request) -> Answer:
    name = request["Name"]
    require_new(place, FLEET, name)
    settings = _DEFAULTS | _checked(place, {key: value for key, value in request.items() if key not in _NOT_KEPT})
    _require_shape(settings)
    body = {"settings": settings, "state": "STOPPED", "since": now, "until": None, "created_at": now}
    tags = {tag_id(FLEET, name): asked_tags(request)}
    place.commit(now=now, records={(FLEET, name): body}, tags=tags)
    return {"Fleet": show(place, now, name, body)}


_NOT_KEPT = {"Name", "Tags", "AttributesToDelete", "DeleteVpcConfig"}


def describe_fleets(place: Place, now: float, request: Request) -> Answer:
    names = request.get("Names")
    found = [show(place, now, name, body) for name, body in listed(place, FLEET, names)]
    return page("Fleets", found, request, question={"DescribeFleets": names})


def start_fleet(place: Place, now: float, request: Request) -> Answer:
    body = existing(place, FLEET, request["Name"])
    if state_at(body, now) != "STOPPED":
        raise AwsError("OperationNotPermittedException", f"The fleet {request['Name']} is {state_at(body, now)}.")
    return _enter(place, now, request["Name"], body, "STARTING")


def stop_fleet(place: Place, now: float, request: Request) -> Answer:
    body = existing(place, FLEET, request["Name"])
    if state_at(body, now) in {"STOPPED", "STOPPING"}:
        return {}
    sessions.expire_all(place, now, request["Name"])
    return _enter(place, now, request["Name"], body, "STOPPING")


def update_fleet(place: Place, now: float, request: Request) -> Answer:
    if "Name" not in request:
        raise AwsError(COMBINATION, "The name of the fleet is required.")
    name = request["Name"]
    body = existing(place, FLEET, name)
    _require_changeable(body, now, request)
    removed = {_DELETABLE[one] for one in request.get("AttributesToDelete", ()) if one in _DELETABLE}
    removed |= {"VpcConfig"} if request.get("DeleteVpcConfig") else set()
    if "VPC_CONFIGURATION_SECURITY_GROUP_IDS" in request.get("AttributesToDelete", ()):
        raise AwsError(COMBINATION, "Security groups are replaced with VpcConfig here.")
    kept = {key: value for key, value in body["settings"].items() if key not in removed}
    if "ImageName" in request or "ImageArn" in request:
        kept = {key: value for key, value in kept.items() if key not in {"ImageName", "ImageArn"}}
    wanted = {key: value for key, value in request.items() if key not in _NOT_KEPT}
    settings = kept | _checked(place, wanted)
    _require_shape(settings)
    body = body | {"settings": settings}
    place.commit(now=now, records={(FLEET, name): body})
    return {"Fleet": show(place, now, name, body)}


def delete_fleet(place: Place, now: float, request: Request) -> Answer:
    name = request["Name"]
    body = existing(place, FLEET, name)
    if state_at(body, now) != "STOPPED":
        raise AwsError(IN_USE, f"The fleet {name} is {state_at(body, now)}. To delete the fleet, you must stop it.")
    if any(fleet == name for fleet, _ in pairs(place, ASSOCIATION)):
        raise AwsError(
            IN_USE,
            f"The fleet {name} is associated with a stack. To delete the fleet, you must dissociate it from the stack.",
        )
    joined = [(fleet, arn) for fleet, arn in pairs(place, APPLICATION_FLEET) if fleet == name]
    ended = {(APPLICATION_FLEET, pair(fleet, arn)): None for fleet, arn in joined}
    place.commit(now=now, records=ended | {(FLEET, name): None}, tags={tag_id(FLEET, name): {}})
    return {}


def show(place: Place, now: float, name: str, body: Mapping[str, Any]) -> Answer:
    state, settings = state_at(body, now), body["settings"]
    wanted = capacity(settings)
    running = wanted if state == "RUNNING" else 0
    used = len(sessions.of_fleet(place, now, name)) if running else 0
    status = {"Desired": wanted, "Running": running, "InUse": used, "Available": max(0, running - used)}
    shown = {key: value for key, value in settings.items() if key != "ComputeCapacity"}
    return shown | {
        "Name": name,
        "Arn": arn(place, FLEET, name),
        "State": state,
        "ComputeCapacityStatus": status,
        "CreatedTime": body["created_at"],
        "FleetErrors": [],
    }


def _enter(place: Place, now: float, name: str, body: Mapping[str, Any], state: str) -> Answer:
    until = now + place.durations[f"FLEET_{state}"]
    place.commit(now=now, records={(FLEET, name): {**body, "state": state, "since": now, "until": until}})
    return {}


def _require_changeable(body: Mapping[str, Any], now: float, request: Request) -> None:
    state = state_at(body, now)
    if state in PASSING:
        raise AwsError(IN_USE, f"A fleet that is {state} cannot be updated.")
    is_elastic = body["settings"]["FleetType"] == "ELASTIC"
    allowed = _WHILE_RUNNING_ELASTIC if is_elastic else _WHILE_RUNNING_WITH_INSTANCES
    wrong = sorted(set(request) - allowed) if state == "RUNNING" else []
    if wrong:
        raise AwsError(IN_USE, f"The fleet must be stopped to update {', '.join(wrong)}.")


def _checked(place: Place, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as they are kept: the image by name and ARN; AwsError for values that AWS does not take."""
    for name, (lowest, highest) in _RANGES.items():
        value = settings.get(name, lowest)
        if not lowest <= value <= highest and not (name.startswith("Idle") and value == 0):
            raise AwsError(COMBINATION, f"{name} must be from {lowest} to {highest}.")
    if not settings.get("InstanceType", "stream.").startswith("stream."):
        raise AwsError("InvalidParameterCombinationException", f"No instance type {settings['InstanceType']}.")
    image = find_image(place, settings)
    return settings if image is None else settings | {"ImageName": image.name, "ImageArn": image_arn(place, image)}


def _require_shape(settings: Mapping[str, Any]) -> None:
    """What an Elastic fleet needs and may not have, and what the other types need and may not have."""
    is_elastic = settings["FleetType"] == "ELASTIC"
    needed = {"MaxConcurrentSessions", "VpcConfig"} if is_elastic else {"ComputeCapacity", "ImageName"}
    forbidden = {"ComputeCapacity", "DomainJoinInfo"} if is_elastic else {"MaxConcurrentSessions"}
    missing, wrong = sorted(needed - set(settings)), sorted(forbidden & set(settings))
    if missing or wrong:
        what = f"needs {', '.join(missing)}" if missing else f"cannot have {', '.join(wrong)}"
        raise AwsError(COMBINATION, f"A fleet of the type {settings['FleetType']} {what}.")
    if is_elastic and len(set(settings["VpcConfig"].get("SubnetIds", ()))) < 2:
        raise AwsError(COMBINATION, "An Elastic fleet needs at least two subnets.")
    wanted = settings.get("ComputeCapacity", {"DesiredInstances": 1})
    if len(wanted) != 1 or min(wanted.values()) < 0:
        raise AwsError(COMBINATION, "ComputeCapacity is either DesiredInstances or DesiredSessions, 0 or more.")
