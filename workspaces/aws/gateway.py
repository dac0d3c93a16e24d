"""The gateway to AWS WorkSpaces.

Frozen dataclasses go in and out, and every fault is one of the family in `workspaces.aws.faults`. A call is
made once, and the operation that made it decides what comes next; jobs that look at whole accounts bring patience.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from workspaces.aws.clients import client_of
from workspaces.aws.faults import AwsError, UnknownOutcome, failed_items, raise_failed
from workspaces.aws.patience import Patience
from workspaces.aws.shapes import Connection, Directory, Known, Machine, NewMachine, Place
from workspaces.aws.tags import Tags, tag_list
from workspaces.capabilities import PERSONAL
from workspaces.tagging.wanted import OPERATION, WORKSPACE

BATCH = 25
"""AWS takes at most this many machines in one call."""

DEFAULT_KEY = "alias/aws/workspaces"
"""The key that AWS keeps in each account and region for volumes of WorkSpaces."""

SELF_SERVICE = ("RestartWorkspace", "IncreaseVolumeSize", "ChangeComputeType", "SwitchRunningMode", "RebuildWorkspace")
"""What a directory may let people do to their machines from the client, past Forge."""

_PROPERTIES = {
    "bundle_type": "ComputeTypeName",
    "running_mode": "RunningMode",
    "auto_stop_timeout_minutes": "RunningModeAutoStopTimeoutInMinutes",
    "root_volume_gb": "RootVolumeSizeGib",
    "user_volume_gb": "UserVolumeSizeGib",
}
"""What AWS calls the fields of a configuration."""

_BATCHED = {
    "start": ("start_workspaces", "StartWorkspaceRequests"),
    "stop": ("stop_workspaces", "StopWorkspaceRequests"),
    "reboot": ("reboot_workspaces", "RebootWorkspaceRequests"),
    "terminate": ("terminate_workspaces", "TerminateWorkspaceRequests"),
}
"""What takes many machines in one call, and under which name."""


class Gateway(Tags):
    """WorkSpaces Personal in one account and region; `before_call` is called before each call, which may be slow.

    Raises Unavailable when there are no credentials to call with.
    """

    capabilities = PERSONAL

    def __init__(
        self, place: Place, *, before_call: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> None:
        super().__init__(place, before_call=before_call, patience=patience)
        self._client = client_of(place, settings.AWS_ENDPOINT_URL)
        self._tagging = client_of(place, settings.AWS_ENDPOINT_URL, "resourcegroupstaggingapi")

    def find(self, *, directory_id: str, user_name: str) -> Machine | None:
        """The machine of a directory user that has not ended, or None. Raises Throttled, Unavailable, Invalid."""
        answer = self._look(self._client.describe_workspaces, DirectoryId=directory_id, UserName=user_name)
        machines = [_machine(row) for row in answer["Workspaces"]]
        return next((machine for machine in machines if machine.state != "TERMINATED"), None)

    def describe(self, provider_ids: Sequence[str]) -> dict[str, Machine]:
        """The machines with these ids, by id, in as few calls as AWS allows; what is gone is left out."""
        found: dict[str, Machine] = {}
        for batch in _batches(provider_ids):
            answer = self._look(self._client.describe_workspaces, WorkspaceIds=batch)
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

    def listed(self, directory_id: str) -> Iterator[list[Machine]]:
        """Every machine of a directory, a page of at most 25 at a time, whoever made it."""
        question: dict[str, Any] = {"DirectoryId": directory_id, "Limit": BATCH}
        while True:
            answer = self._look(self._client.describe_workspaces, **question)
            yield [_machine(row) for row in answer["Workspaces"]]
            if not answer.get("NextToken"):
                return
            question["NextToken"] = answer["NextToken"]

    def connections(self, provider_ids: Sequence[str]) -> dict[str, Connection]:
        """The connection status of machines by id."""
        found: dict[str, Connection] = {}
        for batch in _batches(provider_ids):
            answer = self._look(self._client.describe_workspaces_connection_status, WorkspaceIds=batch)
            for row in answer["WorkspacesConnectionStatus"]:
                found[row["WorkspaceId"]] = Connection(
                    provider_id=row["WorkspaceId"],
                    is_connected=row.get("ConnectionState") == "CONNECTED",
                    last_connected_at=row.get("LastKnownUserConnectionTimestamp"),
                )
        return found

    def registration_code(self, directory_id: str) -> str:
        """What people type into the WorkSpaces client to reach the directory; empty when AWS has none."""
        answer = self._look(self._client.describe_workspace_directories, DirectoryIds=[directory_id])
        return next((row.get("RegistrationCode", "") for row in answer["Directories"]), "")

    def has_place(self, directory_id: str) -> bool:
        """Whether AWS shows the directory to whom we are there."""
        return directory_id in self.directories([directory_id])

    def directories(self, directory_ids: Sequence[str]) -> dict[str, Directory]:
        """What directories allow, by id, in as few calls as AWS allows; what is gone is left out."""
        found: dict[str, Directory] = {}
        for batch in _batches(directory_ids):
            answer = self._look(self._client.describe_workspace_directories, DirectoryIds=batch)
            found |= {row["DirectoryId"]: _directory(row) for row in answer["Directories"]}
        return found

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
        tags = {**wanted.tags, OPERATION: wanted.operation_id, WORKSPACE: wanted.workspace_id}
        with self._call():
            answer = self._client.create_workspaces(
                Workspaces=[
                    {
                        "DirectoryId": wanted.directory_id,
                        "UserName": wanted.user_name,
                        "BundleId": wanted.bundle_id,
                        "WorkspaceProperties": properties,
                        "VolumeEncryptionKey": wanted.volume_key or DEFAULT_KEY,
                        "RootVolumeEncryptionEnabled": True,
                        "UserVolumeEncryptionEnabled": True,
                        "Tags": tag_list(tags),
                    }
                ]
            )
        raise_failed(answer)
        if not answer.get("PendingRequests"):
            raise UnknownOutcome("EmptyAnswer", "AWS neither took the request nor refused it")
        return _machine(answer["PendingRequests"][0])

    def start(self, provider_id: str) -> None:
        """Ask a stopped machine to start."""
        with self._call():
            answer = self._client.start_workspaces(StartWorkspaceRequests=[{"WorkspaceId": provider_id}])
        raise_failed(answer)

    def stop(self, provider_id: str) -> None:
        """Ask a running AutoStop machine to stop."""
        with self._call():
            answer = self._client.stop_workspaces(StopWorkspaceRequests=[{"WorkspaceId": provider_id}])
        raise_failed(answer)

    def modify(self, provider_id: str, wanted: Mapping[str, Any]) -> None:
        """Ask for other properties of a machine; `wanted` has our names of the fields and their new values."""
        properties = {_PROPERTIES[name]: value for name, value in wanted.items()}
        minutes = properties.get("RunningModeAutoStopTimeoutInMinutes")
        if minutes is not None:
            properties["RunningModeAutoStopTimeoutInMinutes"] = auto_stop_step(minutes)
        self._ask(self._client.modify_workspace_properties, WorkspaceId=provider_id, WorkspaceProperties=properties)

    def reboot(self, provider_id: str) -> None:
        """Ask a running machine to boot again."""
        with self._call():
            answer = self._client.reboot_workspaces(RebootWorkspaceRequests=[{"WorkspaceId": provider_id}])
        raise_failed(answer)

    def rebuild(self, provider_id: str) -> None:
        """Ask for a new system volume from the image, and the user volume of the last snapshot."""
        with self._call():
            answer = self._client.rebuild_workspaces(RebuildWorkspaceRequests=[{"WorkspaceId": provider_id}])
        raise_failed(answer)

    def restore(self, provider_id: str) -> None:
        """Ask for both volumes of the last snapshot."""
        with self._call():
            self._client.restore_workspace(WorkspaceId=provider_id)

    def restore_points(self, provider_id: str) -> list[datetime]:
        """The times of the snapshots that a restore may use."""
        answer = self._look(self._client.describe_workspace_snapshots, WorkspaceId=provider_id)
        return [row["SnapshotTime"] for row in answer.get("RestoreSnapshots", ()) if "SnapshotTime" in row]

    def terminate(self, provider_id: str) -> None:
        """Ask for the end of a machine and its data."""
        with self._call():
            answer = self._client.terminate_workspaces(TerminateWorkspaceRequests=[{"WorkspaceId": provider_id}])
        raise_failed(answer)

    def ask_many(self, verb: str, provider_ids: Sequence[str]) -> dict[str, AwsError]:
        """Ask for the same of up to BATCH machines in one call; the faults of those that AWS refused, by id.

        `verb` is start, stop, reboot or terminate. Raises what a call for one raises when none was taken.
        """
        name, member = _BATCHED[verb]
        with self._call():
            answer = getattr(self._client, name)(**{member: [{"WorkspaceId": one} for one in provider_ids]})
        return failed_items(answer, "WorkspaceId")


def auto_stop_step(minutes: int) -> int:
    """The next multiple of 60 minutes, which is how AWS counts AutoStop times."""
    return -(-minutes // 60) * 60


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
        operating_system=properties.get("OperatingSystemName", ""),
        root_volume_gb=properties.get("RootVolumeSizeGib", 0),
        user_volume_gb=properties.get("UserVolumeSizeGib", 0),
        auto_stop_minutes=properties.get("RunningModeAutoStopTimeoutInMinutes", 0),
        modifying=tuple(change.get("Resource", "") for change in row.get("ModificationStates", ())),
        protocols=tuple(properties.get("Protocols", ())),
        root_encrypted=row.get("RootVolumeEncryptionEnabled", False),
        user_encrypted=row.get("UserVolumeEncryptionEnabled", False),
        volume_key=row.get("VolumeEncryptionKey", ""),
    )


def _directory(row: Mapping[str, Any]) -> Directory:
    creation = row.get("WorkspaceCreationProperties", {})
    permissions = row.get("SelfservicePermissions", {})
    access = row.get("WorkspaceAccessProperties", {})
    return Directory(
        directory_id=row["DirectoryId"],
        has_internet_access=creation.get("EnableInternetAccess", True),
        users_are_administrators=creation.get("UserEnabledAsLocalAdministrator", True),
        allows_zero_clients=access.get("DeviceTypeZeroClient") != "DENY",
        self_service=tuple(name for name in SELF_SERVICE if permissions.get(name) != "DISABLED"),
    )


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH):
        yield list(ids[start : start + BATCH])
