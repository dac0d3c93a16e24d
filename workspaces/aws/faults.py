"""What can go wrong with a call to AWS: one small family that says what is known about the effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)


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


class RoleNotAssumed(Unavailable):
    """Nothing happened, because the role of the provider account could not be assumed; the call itself was not made."""

    @classmethod
    def of(cls, error: ClientError) -> RoleNotAssumed:
        """The fault of an answer to AssumeRole, with AWS's own code in its words."""
        told = error.response["Error"]
        return cls("RoleNotAssumed", f"AssumeRole was refused with {told.get('Code')}: {told.get('Message')}")


class LimitReached(AwsError):
    """Nothing happened, because a quota of the AWS account, or AWS's capacity, is used up."""


class Invalid(AwsError):
    """Nothing happened, and asking again will not help."""


class TagsForbidden(Invalid):
    """Nothing happened, because the role may not read the tags of what is in the account."""


class NotFound(AwsError):
    """Nothing happened, because what was named is not there."""


class Exists(AwsError):
    """Nothing happened, because the directory user has a machine."""


class NotReady(AwsError):
    """Nothing happened, because what should serve it does not run."""


class UnknownOutcome(AwsError):
    """It may have happened: look before asking again."""


_FAULTS: dict[str, type[AwsError]] = {
    "ThrottlingException": Throttled,
    "Throttling": Throttled,
    "TooManyRequestsException": Throttled,
    "RequestLimitExceeded": Throttled,
    "OperationInProgressException": Throttled,
    "RequestLimitExceededException": Throttled,
    "ConcurrentModificationException": Throttled,
    "LimitExceededException": LimitReached,
    "ResourceNotAvailableException": NotReady,
    "STACK_NOT_FOUND": NotFound,
    "USER_NAME_NOT_FOUND": NotFound,
    "INTERNAL_ERROR": UnknownOutcome,
    "ResourceLimitExceededException": LimitReached,
    "ResourceLimitExceeded": LimitReached,
    "ResourceUnavailableException": LimitReached,
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
    "InternalServerException": UnknownOutcome,
    "InternalFailure": UnknownOutcome,
    "ServiceUnavailable": UnknownOutcome,
}

NO_ROOM = frozenset(code for code, family in _FAULTS.items() if family is LimitReached)
"""Codes with which AWS says that a quota or its capacity in the region is used up."""


FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
"""Codes with which AWS refuses a role that may not ask."""


@contextmanager
def reading_tags() -> Iterator[None]:
    """Tell a role that may not read tags from any other refusal."""
    try:
        yield
    except Invalid as error:
        if error.code not in FORBIDDEN:
            raise
        raise TagsForbidden(error.code, error.message) from error


@contextmanager
def translated(*, looking: bool = False) -> Iterator[None]:
    """Turn what boto3 raises into this module's family; a look that was cut off has changed nothing."""
    try:
        yield
    except ClientError as error:
        if error.operation_name == "AssumeRole":
            raise RoleNotAssumed.of(error) from error
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


def raise_failed(answer: Mapping[str, Any]) -> None:
    """Raise the fault of the first item that AWS refused in a batch; nothing when it took all."""
    for failed in answer.get("FailedRequests", ()):
        raise _fault(failed.get("ErrorCode", ""), failed.get("ErrorMessage", ""))


def raise_unassociated(answer: Mapping[str, Any]) -> None:
    """Raise the fault of the first association that AWS did not make or end; nothing when it took all."""
    for error in answer.get("errors", ()):
        raise _fault(error.get("ErrorCode", ""), error.get("ErrorMessage", ""))


def failed_items(answer: Mapping[str, Any], key: str) -> dict[str, AwsError]:
    """The faults of the items that AWS refused in a batch, by the value of `key` in each."""
    return {
        failed.get(key, ""): _fault(failed.get("ErrorCode", ""), failed.get("ErrorMessage", ""))
        for failed in answer.get("FailedRequests", ())
    }
