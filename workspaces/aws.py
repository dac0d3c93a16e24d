"""The gateway to AWS WorkSpaces: the only user of boto3 for machines.

Frozen dataclasses go in and out, and every fault is one of a small family that says what is known about the effect.
Nothing here retries: a call is made once, and the operation that made it decides what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from django.conf import settings

BATCH = 25
"""AWS takes at most this many machines in one call."""

OPERATION_TAG = "forge:operation"
WORKSPACE_TAG = "forge:workspace"


class AwsError(Exception):
    """A call that did not do what was asked; `code` is AWS's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Throttled(AwsError):
    """Nothing happened; ask again later."""


class Unavailable(AwsError):
    """Nothing happened, because AWS was not reached or our credentials were not taken; ask again later."""


class LimitReached(AwsError):
    """Nothing happened, because a quota of the AWS account is used up."""


class Invalid(AwsError):
    """Nothing happened, and asking again will not help."""


class NotFound(AwsError):
    """Nothing happened, because what was named is not there."""


class Exists(AwsError):
    """Nothing happened, because the directory user has a machine."""


class UnknownOutcome(AwsError):
    """It may have happened: look before asking again."""


_FAULTS: dict[str, type[AwsError]] = {
    "ThrottlingException": Throttled,
    "Throttling": Throttled,
    "TooManyRequestsException": Throttled,
    "RequestLimitExceeded": Throttled,
    "OperationInProgressException": Throttled,
    "ResourceLimitExceededException": LimitReached,
    "ResourceLimitExceeded": LimitReached,
    "ResourceNotFoundException": NotFound,
    "ResourceNotFound": NotFound,
    "ResourceExists": Exists,
    "ResourceAlreadyExistsException": Exists,
    "ExpiredToken": Unavailable,
    "ExpiredTokenException": Unavailable,
    "IncompleteSignature": Unavailable,
    "InvalidClientTokenId": Unavailable,
    "InvalidSignatureException": Unavailable,
    "MissingAuthenticationToken": Unavailable,
    "MissingAuthenticationTokenException": Unavailable,
    "RequestExpired": Unavailable,
    "SignatureDoesNotMatch": Unavailable,
    "UnrecognizedClientException": Unavailable,
    "InternalServerError": UnknownOutcome,
    "InternalFailure": UnknownOutcome,
    "ServiceUnavailable": UnknownOutcome,
}


@dataclass(frozen=True)
class Place:
    """Where to call: AWS region, and the account as its number; `is_simulated` needs no credentials.

    With `role_arn` the calls are made in that role, else with the credentials that boto3 finds by itself.
    """

    region: str
    account: str
    is_simulated: bool
    role_arn: str = ""


@dataclass(frozen=True)
class Known:
    """The two names of one machine: its id, and the directory user whom it belongs to."""

    provider_id: str
    directory_id: str
    user_name: str


@dataclass(frozen=True)
class NewMachine:
    """What CreateWorkspaces is asked for."""

    directory_id: str
    user_name: str
    bundle_id: str
    bundle_type: str
    running_mode: str
    auto_stop_minutes: int
    operation_id: str
    workspace_id: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """A machine as DescribeWorkspaces shows it; `state` is AWS's word."""

    provider_id: str
    directory_id: str
    user_name: str
    state: str
    bundle_id: str
    bundle_type: str
    running_mode: str
    ip_address: str | None
    error: str


@dataclass(frozen=True)
class Connection:
    """When a person was last connected to a machine, and whether one is now."""

    provider_id: str
    is_connected: bool
    last_connected_at: datetime | None


