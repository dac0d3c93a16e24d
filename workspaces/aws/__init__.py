"""AWS for machines: the only part of this room that talks to boto3."""

from workspaces.aws.faults import (
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
from workspaces.aws.metrics import Figures, Metrics
from workspaces.aws.shapes import Connection, Known, Machine, NewMachine, Place

__all__ = [
    "BATCH",
    "OPERATION_TAG",
    "WORKSPACE_TAG",
    "AwsError",
    "Connection",
    "Exists",
    "Figures",
    "Gateway",
    "Invalid",
    "Known",
    "LimitReached",
    "Machine",
    "Metrics",
    "NewMachine",
    "NotFound",
    "Place",
    "Throttled",
    "Unavailable",
    "UnknownOutcome",
    "auto_stop_step",
]
