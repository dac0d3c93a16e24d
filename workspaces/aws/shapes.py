"""What goes into the gateway and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


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
    volume_key: str = ""
    """Alias or ARN of the key for the volumes; empty = AWS's own for WorkSpaces."""


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
    operating_system: str = ""
    root_volume_gb: int = 0
    user_volume_gb: int = 0
    auto_stop_minutes: int = 0
    modifying: tuple[str, ...] = ()
    """What AWS is changing now: COMPUTE_TYPE, ROOT_VOLUME, USER_VOLUME."""
    protocols: tuple[str, ...] = ()
    """WSP is DCV's name on the wire, the other is PCOIP."""
    root_encrypted: bool = False
    user_encrypted: bool = False
    volume_key: str = ""
    """What the volumes are encrypted under, in the form in which AWS shows it: an alias or an ARN."""


@dataclass(frozen=True)
class Directory:
    """What a directory allows its machines and their users; True and ENABLED where AWS says so.

    What AWS does not show counts as allowed, because most of it is by AWS's own default.
    """

    directory_id: str
    has_internet_access: bool
    users_are_administrators: bool
    allows_zero_clients: bool
    """Zero clients speak PCoIP alone."""
    self_service: tuple[str, ...]
    """The permissions that are not DISABLED, by AWS's names."""


@dataclass(frozen=True)
class Connection:
    """When a person was last connected to a machine, and whether one is now."""

    provider_id: str
    is_connected: bool
    last_connected_at: datetime | None


@dataclass(frozen=True)
class StreamingUrl:
    """An address that opens a session, and until when it does."""

    url: str
    expires_at: datetime
