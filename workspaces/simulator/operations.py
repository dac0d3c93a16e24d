"""The WorkSpaces operations: each takes a place, the simulated now and a checked request, and returns the answer."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from workspaces.simulator import catalog, pages
from workspaces.simulator import machine as life
from workspaces.simulator.errors import AwsError, failed
from workspaces.simulator.inputs import BATCH
from workspaces.simulator.machine import Machine
from workspaces.simulator.modify import INVALID, modify
from workspaces.simulator.tags import check_tags, tag_list
from workspaces.simulator.world import Place

Request = Mapping[str, Any]
Answer = dict[str, Any]
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
    after = _after(request, question)
    found, token = pages.cut(
        ((machine.position, machine) for machine in _matching(place, now, request, after)),
        size=request.get("Limit", BATCH),
        question=question,
    )
    return _page("Workspaces", [describe(machine) for machine in found], token)


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
    machine = place.find(request["WorkspaceId"], now)
    if machine is None:
        raise AwsError("ResourceNotFoundException", f"WorkSpace {request['WorkspaceId']} could not be found.")
    place.commit(now=now, machines=[modify(machine, request.get("WorkspaceProperties", {}), now, place.durations)])
    return {}


def describe_workspaces_connection_status(place: Place, now: float, request: Request) -> Answer:
    question = {"DescribeWorkspacesConnectionStatus": request.get("WorkspaceIds")}
    only = {name: request[name] for name in ("WorkspaceIds",) if name in request}
    found, token = pages.cut(
        ((machine.position, machine) for machine in _matching(place, now, only, _after(request, question))),
        size=BATCH,
        question=question,
    )
    return _page("WorkspacesConnectionStatus", [_connection(machine, now) for machine in found], token)


def _connection(machine: Machine, now: float) -> Answer:
    status: Answer = {"WorkspaceId": machine.workspace_id, "ConnectionStateCheckTimestamp": now}
    if machine.state != "AVAILABLE":
        status["ConnectionState"] = "UNKNOWN"
    else:
        status["ConnectionState"] = "CONNECTED" if machine.connected else "DISCONNECTED"
    last = now if status["ConnectionState"] == "CONNECTED" else machine.last_connected_at
    return status if last is None else status | {"LastKnownUserConnectionTimestamp": last}


def describe_workspace_bundles(place: Place, now: float, request: Request) -> Answer:
    if "BundleIds" in request and "Owner" in request:
        raise AwsError(INVALID, "BundleIds and Owner cannot be combined.")
    owner = request.get("Owner") or place.account
    question = {"DescribeWorkspaceBundles": request.get("BundleIds"), "Owner": request.get("Owner")}
    after = _after(request, question)
    wanted = request.get("BundleIds")
    known = enumerate(catalog.bundles(place.region).values())
    described = (
        (number, catalog.describe_bundle(bundle, account=place.account, region=place.region))
        for number, bundle in known
        if number > after and (wanted is None or bundle.bundle_id in wanted)
    )
    found, token = pages.cut(
        ((number, bundle) for number, bundle in described if wanted is not None or bundle["Owner"] == owner),
        size=BATCH,
        question=question,
    )
    return _page("Bundles", found, token)


def describe_workspace_directories(place: Place, now: float, request: Request) -> Answer:
    question = {name: value for name, value in request.items() if name not in {"NextToken", "Limit"}}
    after = _after(request, question)
    described = (
        (number, catalog.describe_directory(number, account=place.account, region=place.region))
        for number in catalog.directory_numbers(place.region).values()
    )
    found, token = pages.cut(
        ((number, item) for number, item in described if number > after and _directory_matches(item, request)),
        size=request.get("Limit", BATCH),
        question=question,
    )
    return _page("Directories", found, token)


def _directory_matches(directory: Answer, request: Request) -> bool:
    members = {"USER_IDENTITY_TYPE": "UserIdentityType", "WORKSPACE_TYPE": "WorkspaceType"}
    return (
        directory["DirectoryId"] in request.get("DirectoryIds", [directory["DirectoryId"]])
        and "WorkspaceDirectoryNames" not in request  # AWS Directory Service's own directories have no such name
        and all(directory[members[one["Name"]]] in one["Values"] for one in request.get("Filters", ()))
    )


def create_tags(place: Place, now: float, request: Request) -> Answer:
    resource_id = _taggable(place, now, request["ResourceId"])
    tags = place.tags_of(resource_id) | check_tags(request["Tags"], already=place.tags_of(resource_id))
    place.commit(now=now, tags={resource_id: tags})
    return {}


def describe_tags(place: Place, now: float, request: Request) -> Answer:
    return {"TagList": tag_list(place.tags_of(_taggable(place, now, request["ResourceId"])))}


def _taggable(place: Place, now: float, resource_id: str) -> str:
    bundle = catalog.bundles(place.region).get(resource_id)
    if (
        place.find(resource_id, now) is not None
        or resource_id in catalog.directory_numbers(place.region)
        or (bundle is not None and not bundle.image.is_amazon)
    ):
        return resource_id
    raise AwsError("ResourceNotFoundException", f"The resource {resource_id} could not be found.")


def _after(request: Request, question: Mapping[str, Any]) -> int:
    try:
        return pages.position(request.get("NextToken"), question=question)
    except pages.BadTokenError as error:
        raise AwsError(INVALID, "The NextToken is not valid for this request.") from error


def _page(name: str, items: list[Answer], token: str | None) -> Answer:
    return {name: items} if token is None else {name: items, "NextToken": token}


def _ip_address(position: int) -> str:
    block, host = divmod(position, 62_500)
    return f"10.{64 + block % 64}.{host // 250}.{1 + host % 250}"
