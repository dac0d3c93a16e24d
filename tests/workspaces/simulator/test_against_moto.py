"""The same contract on the simulator and on moto, for the operations that moto has.

It has none of WorkSpaces Applications, and of CloudWatch no metrics of WorkSpaces.
Only the simulator's answers are held to botocore's model here: moto's break it (content type, empty texts).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.client import BaseClient
from moto.server import ThreadedMotoServer

from tests.workspaces.simulator.cloud import AUTO_STOP, REGION, client, refused
from workspaces.simulator import catalog
from workspaces.simulator.machine import INSTANT
from workspaces.simulator.server import Simulator

MACHINE_TYPE = "workspaces:workspace"


@dataclass(frozen=True)
class Backend:
    """A server with one registered directory and one bundle."""

    api: BaseClient
    tagging: BaseClient
    sts: BaseClient
    directory_id: str
    bundle_id: str

    def request(self, user_name: str, **more: Any) -> dict[str, Any]:
        place = {"DirectoryId": self.directory_id, "UserName": user_name, "BundleId": self.bundle_id}
        return place | {"WorkspaceProperties": AUTO_STOP} | more

    def create(self, *requests: dict[str, Any]) -> dict[str, Any]:
        return self.api.create_workspaces(Workspaces=list(requests))

    def launch(self, user_name: str, **more: Any) -> str:
        return self.create(self.request(user_name, **more))["PendingRequests"][0]["WorkspaceId"]

    def found(self, **filters: Any) -> list[str]:
        return [machine["WorkspaceId"] for machine in self.api.describe_workspaces(**filters)["Workspaces"]]


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["simulator", "moto"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "simulator":
        with Simulator(durations=INSTANT) as simulator:
            yield _backend(simulator.url, catalog.directory_id(REGION), strict=True)
    else:
        url = request.getfixturevalue("moto_url")
        urlopen(Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()
        yield _backend(url, _moto_directory(url), strict=False)


def _backend(url: str, directory_id: str, *, strict: bool) -> Backend:
    bundle_id = catalog.bundle_id(REGION, "engineering-linux-1", "STANDARD")
    names = ("workspaces", "resourcegroupstaggingapi", "sts")
    api, tagging, sts = (client(name, url, strict=strict) for name in names)
    return Backend(api, tagging, sts, directory_id, bundle_id)


@cache
def _moto_client(name: str, url: str) -> BaseClient:
    """Kept, because making a client for EC2 takes longer than a test."""
    return client(name, url, strict=False)


def _moto_directory(url: str) -> str:
    """A directory of its own in moto, registered with WorkSpaces."""
    network, directories, workspaces = (_moto_client(name, url) for name in ("ec2", "ds", "workspaces"))
    vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = []
    for number, zone in enumerate("ab"):
        block, place = f"10.0.{number}.0/24", REGION + zone
        made = network.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=place)
        subnets.append(made["Subnet"]["SubnetId"])
    directory_id = directories.create_directory(
        Name="corp.robco.example", Password="Password1", Size="Small", VpcSettings={"VpcId": vpc, "SubnetIds": subnets}
    )["DirectoryId"]
    workspaces.register_workspace_directory(DirectoryId=directory_id, SubnetIds=subnets)
    return directory_id


def test_both_answer_a_new_machine_among_the_pending_requests(backend: Backend) -> None:
    answer = backend.create(backend.request("ann"))
    (pending,) = answer["PendingRequests"]
    assert answer["FailedRequests"] == []
    assert (pending["UserName"], pending["DirectoryId"], pending["BundleId"]) == (
        "ann",
        backend.directory_id,
        backend.bundle_id,
    )


def test_both_find_a_machine_by_id_by_directory_and_user_and_by_bundle(backend: Backend) -> None:
    ann, bob = backend.launch("ann"), backend.launch("bob")
    assert backend.found(WorkspaceIds=[ann]) == [ann]
    assert backend.found(DirectoryId=backend.directory_id) == [ann, bob]
    assert backend.found(DirectoryId=backend.directory_id, UserName="bob") == [bob]
    assert backend.found(DirectoryId=backend.directory_id, UserName="cyd") == []
    assert {ann, bob} <= set(backend.found(BundleId=backend.bundle_id))


def test_both_show_the_running_mode_that_was_asked(backend: Backend) -> None:
    machine = backend.api.describe_workspaces(WorkspaceIds=[backend.launch("ann")])["Workspaces"][0]
    assert machine["State"] == "AVAILABLE"
    assert machine["WorkspaceProperties"]["RunningMode"] == "AUTO_STOP"
    assert machine["WorkspaceProperties"]["RunningModeAutoStopTimeoutInMinutes"] == 60


def test_both_make_a_machine_without_properties_always_on(backend: Backend) -> None:
    workspace_id = backend.launch("ann", WorkspaceProperties={})
    machine = backend.api.describe_workspaces(WorkspaceIds=[workspace_id])["Workspaces"][0]
    assert machine["WorkspaceProperties"]["RunningMode"] == "ALWAYS_ON"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"DirectoryId": "d-0123456789"}, "ResourceNotFound.Directory"),
        (
            {"WorkspaceProperties": {"RunningMode": "ALWAYS_ON", "RunningModeAutoStopTimeoutInMinutes": 60}},
            "AutoStopTimeoutIsNotApplicableForAnAlwaysOnWorkspace",
        ),
        (
            {"WorkspaceProperties": {"RunningMode": "MANUAL", "RunningModeAutoStopTimeoutInMinutes": 60}},
            "AutoStopTimeoutIsNotDefaultForManualWorkspace",
        ),
    ],
)
def test_both_refuse_with_the_same_code_among_the_failed_requests(
    backend: Backend, more: dict[str, Any], code: str
) -> None:
    answer = backend.create(backend.request("ann", **more))
    assert answer["PendingRequests"] == []
    assert answer["FailedRequests"][0]["ErrorCode"] == code
    assert answer["FailedRequests"][0]["WorkspaceRequest"]["UserName"] == "ann"


def test_both_refuse_filters_that_cannot_be_combined(backend: Backend) -> None:
    with refused("InvalidParameterValuesException"):
        backend.found(DirectoryId=backend.directory_id, BundleId=backend.bundle_id)
    with refused("InvalidParameterValuesException"):
        backend.found(UserName="ann")


def test_both_no_longer_show_a_terminated_machine_and_fail_to_terminate_it_again(backend: Backend) -> None:
    workspace_id = backend.launch("ann")

    def terminate() -> list[dict[str, str]]:
        asked = [{"WorkspaceId": workspace_id}]
        return backend.api.terminate_workspaces(TerminateWorkspaceRequests=asked)["FailedRequests"]

    assert terminate() == []
    assert backend.found(WorkspaceIds=[workspace_id]) == []
    assert [one["WorkspaceId"] for one in terminate()] == [workspace_id]


def test_both_keep_tags_of_machines_and_directories(backend: Backend) -> None:
    first, second = {"Key": "forge", "Value": "1"}, {"Key": "team", "Value": "red"}
    workspace_id = backend.launch("ann", Tags=[first])
    backend.api.create_tags(ResourceId=workspace_id, Tags=[second])
    backend.api.create_tags(ResourceId=backend.directory_id, Tags=[second])
    assert backend.api.describe_tags(ResourceId=workspace_id)["TagList"] == [first, second]
    assert second in backend.api.describe_tags(ResourceId=backend.directory_id)["TagList"]


def test_both_describe_a_registered_shared_directory(backend: Backend) -> None:
    answer = backend.api.describe_workspace_directories(DirectoryIds=[backend.directory_id])
    (directory,) = answer["Directories"]
    assert (directory["State"], directory["Tenancy"]) == ("REGISTERED", "SHARED")
    assert len(directory["SubnetIds"]) == 2
    assert directory["SelfservicePermissions"]["ChangeComputeType"] == "DISABLED"


def test_both_list_tagged_machines_by_arn(backend: Backend) -> None:
    workspace_id = backend.launch("ann", Tags=[{"Key": "operation", "Value": backend.directory_id}])
    filters = [{"Key": "operation", "Values": [backend.directory_id]}]
    answer = backend.tagging.get_resources(TagFilters=filters, ResourceTypeFilters=[MACHINE_TYPE])
    (mapping,) = answer["ResourceTagMappingList"]
    assert mapping["ResourceARN"] == f"arn:aws:workspaces:{REGION}:123456789012:workspace/{workspace_id}"
    assert mapping["Tags"] == [{"Key": "operation", "Value": backend.directory_id}]


def test_both_change_the_self_service_of_a_directory(backend: Backend) -> None:
    backend.api.modify_selfservice_permissions(
        ResourceId=backend.directory_id, SelfservicePermissions={"RestartWorkspace": "DISABLED"}
    )
    answer = backend.api.describe_workspace_directories(DirectoryIds=[backend.directory_id])
    assert answer["Directories"][0]["SelfservicePermissions"]["RestartWorkspace"] == "DISABLED"


def test_both_change_the_creation_properties_of_a_directory(backend: Backend) -> None:
    backend.api.modify_workspace_creation_properties(
        ResourceId=backend.directory_id, WorkspaceCreationProperties={"EnableInternetAccess": True}
    )
    answer = backend.api.describe_workspace_directories(DirectoryIds=[backend.directory_id])
    assert answer["Directories"][0]["WorkspaceCreationProperties"]["EnableInternetAccess"] is True


def test_both_know_no_image_that_does_not_exist(backend: Backend) -> None:
    assert backend.api.describe_workspace_images(ImageIds=["wsi-000000000"])["Images"] == []


def test_both_name_an_assumed_role_by_account_role_and_session(backend: Backend) -> None:
    asked = {"RoleArn": "arn:aws:iam::210987654321:role/forge", "RoleSessionName": "forge-1"}
    answer = backend.sts.assume_role(**asked)
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::210987654321:assumed-role/forge/forge-1"
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":forge-1")
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")


def test_both_tell_the_caller_its_account(backend: Backend) -> None:
    assert backend.sts.get_caller_identity()["Account"] == "123456789012"
