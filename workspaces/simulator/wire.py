"""An AWS call from its headers and body to its answer: who asks whom for what, and what goes wrong on the way."""

import re
import time
from collections.abc import Mapping
from email.message import Message
from typing import Any
from urllib.parse import parse_qs

from workspaces.simulator import sts
from workspaces.simulator.errors import AwsError
from workspaces.simulator.faults import Call, Strike
from workspaces.simulator.protocols import Answer, Json, Query
from workspaces.simulator.services import BY_TARGET, BY_VERSION, Service
from workspaces.simulator.shape import checked
from workspaces.simulator.world import World

DEFAULT_ACCOUNT = "123456789012"
UNKNOWN = Json()

_CREDENTIAL = re.compile(r"^AWS4-HMAC-SHA256 +Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request[, ]")
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
_ACCOUNT = re.compile(r"^\d{12}$")

Headers = Message | Mapping[str, str]


def answer(world: World, headers: Headers, body: bytes) -> Answer:
    """Carry out one AWS call; every refusal is an AWS error document."""
    protocol: Json | Query = UNKNOWN
    try:
        service, operation = _addressed(headers, body)
        protocol = service.protocol if service else UNKNOWN
        if service is None or operation not in service.handlers:
            raise AwsError(protocol.unknown_operation, f"The operation {operation} is not known.")
        account, region = _caller(headers, service)
        call = Call(service.signing_name, operation, account, region)
        request = checked(service.inputs[operation], protocol.request(body, service.inputs[operation]))
        with world.lock:
            return _carried_out(world, service, call, request)
    except AwsError as error:
        return protocol.refusal(error)


def _carried_out(world: World, service: Service, call: Call, request: dict[str, Any]) -> Answer:
    now = world.clock.now()
    world.traffic.take(call, now)
    strike = world.faults.strike(call)
    lost = strike.lost("timeout_before")
    if lost is not None:
        return Answer(0, b"", {}, lost_after_seconds=lost)
    try:
        strike.refuse(call)
        given = service.protocol.answer(call.operation, _result(world, service, call, request, strike, now))
    except AwsError as error:
        given = service.protocol.refusal(error)
    lost = strike.lost("timeout_after")
    return given if lost is None else Answer(0, b"", {}, lost_after_seconds=lost)


def _result(
    world: World, service: Service, call: Call, request: dict[str, Any], strike: Strike, now: float
) -> dict[str, Any]:
    place = world.place(call.account, call.region)
    request, failed = strike.split(call, request)
    with place.under(strike.effects):
        result = service.handlers[call.operation](place, now, request)
    for member, items in failed.items():
        result[member] = [*result.get(member, ()), *items]
    return result


def is_aws_call(headers: Headers) -> bool:
    """Whether a request claims to be an AWS call, which the control endpoints refuse."""
    return "X-Amz-Target" in headers or headers.get("Authorization", "").startswith("AWS4-")


def _addressed(headers: Headers, body: bytes) -> tuple[Service | None, str]:
    """The service and the operation that are asked for, by X-Amz-Target or by the form of the query protocol."""
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(body.decode(errors="replace"))
        return BY_VERSION.get(form.get("Version", [""])[0]), form.get("Action", [""])[0]
    prefix, _, operation = headers.get("X-Amz-Target", "").partition(".")
    return BY_TARGET.get(prefix), operation


def _caller(headers: Headers, service: Service) -> tuple[str, str]:
    """Account and region of the signer; the signature is not verified, the scope and temporary credentials are."""
    authorization = headers.get("Authorization", "")
    if not authorization:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", status=403)
    scope = _CREDENTIAL.match(authorization)
    if scope is None:
        raise AwsError("IncompleteSignatureException", "The Authorization header has no credential scope.")
    access_key, _, region, signing_name = scope.groups()
    if signing_name != service.signing_name:
        raise AwsError(
            "InvalidSignatureException",
            f"Credential should be scoped to correct service: '{service.signing_name}'.",
            status=403,
        )
    if not _REGION.match(region):
        raise AwsError("InvalidSignatureException", "Credential should be scoped to a valid region.", status=403)
    assumed = sts.account_of(access_key, headers.get("X-Amz-Security-Token"), time.time())
    return assumed or (access_key if _ACCOUNT.match(access_key) else DEFAULT_ACCOUNT), region
