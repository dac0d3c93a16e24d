"""ModifyWorkspaceProperties: running mode at once, hardware after a while, and AWS's limits on both."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import Cloud, refused
from workspaces.simulator.server import Simulator

HOUR = 3600


def _properties(cloud: Cloud, workspace_id: str) -> dict[str, Any]:
    machine = cloud.get(workspace_id)
    assert machine is not None
    return machine["WorkspaceProperties"]


def _running(simulator: Simulator, cloud: Cloud, **more: Any) -> str:
    workspace_id = cloud.launch("ann", **({"WorkspaceProperties": {"RunningMode": "ALWAYS_ON"}} | more))
    simulator.control.advance(7 * HOUR)
    return workspace_id


def test_the_running_mode_and_its_time_change_at_once(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    cloud.modify(workspace_id, RunningModeAutoStopTimeoutInMinutes=120)
    assert _properties(cloud, workspace_id)["RunningModeAutoStopTimeoutInMinutes"] == 120
    cloud.modify(workspace_id, RunningMode="ALWAYS_ON")
    assert _properties(cloud, workspace_id)["RunningMode"] == "ALWAYS_ON"
    assert "RunningModeAutoStopTimeoutInMinutes" not in _properties(cloud, workspace_id)
    cloud.modify(workspace_id, RunningMode="AUTO_STOP", RunningModeAutoStopTimeoutInMinutes=180)
    assert _properties(cloud, workspace_id)["RunningModeAutoStopTimeoutInMinutes"] == 180


def test_an_always_on_machine_has_no_auto_stop_time_and_gets_an_hour_where_none_is_named(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    cloud.modify(workspace_id, RunningModeAutoStopTimeoutInMinutes=120)
    cloud.modify(workspace_id, RunningMode="ALWAYS_ON")
    cloud.modify(workspace_id, RunningMode="AUTO_STOP")
    assert _properties(cloud, workspace_id)["RunningModeAutoStopTimeoutInMinutes"] == 60


def test_the_auto_stop_time_begins_with_the_switch_to_auto_stop(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, RunningMode="AUTO_STOP")
    stepped.control.advance(HOUR - 1)
    assert stepped_cloud.state(workspace_id) == "AVAILABLE"
    stepped.control.advance(1)
    assert stepped_cloud.state(workspace_id) == "STOPPING"


def test_a_stopped_machine_that_becomes_always_on_is_started(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(2 * HOUR)
    assert stepped_cloud.state(workspace_id) == "STOPPED"
    stepped_cloud.modify(workspace_id, RunningMode="ALWAYS_ON")
    assert stepped_cloud.state(workspace_id) == "STARTING"


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"RunningMode": "MANUAL"},
        {"RunningMode": "ALWAYS_ON", "RunningModeAutoStopTimeoutInMinutes": 60},
        {"RunningModeAutoStopTimeoutInMinutes": 61},
        {"RunningModeAutoStopTimeoutInMinutes": 0},
        {"RootVolumeSizeGib": 175, "UserVolumeSizeGib": 100},
        {"RootVolumeSizeGib": 175, "ComputeTypeName": "POWER"},
        {"RootVolumeSizeGib": 70},
        {"RootVolumeSizeGib": 80},
        {"UserVolumeSizeGib": 60},
        {"ComputeTypeName": "STANDARD"},
    ],
)
def test_impossible_values_are_refused_and_change_nothing(cloud: Cloud, properties: dict[str, Any]) -> None:
    workspace_id = cloud.launch("ann")
    before = cloud.get(workspace_id)
    with refused("InvalidParameterValuesException"):
        cloud.modify(workspace_id, **properties)
    assert cloud.get(workspace_id) == before


def test_an_unknown_machine_is_not_found(cloud: Cloud) -> None:
    with refused("ResourceNotFoundException"):
        cloud.modify("ws-000000000", RunningMode="ALWAYS_ON")


def test_only_an_available_or_stopped_machine_can_be_modified(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    with refused("InvalidResourceStateException"):
        stepped_cloud.modify(workspace_id, RunningMode="ALWAYS_ON")


def test_a_new_compute_type_reboots_the_machine_and_shows_when_it_is_done(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, ComputeTypeName="POWER")
    during = stepped_cloud.get(workspace_id)
    assert during is not None
    assert during["State"] == "REBOOTING"
    assert during["ModificationStates"] == [{"Resource": "COMPUTE_TYPE", "State": "UPDATE_IN_PROGRESS"}]
    assert during["WorkspaceProperties"]["ComputeTypeName"] == "STANDARD"
    stepped.control.advance(120)
    after = stepped_cloud.get(workspace_id)
    assert after is not None
    assert (after["State"], after["ModificationStates"]) == ("AVAILABLE", [])
    assert after["WorkspaceProperties"]["ComputeTypeName"] == "POWER"


def test_a_machine_under_modification_refuses_another_one(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, UserVolumeSizeGib=100)
    with refused("OperationInProgressException"):
        stepped_cloud.modify(workspace_id, RunningMode="AUTO_STOP")
    stepped.control.advance(120)
    stepped_cloud.modify(workspace_id, RunningMode="AUTO_STOP")


def test_a_volume_grows_while_the_machine_keeps_its_state(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, UserVolumeSizeGib=100)
    during = stepped_cloud.get(workspace_id)
    assert during is not None
    assert during["State"] == "AVAILABLE"
    assert during["ModificationStates"] == [{"Resource": "USER_VOLUME", "State": "UPDATE_IN_PROGRESS"}]
    stepped.control.advance(120)
    assert _properties(stepped_cloud, workspace_id)["UserVolumeSizeGib"] == 100


def test_volumes_change_once_in_six_hours(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, UserVolumeSizeGib=100)
    stepped.control.advance(6 * HOUR - 1)
    with refused("UnsupportedWorkspaceConfigurationException"):
        stepped_cloud.modify(workspace_id, RootVolumeSizeGib=175)
    stepped.control.advance(1)
    stepped_cloud.modify(workspace_id, RootVolumeSizeGib=175)


def test_a_larger_compute_type_waits_six_hours_after_creation_and_after_each_change(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = stepped_cloud.launch("ann", WorkspaceProperties={"RunningMode": "ALWAYS_ON"})
    stepped.control.advance(HOUR)
    with refused("UnsupportedWorkspaceConfigurationException"):
        stepped_cloud.modify(workspace_id, ComputeTypeName="PERFORMANCE")
    stepped.control.advance(5 * HOUR)
    stepped_cloud.modify(workspace_id, ComputeTypeName="PERFORMANCE")
    stepped.control.advance(HOUR)
    with refused("UnsupportedWorkspaceConfigurationException"):
        stepped_cloud.modify(workspace_id, ComputeTypeName="POWER")


def test_a_smaller_compute_type_waits_thirty_days(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = _running(stepped, stepped_cloud)
    stepped_cloud.modify(workspace_id, ComputeTypeName="POWERPRO")
    stepped.control.advance(HOUR)
    stepped_cloud.modify(workspace_id, ComputeTypeName="POWER")
    stepped.control.advance(29 * 24 * HOUR)
    with refused("UnsupportedWorkspaceConfigurationException"):
        stepped_cloud.modify(workspace_id, ComputeTypeName="STANDARD")
    stepped.control.advance(24 * HOUR)
    stepped_cloud.modify(workspace_id, ComputeTypeName="STANDARD")


@pytest.mark.parametrize(("start", "wanted"), [("STANDARD", "GRAPHICS_G4DN"), ("GRAPHICS_G4DN", "POWER")])
def test_nothing_is_converted_to_or_from_graphics(
    stepped: Simulator, stepped_cloud: Cloud, start: str, wanted: str
) -> None:
    workspace_id = _running(stepped, stepped_cloud, BundleId=stepped_cloud.bundle_id(start))
    with refused("UnsupportedWorkspaceConfigurationException"):
        stepped_cloud.modify(workspace_id, ComputeTypeName=wanted)


def test_what_the_simulator_does_not_offer_is_refused_and_not_ignored(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann")
    with refused("UnsupportedWorkspaceConfigurationException"):
        cloud.modify(workspace_id, Protocols=["PCOIP"])
    with refused("UnsupportedWorkspaceConfigurationException"):
        cloud.api.modify_workspace_properties(WorkspaceId=workspace_id, DataReplication="PRIMARY_AS_SOURCE")
