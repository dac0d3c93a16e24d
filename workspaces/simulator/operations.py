"""The WorkSpaces operations on machines: each takes a place, the simulated now and a checked request, and answers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workspaces.simulator import catalog, pages
from workspaces.simulator import machine as life
from workspaces.simulator.errors import AwsError, failed
from workspaces.simulator.inputs import BATCH
from workspaces.simulator.machine import Machine
from workspaces.simulator.modify import INVALID, modify
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
Answer = dict[str, Any]
SNAPSHOT_SECONDS = 12 * 3600.0
Command = Callable[[Machine, float, Mapping[str, float]], Machine]


def describe_workspaces(place: Place, now: float, request: Request) -> Answer:
    filters = {name: request[name] for name in ("WorkspaceIds", "DirectoryId", "BundleId") if name in request}
    if len(filters) > 1:
        raise AwsError(
            INVALID,
            "An invalid number of parameters provided with DescribeWorkspaces. Only one of the following are allowed "
            "to be specified: BundleId, DirectoryId, WorkspaceIds, Filters.",
        )
    if "UserName" in request and "DirectoryId" not in request:
        raise AwsError(INVALID, "The DirectoryId parameter is required when UserName is used.")
    question = {"DescribeWorkspaces": filters, "UserName": request.get("UserName", "").casefold()}
    after = pages.after(request, question, code=INVALID)
    found, token = pages.cut(
        ((machine.position, machine) for machine in _matching(place, now, request, after)),
        size=request.get("Limit", BATCH),
        question=question,
    )
    return pages.page("Workspaces", [describe(machine) for machine in found], token)


def _matching(place: Place, now: float, request: Request, after: int) -> Iterable[Machine]:
    if "WorkspaceName" in request:
        return ()  # only user-decoupled machines of WorkSpaces Core have a name
    if "WorkspaceIds" in request:
        wanted = dict.fromkeys(request["WorkspaceIds"])
        found = [machine for machine in (place.find(name, now) for name in wanted) if machine is not None]
        found = sorted(found, key=lambda machine: machine.position)
    elif "UserName" in request:
        found = place.of_user(request["DirectoryId"], request["UserName"], now)
    else:
        return (
            machine
            for machine in place.walk(now, after=after)
            if request.get("DirectoryId", machine.directory_id) == machine.directory_id
            and request.get("BundleId", machine.bundle_id) == machine.bundle_id
        )
    return (machine for machine in found if machine.position > after)


def describe(machine: Machine) -> Answer:
    """A Workspace; what AWS does not know before the machine exists is left out while it is PENDING."""
    properties: Answer = {
        "RunningMode": machine.running_mode,
        "RootVolumeSizeGib": machine.root_gib,
        "UserVolumeSizeGib": machine.user_gib,
        "ComputeTypeName": machine.compute_type,
        "Protocols": [machine.protocol],
        "OperatingSystemName": machine.operating_system,
    }
    if machine.auto_stop_minutes is not None:
        properties["RunningModeAutoStopTimeoutInMinutes"] = machine.auto_stop_minutes
    answer: Answer = {
        "WorkspaceId": machine.workspace_id,
        "DirectoryId": machine.directory_id,
        "UserName": machine.user_name,
        "State": machine.state,
        "BundleId": machine.bundle_id,
        "WorkspaceProperties": properties,
        "ModificationStates": [],
    }
    if machine.state != "PENDING":
        subnets = catalog.subnet_ids(machine.region, catalog.directory_numbers(machine.region)[machine.directory_id])
        answer["IpAddress"] = _ip_address(machine.position)
        answer["SubnetId"] = subnets[machine.position % 2]
        answer["ComputerName"] = "WSAMZN-" + machine.workspace_id[-8:].upper()
    if machine.modification is not None:
        answer["ModificationStates"] = [{"Resource": machine.modification.resource, "State": "UPDATE_IN_PROGRESS"}]
    optional = {
        "VolumeEncryptionKey": machine.volume_encryption_key,
        "UserVolumeEncryptionEnabled": machine.user_volume_encrypted,
        "RootVolumeEncryptionEnabled": machine.root_volume_encrypted,
        "ErrorCode": machine.error_code,
        "ErrorMessage": machine.error_message,
    }
    return answer | {name: value for name, value in optional.items() if value is not None}


def start_workspaces(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request["StartWorkspaceRequests"], life.start)


def stop_workspaces(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request["StopWorkspaceRequests"], life.stop)


def reboot_workspaces(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request["RebootWorkspaceRequests"], life.reboot)


def rebuild_workspaces(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request["RebuildWorkspaceRequests"], life.rebuild)


def restore_workspace(place: Place, now: float, request: Request) -> Answer:
    machine = _one(place, now, request)
    if snapshot_at(machine, now) is None:
        raise AwsError(INVALID, "There is no snapshot of this WorkSpace yet.")
    place.commit(now=now, machines=[_or_invalid(life.restore, machine, now, place.durations)])
    return {}


def describe_workspace_snapshots(place: Place, now: float, request: Request) -> Answer:
    taken = snapshot_at(_one(place, now, request), now)
    snapshots = [] if taken is None else [{"SnapshotTime": taken}]
    return {"RebuildSnapshots": snapshots, "RestoreSnapshots": snapshots}


def snapshot_at(machine: Machine, now: float) -> float | None:
    """When the machine was last saved: every 12 hours after it was made; None before the first time."""
    count = int((now - machine.created_at) // SNAPSHOT_SECONDS)
    return machine.created_at + count * SNAPSHOT_SECONDS if count else None


def modify_workspace_state(place: Place, now: float, request: Request) -> Answer:
    machine, wanted = _one(place, now, request), request["WorkspaceState"]
    if machine.state not in {"AVAILABLE", "ADMIN_MAINTENANCE"}:
        raise AwsError("InvalidResourceStateException", f"A WorkSpace that is {machine.state} cannot be {wanted}.")
    if machine.state != wanted:
        place.commit(now=now, machines=[life.enter(machine, wanted, now, place.durations)])
    return {}


def _one(place: Place, now: float, request: Request) -> Machine:
    machine = place.find(request["WorkspaceId"], now)
    if machine is None:
        raise AwsError("ResourceNotFoundException", f"WorkSpace {request['WorkspaceId']} could not be found.")
    return machine


def _or_invalid(command: Command, machine: Machine, now: float, durations: Mapping[str, float]) -> Machine:
    """A command whose call does not declare InvalidResourceStateException."""
    try:
        return command(machine, now, durations)
    except AwsError as error:
        raise AwsError("OperationNotSupportedException", error.message) from error


def terminate_workspaces(place: Place, now: float, request: Request) -> Answer:
    return _change_each(place, now, request["TerminateWorkspaceRequests"], life.terminate)


def _change_each(place: Place, now: float, items: Iterable[Request], command: Command) -> Answer:
    changed: dict[str, Machine] = {}
    failures = []
    for item in items:
        workspace_id = item.get("WorkspaceId", "")
        current = changed.get(workspace_id) or place.find(workspace_id, now)
        try:
            if current is None:
                raise AwsError("ResourceNotFound.WorkSpace", f"WorkSpace {workspace_id} could not be found.")
            changed[workspace_id] = command(current, now, place.durations)
        except AwsError as error:
            failures.append(failed(workspace_id, error))
    place.commit(now=now, machines=changed.values())
    return {"FailedRequests": failures}


def modify_workspace_properties(place: Place, now: float, request: Request) -> Answer:
    if "DataReplication" in request:
        raise AwsError("UnsupportedWorkspaceConfigurationException", "Data replication is not offered.")
    machine = _one(place, now, request)
    place.commit(now=now, machines=[modify(machine, request.get("WorkspaceProperties", {}), now, place.durations)])
    return {}


def describe_workspaces_connection_status(place: Place, now: float, request: Request) -> Answer:
    question = {"DescribeWorkspacesConnectionStatus": request.get("WorkspaceIds")}
    only = {name: request[name] for name in ("WorkspaceIds",) if name in request}
    found, token = pages.cut(
        (
            (machine.position, machine)
            for machine in _matching(place, now, only, pages.after(request, question, code=INVALID))
        ),
        size=BATCH,
        question=question,
    )
    return pages.page("WorkspacesConnectionStatus", [_connection(machine, now) for machine in found], token)


def _connection(machine: Machine, now: float) -> Answer:
    status: Answer = {"WorkspaceId": machine.workspace_id, "ConnectionStateCheckTimestamp": now}
    if machine.state != "AVAILABLE":
        status["ConnectionState"] = "UNKNOWN"
    else:
        status["ConnectionState"] = "CONNECTED" if machine.connected else "DISCONNECTED"
    last = now if status["ConnectionState"] == "CONNECTED" else machine.last_connected_at
    return status if last is None else status | {"LastKnownUserConnectionTimestamp": last}


def _ip_address(position: int) -> str:
    block, host = divmod(position, 62_500)
    return f"10.{64 + block % 64}.{host // 250}.{1 + host % 250}"
