"""AWS for machines: the only part of this room that talks to boto3."""

from workspaces.aws.applications import ApplicationsGateway, StackLook, machine_id
from workspaces.aws.faults import (
    FORBIDDEN,
    NO_ROOM,
    AwsError,
    Exists,
    Invalid,
    LimitReached,
    NotFound,
    NotReady,
    RoleNotAssumed,
    TagsForbidden,
    Throttled,
    Unavailable,
    UnknownOutcome,
)
from workspaces.aws.gateway import BATCH, DEFAULT_KEY, Gateway, auto_stop_step
from workspaces.aws.metrics import Figures, Metrics
from workspaces.aws.patience import Patience
from workspaces.aws.provider import Provider, provider_of
from workspaces.aws.shapes import Connection, Directory, Known, Machine, NewMachine, Place, StreamingUrl
from workspaces.aws.sizes import system_of
from workspaces.aws.stacks import Stack, StackCatalogue

__all__ = [
    "BATCH",
    "DEFAULT_KEY",
    "FORBIDDEN",
    "NO_ROOM",
    "ApplicationsGateway",
    "AwsError",
    "Connection",
    "Directory",
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
    "NotReady",
    "Patience",
    "Place",
    "Provider",
    "RoleNotAssumed",
    "Stack",
    "StackCatalogue",
    "StackLook",
    "StreamingUrl",
    "TagsForbidden",
    "Throttled",
    "Unavailable",
    "UnknownOutcome",
    "auto_stop_step",
    "machine_id",
    "provider_of",
    "system_of",
]
