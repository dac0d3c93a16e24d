"""CreateWorkspaces: what is taken, what is refused one by one, and what is refused whole."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import AUTO_STOP, Cloud, refused
from workspaces.simulator import catalog
from workspaces.simulator.server import Simulator


def test_a_new_machine_is_answered_as_pending_with_what_aws_shows_then(cloud: Cloud) -> None:
    answer = cloud.create(cloud.request("ann"))
    (pending,) = answer["PendingRequests"]
    assert answer["FailedRequests"] == []
    assert set(pending) == {"WorkspaceId", "DirectoryId", "UserName", "State", "BundleId"}
    assert (pending["State"], pending["UserName"]) == ("PENDING", "ann")


def test_a_pending_machine_has_no_address_yet_and_an_available_one_has(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = stepped_cloud.launch("ann")
    before = stepped_cloud.get(workspace_id)
    stepped.control.advance(120)
    after = stepped_cloud.get(workspace_id)
    assert before is not None
    assert after is not None
    assert before["State"] == "PENDING"
    assert not {"IpAddress", "SubnetId", "ComputerName"} & set(before)
    assert after["State"] == "AVAILABLE"
    assert {"IpAddress", "SubnetId", "ComputerName"} <= set(after)


def test_a_described_machine_shows_what_was_asked_and_what_the_bundle_gives(cloud: Cloud) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    workspace_id = cloud.launch(
        "ann",
        BundleId=cloud.bundle_id("POWER", "engineering-windows-1"),
        VolumeEncryptionKey=key,
        UserVolumeEncryptionEnabled=True,
        RootVolumeEncryptionEnabled=True,
    )
    machine = cloud.get(workspace_id)
    assert machine is not None
    assert machine["WorkspaceProperties"] == AUTO_STOP | {
        "RootVolumeSizeGib": 175,
        "UserVolumeSizeGib": 100,
        "ComputeTypeName": "POWER",
        "Protocols": ["WSP"],
        "OperatingSystemName": "WINDOWS_SERVER_2022",
    }
    assert machine["VolumeEncryptionKey"] == key
    assert machine["UserVolumeEncryptionEnabled"] is True
    assert machine["RootVolumeEncryptionEnabled"] is True


def test_without_properties_a_machine_is_always_on(cloud: Cloud) -> None:
    machine = cloud.get(cloud.launch("ann", WorkspaceProperties={}))
    assert machine is not None
    assert machine["WorkspaceProperties"]["RunningMode"] == "ALWAYS_ON"
    assert "RunningModeAutoStopTimeoutInMinutes" not in machine["WorkspaceProperties"]


def test_auto_stop_without_a_time_stops_after_60_minutes(cloud: Cloud) -> None:
    machine = cloud.get(cloud.launch("ann", WorkspaceProperties={"RunningMode": "AUTO_STOP"}))
    assert machine is not None
    assert machine["WorkspaceProperties"]["RunningModeAutoStopTimeoutInMinutes"] == 60


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"DirectoryId": "d-0123456789"}, "ResourceNotFound.Directory"),
        ({"BundleId": "wsb-000000000"}, "ResourceNotFound.Bundle"),
        ({"BundleId": catalog.bundle_id("eu-west-1", "engineering-linux-1", "STANDARD")}, "ResourceNotFound.Bundle"),
        ({"UserName": "nobody.known"}, "ResourceNotFound.User"),
        ({"UserName": "ann\x00"}, "ResourceNotFound.User"),
        ({"UserName": "[UNDEFINED]"}, "ResourceNotFound.User"),
        (
            {"WorkspaceProperties": {"RunningMode": "ALWAYS_ON", "RunningModeAutoStopTimeoutInMinutes": 60}},
            "AutoStopTimeoutIsNotApplicableForAnAlwaysOnWorkspace",
        ),
        (
            {"WorkspaceProperties": {"RunningMode": "MANUAL", "RunningModeAutoStopTimeoutInMinutes": 60}},
            "AutoStopTimeoutIsNotDefaultForManualWorkspace",
        ),
        ({"WorkspaceProperties": {"RunningMode": "MANUAL"}}, "OperationNotSupportedException"),
        (
            {"WorkspaceProperties": {"RunningMode": "AUTO_STOP", "RunningModeAutoStopTimeoutInMinutes": 90}},
            "InvalidParameterValuesException",
        ),
        (
            {"WorkspaceProperties": {"RunningMode": "AUTO_STOP", "RunningModeAutoStopTimeoutInMinutes": -60}},
            "InvalidParameterValuesException",
        ),
        ({"WorkspaceProperties": {"ComputeTypeName": "POWER"}}, "InvalidParameterValuesException"),
        ({"WorkspaceProperties": {"OperatingSystemName": "WINDOWS_11"}}, "InvalidParameterValuesException"),
        ({"WorkspaceProperties": {"Protocols": ["PCOIP"]}}, "InvalidParameterValuesException"),
        ({"WorkspaceProperties": {"RootVolumeSizeGib": 100}}, "InvalidParameterValuesException"),
        (
            {"WorkspaceProperties": {"RootVolumeSizeGib": 175, "UserVolumeSizeGib": 2001}},
            "InvalidParameterValuesException",
        ),
        (
            {"WorkspaceProperties": {"NestedVirtualizationEnabled": True}},
            "UnsupportedWorkspaceConfigurationException",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_a_failed_request_with_its_code(
    cloud: Cloud, more: dict[str, Any], code: str
) -> None:
    assert cloud.refusal("ann", **more) == code
    assert cloud.api.describe_workspaces()["Workspaces"] == []


def test_a_failed_request_is_given_back_as_it_was_asked(cloud: Cloud) -> None:
    asked = cloud.request("ann", DirectoryId="d-0123456789", Tags=[{"Key": "a", "Value": "b"}])
    (failed,) = cloud.create(asked)["FailedRequests"]
    assert failed["WorkspaceRequest"] == asked
    assert failed["ErrorMessage"]


def test_a_batch_is_taken_in_part(cloud: Cloud) -> None:
    answer = cloud.create(cloud.request("ann"), cloud.request("bob", BundleId="wsb-000000000"), cloud.request("cyd"))
    assert [item["UserName"] for item in answer["PendingRequests"]] == ["ann", "cyd"]
    assert [item["WorkspaceRequest"]["UserName"] for item in answer["FailedRequests"]] == ["bob"]


def test_a_directory_user_has_one_machine_whatever_the_case_of_the_name(cloud: Cloud) -> None:
    cloud.launch("ann")
    assert cloud.refusal("ann") == "ResourceExists.WorkSpace"
    assert cloud.refusal("ANN", BundleId=cloud.bundle_id("POWER")) == "ResourceExists.WorkSpace"


def test_one_batch_cannot_give_a_user_two_machines(cloud: Cloud) -> None:
    answer = cloud.create(cloud.request("ann"), cloud.request("Ann"))
    assert len(answer["PendingRequests"]) == 1
    assert [item["ErrorCode"] for item in answer["FailedRequests"]] == ["ResourceExists.WorkSpace"]


def test_the_same_name_in_another_directory_is_another_user(cloud: Cloud) -> None:
    cloud.launch("ann")
    cloud.launch("ann", DirectoryId=catalog.directory_id(cloud.region, 2))


def test_a_terminating_machine_still_holds_its_user_and_a_terminated_one_does_not(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped_cloud.terminate(workspace_id)
    assert stepped_cloud.state(workspace_id) == "TERMINATING"
    assert stepped_cloud.refusal("ann") == "ResourceExists.WorkSpace"
    stepped.control.advance(60)
    assert stepped_cloud.state(workspace_id) == "TERMINATED"
    stepped_cloud.launch("ann")


def test_tags_given_at_creation_are_the_machines_tags(cloud: Cloud) -> None:
    tags = [{"Key": "forge-operation", "Value": "0190"}, {"Key": "empty", "Value": ""}]
    workspace_id = cloud.launch("ann", Tags=tags)
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == tags


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": f"k{n}", "Value": ""} for n in range(51)], "ResourceLimitExceededException"),
        ([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "InvalidParameterValuesException"),
        ([{"Key": "aws:x", "Value": "1"}], "InvalidParameterValuesException"),
        ([{"Key": "x", "Value": "aws:1"}], "InvalidParameterValuesException"),
        ([{"Key": "k" * 128, "Value": ""}], "ValidationException"),
        ([{"Key": "k", "Value": "v" * 256}], "ValidationException"),
    ],
)
def test_tags_that_aws_does_not_take_refuse_the_whole_call(cloud: Cloud, tags: list[dict[str, str]], code: str) -> None:
    with refused(code):
        cloud.create(cloud.request("ann"), cloud.request("bob", Tags=tags))
    assert cloud.api.describe_workspaces()["Workspaces"] == []