class Gateway:
    """WorkSpaces in one account and region; `before_call` is called before each call, which may be slow.

    Raises Unavailable when there are no credentials to call with.
    """

    def __init__(self, place: Place, *, before_call: Callable[[], None] = lambda: None) -> None:
        self._client = _client(place, settings.AWS_ENDPOINT_URL)
        self._before_call = before_call

    def find(self, *, directory_id: str, user_name: str) -> Machine | None:
        """The machine of a directory user that has not ended, or None. Raises Throttled, Unavailable, Invalid."""
        with self._call(looking=True):
            answer = self._client.describe_workspaces(DirectoryId=directory_id, UserName=user_name)
        machines = [_machine(row) for row in answer["Workspaces"]]
        return next((machine for machine in machines if machine.state != "TERMINATED"), None)

    def describe(self, provider_ids: Sequence[str]) -> dict[str, Machine]:
        """The machines with these ids, by id, in as few calls as AWS allows; what is gone is left out."""
        found: dict[str, Machine] = {}
        for batch in _batches(provider_ids):
            with self._call(looking=True):
                answer = self._client.describe_workspaces(WorkspaceIds=batch)
            found |= {row["WorkspaceId"]: _machine(row) for row in answer["Workspaces"]}
        return found

    def look(self, known: Known) -> Machine | None:
        """One machine by its id; None only when a look by its directory user does not show it either.

        Absence is believed twice because it ends the machine's books for good.
        """
        seen = self.describe([known.provider_id]).get(known.provider_id)
        if seen is None:
            found = self.find(directory_id=known.directory_id, user_name=known.user_name)
            seen = found if found is not None and found.provider_id == known.provider_id else None
        return seen

    def connections(self, provider_ids: Sequence[str]) -> dict[str, Connection]:
        """The connection status of machines by id."""
        found: dict[str, Connection] = {}
        for batch in _batches(provider_ids):
            with self._call(looking=True):
                answer = self._client.describe_workspaces_connection_status(WorkspaceIds=batch)
            for row in answer["WorkspacesConnectionStatus"]:
                found[row["WorkspaceId"]] = Connection(
                    provider_id=row["WorkspaceId"],
                    is_connected=row.get("ConnectionState") == "CONNECTED",
                    last_connected_at=row.get("LastKnownUserConnectionTimestamp"),
                )
        return found

    def tags(self, provider_id: str) -> dict[str, str]:
        """The tags of a machine."""
        with self._call(looking=True):
            answer = self._client.describe_tags(ResourceId=provider_id)
        return {tag["Key"]: tag.get("Value", "") for tag in answer["TagList"]}

    def registration_code(self, directory_id: str) -> str:
        """What people type into the WorkSpaces client to reach the directory; empty when AWS has none."""
        with self._call(looking=True):
            answer = self._client.describe_workspace_directories(DirectoryIds=[directory_id])
        return next((row.get("RegistrationCode", "") for row in answer["Directories"]), "")

    def create(self, wanted: NewMachine) -> Machine:
        """Ask for a machine; it is PENDING at first.

        Raises any of the family; UnknownOutcome when it may have been made, Exists when the user has one.
        """
        properties: dict[str, Any] = {
            "RunningMode": wanted.running_mode,
            "ComputeTypeName": wanted.bundle_type,
            "Protocols": ["WSP"],  # DCV's name on the wire
        }
        if wanted.running_mode == "AUTO_STOP":
            properties["RunningModeAutoStopTimeoutInMinutes"] = auto_stop_step(wanted.auto_stop_minutes)
        tags = {**wanted.tags, OPERATION_TAG: wanted.operation_id, WORKSPACE_TAG: wanted.workspace_id}
        with self._call():
            answer = self._client.create_workspaces(
                Workspaces=[
                    {
                        "DirectoryId": wanted.directory_id,
                        "UserName": wanted.user_name,
                        "BundleId": wanted.bundle_id,
                        "WorkspaceProperties": properties,
                        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
                    }
                ]
            )
        _raise_failed(answer)
        if not answer.get("PendingRequests"):
            raise UnknownOutcome("EmptyAnswer", "AWS neither took the request nor refused it")
        return _machine(answer["PendingRequests"][0])

    def start(self, provider_id: str) -> None:
        """Ask a stopped machine to start."""
        with self._call():
            answer = self._client.start_workspaces(StartWorkspaceRequests=[{"WorkspaceId": provider_id}])
        _raise_failed(answer)

    def stop(self, provider_id: str) -> None:
        """Ask a running AutoStop machine to stop."""
        with self._call():
            answer = self._client.stop_workspaces(StopWorkspaceRequests=[{"WorkspaceId": provider_id}])
        _raise_failed(answer)

    def terminate(self, provider_id: str) -> None:
        """Ask for the end of a machine and its data."""
        with self._call():
            answer = self._client.terminate_workspaces(TerminateWorkspaceRequests=[{"WorkspaceId": provider_id}])
        _raise_failed(answer)

    @contextmanager
    def _call(self, *, looking: bool = False) -> Iterator[None]:
        self._before_call()
        with _faults(looking=looking):
            yield


