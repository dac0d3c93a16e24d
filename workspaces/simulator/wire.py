"""The AWS JSON 1.1 protocol: from headers and body to an operation, and from its answer or refusal to bytes."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from workspaces.simulator import operations as op
from workspaces.simulator.create import create_workspaces
from workspaces.simulator.errors import AwsError
from workspaces.simulator.inputs import TAGGING, WORKSPACES
from workspaces.simulator.shape import Structure, checked
from workspaces.simulator.tagging import get_resources
from workspaces.simulator.world import Place, World

CONTENT_TYPE = "application/x-amz-json-1.1"
DEFAULT_ACCOUNT = "123456789012"

_CREDENTIAL = re.compile(r"^AWS4-HMAC-SHA256 +Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request[, ]")
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
_ACCOUNT = re.compile(r"^\d{12}$")

Headers = Message | Mapping[str, str]
Handler = Callable[[Place, float, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Service:
    signing_name: str
    message_member: str
    inputs: Mapping[str, Structure]
    handlers: Mapping[str, Handler]


SERVICES = {
    "WorkspacesService": _Service(
        "workspaces",
        "message",
        WORKSPACES,
        {
            "CreateWorkspaces": create_workspaces,
            "DescribeWorkspaces": op.describe_workspaces,
            "StartWorkspaces": op.start_workspaces,
            "StopWorkspaces": op.stop_workspaces,
            "RebootWorkspaces": op.reboot_workspaces,
            "TerminateWorkspaces": op.terminate_workspaces,
            "ModifyWorkspaceProperties": op.modify_workspace_properties,
            "DescribeWorkspacesConnectionStatus": op.describe_workspaces_connection_status,
            "DescribeWorkspaceBundles": op.describe_workspace_bundles,
            "DescribeWorkspaceDirectories": op.describe_workspace_directories,
            "CreateTags": op.create_tags,
            "DescribeTags": op.describe_tags,
        },
    ),
    "ResourceGroupsTaggingAPI_20170126": _Service("tagging", "Message", TAGGING, {"GetResources": get_resources}),
}


def answer(world: World, headers: Headers, body: bytes) -> Answer:
    """Carry out one AWS call; every refusal is an AWS error document."""
    prefix, _, name = headers.get("X-Amz-Target", "").partition(".")
    service = SERVICES.get(prefix)
    try:
        if service is None or name not in service.handlers:
            raise AwsError("UnknownOperationException", f"The operation {prefix}.{name} is not known.")
        account, region = _caller(headers.get("Authorization", ""), service)
        request = checked(service.inputs[name], _parsed(body))
        with world.lock:
            result = service.handlers[name](world.place(account, region), world.clock.now(), request)
    except AwsError as error:
        member = service.message_member if service else "message"
        return _answer(error.status, {"__type": error.code, member: error.message}, error.code)
    return _answer(200, result)


def is_aws_call(headers: Headers) -> bool:
    """Whether a request claims to be an AWS call, which the control endpoints refuse."""
    return "X-Amz-Target" in headers or headers.get("Authorization", "").startswith("AWS4-")


def _caller(authorization: str, service: _Service) -> tuple[str, str]:
    """Account and region of the signer; the signature is not verified, the scope is."""
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
    return access_key if _ACCOUNT.match(access_key) else DEFAULT_ACCOUNT, region


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", "The request body is not valid JSON.") from error


def _answer(status: int, document: Mapping[str, Any], error: str | None = None) -> Answer:
    headers = {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())}
    if error is not None:
        headers["x-amzn-ErrorType"] = error
    return Answer(status, json.dumps(document).encode(), headers)
