"""CreateWorkspaces: each request of a batch is taken or refused by itself, under the world's lock."""

from collections.abc import Mapping
from typing import Any

from workspaces.simulator import catalog
from workspaces.simulator.catalog import Bundle
from workspaces.simulator.errors import AwsError
from workspaces.simulator.machine import Machine
from workspaces.simulator.modify import INVALID, check_volumes, running_mode
from workspaces.simulator.tags import check_tags
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
QUOTA = "WorkSpaces"
UNSUPPORTED = "UnsupportedWorkspaceConfigurationException"


def create_workspaces(place: Place, now: float, request: Request) -> dict[str, Any]:
    _require_quota(place, now, 0)
    created: list[Machine] = []
    tags: dict[str, dict[str, str]] = {}
    failures = []
    for item in request["Workspaces"]:
        wanted_tags = check_tags(item.get("Tags", ()), already={})
        try:
            _require_quota(place, now, len(created))
            machine = make(place, now, item, created)
        except AwsError as error:
            failures.append({"WorkspaceRequest": item, "ErrorCode": error.code, "ErrorMessage": error.message})
            continue
        created.append(machine)
        if wanted_tags:
            tags[machine.workspace_id] = wanted_tags
    place.commit(now=now, machines=created, tags=tags)
    return {"FailedRequests": failures, "PendingRequests": [_pending(machine) for machine in created]}


def make(place: Place, now: float, item: Request, batch: list[Machine]) -> Machine:
    """The machine that is asked for, not yet committed; `batch` are those before it in the same call; AwsError."""
    bundle = _bundle(place, item)
    properties = item.get("WorkspaceProperties", {})
    _check_properties(properties, bundle)
    mode, minutes = running_mode(properties, current="ALWAYS_ON", current_minutes=None)
    root = properties.get("RootVolumeSizeGib", bundle.root_gib)
    user = properties.get("UserVolumeSizeGib", bundle.user_gib)
    if (root, user) != (bundle.root_gib, bundle.user_gib):
        check_volumes(root, user)
    _require_free_user(place, now, item, batch)
    return Machine(
        workspace_id=place.new_id(),
        account=place.account,
        region=place.region,
        position=len(place) + len(batch),
        directory_id=item["DirectoryId"],
        user_name=item["UserName"],
        bundle_id=bundle.bundle_id,
        created_at=now,
        state="PENDING",
        since=now,
        until=now + place.durations["PENDING"],
        running_mode=mode,
        auto_stop_minutes=minutes,
        root_gib=root,
        user_gib=user,
        compute_type=bundle.compute_type,
        operating_system=bundle.image.operating_system,
        protocol="WSP",
        volume_encryption_key=item.get("VolumeEncryptionKey"),
        user_volume_encrypted=item.get("UserVolumeEncryptionEnabled"),
        root_volume_encrypted=item.get("RootVolumeEncryptionEnabled"),
    )


def _bundle(place: Place, item: Request) -> Bundle:
    if item["DirectoryId"] not in catalog.directory_numbers(place.region) or not place.shows(item["DirectoryId"]):
        raise AwsError(
            "ResourceNotFound.Directory", "The specified directory could not be found in the specified region."
        )
    bundle = catalog.bundles(place.region).get(item["BundleId"])
    if bundle is None:
        raise AwsError("ResourceNotFound.Bundle", "The specified bundle could not be found in the specified region.")
    if not catalog.has_user(item["UserName"]):
        raise AwsError("ResourceNotFound.User", "The specified user could not be found in the directory.")
    return bundle


def _check_properties(properties: Request, bundle: Bundle) -> None:
    fixed = {"ComputeTypeName": bundle.compute_type, "OperatingSystemName": bundle.image.operating_system}
    for name, value in fixed.items():
        if properties.get(name, value) != value:
            raise AwsError(INVALID, f"{name} {properties[name]} is not that of the bundle, {value}.")
    if properties.get("Protocols", ["WSP"]) != ["WSP"]:
        raise AwsError(INVALID, "The bundle offers the protocol WSP only.")
    for name in ("GlobalAccelerator", "NestedVirtualizationEnabled"):
        if name in properties:
            raise AwsError(UNSUPPORTED, f"{name} is not offered.")


def _require_free_user(place: Place, now: float, item: Request, batch: list[Machine]) -> None:
    directory_id, name = item["DirectoryId"], item["UserName"].casefold()
    if place.is_taken(directory_id, name, now) or any(
        (one.directory_id, one.user_name.casefold()) == (directory_id, name) for one in batch
    ):
        raise AwsError(
            "ResourceExists.WorkSpace", "A WorkSpace for the specified user already exists in the specified directory."
        )


def _require_quota(place: Place, now: float, more: int) -> None:
    """Refuse a machine beyond the quota of the account in the region; there is none unless it was set."""
    quota = place.record("quota", QUOTA)
    if quota is None:
        return
    if sum(1 for machine in place.ever(now) if machine.holds_user) + more >= quota["value"]:
        raise AwsError("ResourceLimitExceededException", "Your resource limits have been exceeded.")


def _pending(machine: Machine) -> dict[str, Any]:
    return {
        "WorkspaceId": machine.workspace_id,
        "DirectoryId": machine.directory_id,
        "UserName": machine.user_name,
        "State": machine.state,
        "BundleId": machine.bundle_id,
    }
