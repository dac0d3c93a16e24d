"""AWS for machines: the only part of this room that talks to boto3."""

from workspaces.aws.faults import (
    NO_ROOM,
    AwsError,
    Exists,
    Invalid,
    LimitReached,
    NotFound,
    Throttled,
    Unavailable,
    UnknownOutcome,
)
from workspaces.aws.gateway import BATCH, OPERATION_TAG, WORKSPACE_TAG, Gateway, auto_stop_step
from workspaces.aws.shapes import Connection, Known, Machine, NewMachine, Place

__all__ = [
    "BATCH",
    "NO_ROOM",
    "OPERATION_TAG",
    "WORKSPACE_TAG",
    "AwsError",
    "Connection",
    "Exists",
    "Gateway",
    "Invalid",
    "Known",
    "LimitReached",
    "Machine",
    "NewMachine",
    "NotFound",
    "Place",
    "Throttled",
    "Unavailable",
    "UnknownOutcome",
    "auto_stop_step",
]
