"""Rebuild, restore, snapshots, maintenance, and machines that come and go behind everybody's back."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import REGION, Cloud, refused
from workspaces.simulator.client import ControlError
from workspaces.simulator.server import Simulator

ACCOUNT = "123456789012"
HALF_A_DAY = 12 * 3600


def _rebuild(cloud: Cloud, workspace_id: str) -> list[dict[str, str]]:
    asked = [{"WorkspaceId": workspace_id}]
    return cloud.api.rebuild_workspaces(RebuildWorkspaceRequests=asked)["FailedRequests"]


def test_rebuild_passes_through_rebuilding(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    assert _rebuild(stepped_cloud, workspace_id)[0]["ErrorCode"] == "InvalidResourceStateException"
    stepped.control.advance(120)
    assert _rebuild(stepped_cloud, workspace_id) == []
    assert stepped_cloud.state(workspace_id) == "REBUILDING"
    stepped.control.advance(1_800)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    assert _rebuild(stepped_cloud, "ws-000000000")[0]["ErrorCode"] == "ResourceNotFound.WorkSpace"


def test_restore_takes_the_last_snapshot_of_which_there_is_one_each_12_hours(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    api, workspace_id = stepped_cloud.api, stepped_cloud.launch("ann")
    created = stepped.control.health()["now"]
    stepped.control.advance(3600)
    assert api.describe_workspace_snapshots(WorkspaceId=workspace_id)["RestoreSnapshots"] == []
    with refused("InvalidParameterValuesException"):
        api.restore_workspace(WorkspaceId=workspace_id)
    stepped.control.advance(2.5 * HALF_A_DAY)
    (snapshot,) = api.describe_workspace_snapshots(WorkspaceId=workspace_id)["RestoreSnapshots"]
    assert snapshot["SnapshotTime"].timestamp() == pytest.approx(created + 2 * HALF_A_DAY, abs=1)
    assert stepped_cloud.state(workspace_id) == "STOPPED"
    api.restore_workspace(WorkspaceId=workspace_id)
    assert stepped_cloud.state(workspace_id) == "RESTORING"
    with refused("OperationNotSupportedException"):
        api.restore_workspace(WorkspaceId=workspace_id)
    stepped.control.advance(1_800)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"


def test_a_machine_in_maintenance_answers_no_command_and_does_not_stop(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    api, workspace_id = stepped_cloud.api, stepped_cloud.launch("ann")
    with refused("InvalidResourceStateException"):
        api.modify_workspace_state(WorkspaceId=workspace_id, WorkspaceState="ADMIN_MAINTENANCE")
    stepped.control.advance(120)
    stepped.control.connect(workspace_id)
    api.modify_workspace_state(WorkspaceId=workspace_id, WorkspaceState="ADMIN_MAINTENANCE")
    stepped.control.advance(24 * 3600)
    assert stepped_cloud.state(workspace_id) == "ADMIN_MAINTENANCE"
    for command in (stepped_cloud.stop, stepped_cloud.reboot):
        assert command(workspace_id)[0]["ErrorCode"] == "InvalidResourceStateException"
    assert _rebuild(stepped_cloud, workspace_id)[0]["ErrorCode"] == "InvalidResourceStateException"
    with pytest.raises(ControlError):
        stepped.control.connect(workspace_id)
    api.modify_workspace_state(WorkspaceId=workspace_id, WorkspaceState="AVAILABLE")
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    assert "LastKnownUserConnectionTimestamp" in stepped_cloud.connection(workspace_id)


def test_a_machine_appears_behind_everybodys_back(simulator: Simulator, cloud: Cloud) -> None:
    asked = cloud.request("ann", Tags=[{"Key": "a", "Value": "b"}])
    made = simulator.control.appear(account=ACCOUNT, region=REGION, workspace=asked, protocol="PCOIP")
    machine = cloud.get(made["workspace_id"])
    assert machine is not None
    assert (machine["State"], machine["WorkspaceProperties"]["Protocols"]) == ("AVAILABLE", ["PCOIP"])
    assert cloud.api.describe_tags(ResourceId=made["workspace_id"])["TagList"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ControlError, match="already exists") as caught:
        simulator.control.appear(account=ACCOUNT, region=REGION, workspace=asked)
    assert caught.value.status == 409


@pytest.mark.parametrize("change", [{"protocol": "RDP"}, {"workspace": {}}, {"workspace": []}])
def test_a_machine_that_cannot_be_does_not_appear(simulator: Simulator, cloud: Cloud, change: dict[str, Any]) -> None:
    asked = {"account": ACCOUNT, "region": REGION, "workspace": cloud.request("ann")} | change
    with pytest.raises(ControlError):
        simulator.control.appear(**asked)
    assert simulator.control.machines() == []


def test_a_machine_vanishes_without_terminating_and_frees_its_user(simulator: Simulator, cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    simulator.control.vanish(workspace_id)
    assert cloud.get(workspace_id) is None
    assert cloud.terminate(workspace_id)[0]["ErrorCode"] == "ResourceNotFound.WorkSpace"
    cloud.launch("ann")
    with pytest.raises(ControlError):
        simulator.control.vanish(workspace_id)


@pytest.mark.parametrize("state", ["UNHEALTHY", "IMPAIRED", "ERROR", "MAINTENANCE", "SUSPENDED"])
def test_a_machine_is_put_into_a_state_with_its_error(stepped: Simulator, stepped_cloud: Cloud, state: str) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    stepped.control.connect(workspace_id)
    stepped.control.set_state(workspace_id, state, error_code="Code", error_message="Text")
    stepped.control.advance(10 * 3600)
    machine = stepped_cloud.get(workspace_id)
    assert machine is not None
    assert (machine["State"], machine["ErrorCode"], machine["ErrorMessage"]) == (state, "Code", "Text")
    assert stepped_cloud.connection(workspace_id)["ConnectionState"] == "UNKNOWN"
    failed = stepped_cloud.terminate(workspace_id)
    assert [one["ErrorCode"] for one in failed] == (["InvalidResourceStateException"] if state == "SUSPENDED" else [])


def test_a_state_that_aws_does_not_have_is_refused(simulator: Simulator, cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    for state in ("GONE", "TIRED", ""):
        with pytest.raises(ControlError, match="one of PENDING"):
            simulator.control.set_state(workspace_id, state)


def test_a_passing_state_that_was_set_passes(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.set_state(workspace_id, "STOPPING")
    stepped.control.advance(60)
    assert stepped_cloud.state(workspace_id) == "STOPPED"