def auto_stop_step(minutes: int) -> int:
    """The next multiple of 60 minutes, which is how AWS counts AutoStop times."""
    return -(-minutes // 60) * 60


@lru_cache(maxsize=64)
def _client(place: Place, endpoint_url: str | None) -> Any:
    """One client per place and process; boto3 clients may be shared by threads.

    Raises Unavailable for a simulated place without an endpoint: its requests must not go to the real AWS.
    """
    if place.is_simulated and endpoint_url is None:
        raise Unavailable("NoSimulator", "AWS_ENDPOINT_URL is not set, so there is no simulator to call")
    with _faults(looking=True):
        return _session(place, endpoint_url).client(
            "workspaces",
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=settings.FORGE_AWS_CONNECT_TIMEOUT,
                read_timeout=settings.FORGE_AWS_READ_TIMEOUT,
                retries={"total_max_attempts": 1},
                max_pool_connections=32,
            ),
        )


def _session(place: Place, endpoint_url: str | None) -> boto3.session.Session:
    if place.is_simulated:
        return boto3.session.Session(
            region_name=place.region,
            aws_access_key_id=place.account,
            aws_secret_access_key="simulator",  # noqa: S106 - it opens nothing
        )
    own = boto3.session.Session(region_name=place.region)
    if not place.role_arn:
        return own
    source = own.get_credentials()
    if source is None:
        raise Unavailable("NoCredentialsError", f"There are no credentials with which to assume {place.role_arn}")
    core = botocore.session.Session()
    # botocore has no public way to set credentials that refresh themselves.
    core._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        method="assume-role",
        refresh_using=AssumeRoleCredentialFetcher(
            client_creator=partial(own._session.create_client, endpoint_url=endpoint_url),
            source_credentials=source,
            role_arn=place.role_arn,
            extra_args={"RoleSessionName": "robco-forge"},
        ).fetch_credentials,
    )
    return boto3.session.Session(botocore_session=core, region_name=place.region)


@contextmanager
def _faults(*, looking: bool = False) -> Iterator[None]:
    """Turn what boto3 raises into this module's family; a look that was cut off has changed nothing."""
    try:
        yield
    except ClientError as error:
        fault = _fault(
            error.response["Error"].get("Code", ""),
            error.response["Error"].get("Message", ""),
            status=error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        )
        if looking and isinstance(fault, UnknownOutcome):
            raise Unavailable(fault.code, fault.message) from error
        raise fault from error
    except (ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, PartialCredentialsError) as error:
        raise Unavailable(type(error).__name__, str(error)) from error
    except ParamValidationError as error:
        raise Invalid(type(error).__name__, str(error)) from error
    except BotoCoreError as error:
        raise (Unavailable if looking else UnknownOutcome)(type(error).__name__, str(error)) from error


def _fault(code: str, message: str, *, status: int = 400) -> AwsError:
    family = _FAULTS.get(code) or _FAULTS.get(code.partition(".")[0])
    if family is None:
        family = UnknownOutcome if status >= 500 else Invalid
    return family(code, message)


def _raise_failed(answer: Mapping[str, Any]) -> None:
    for failed in answer.get("FailedRequests", ()):
        raise _fault(failed.get("ErrorCode", ""), failed.get("ErrorMessage", ""))


def _machine(row: Mapping[str, Any]) -> Machine:
    properties = row.get("WorkspaceProperties", {})
    return Machine(
        provider_id=row["WorkspaceId"],
        directory_id=row.get("DirectoryId", ""),
        user_name=row.get("UserName", ""),
        state=row.get("State", ""),
        bundle_id=row.get("BundleId", ""),
        bundle_type=properties.get("ComputeTypeName", ""),
        running_mode=properties.get("RunningMode", ""),
        ip_address=row.get("IpAddress"),
        error=" ".join(filter(None, (row.get("ErrorCode"), row.get("ErrorMessage")))),
    )


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH):
        yield list(ids[start : start + BATCH])
