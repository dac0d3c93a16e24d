"""DescribeWorkspacesConnectionStatus."""

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.server import Simulator


def test_a_machine_that_does_not_run_has_an_unknown_connection(stepped: Simulator, stepped_cloud: Cloud) -> None:
    workspace_id = stepped_cloud.launch("ann")
    assert stepped_cloud.connection(workspace_id)["ConnectionState"] == "UNKNOWN"
    stepped.control.advance(2 * 3600)
    assert stepped_cloud.state(workspace_id) == "STOPPED"
    assert stepped_cloud.connection(workspace_id)["ConnectionState"] == "UNKNOWN"


def test_a_machine_nobody_ever_connected_to_has_no_last_connection(cloud: Cloud) -> None:
    status = cloud.connection(cloud.launch("ann"))
    assert status["ConnectionState"] == "DISCONNECTED"
    assert "LastKnownUserConnectionTimestamp" not in status
    assert status["ConnectionStateCheckTimestamp"]


def test_the_last_connection_is_now_while_connected_and_the_log_off_afterwards(
    stepped: Simulator, stepped_cloud: Cloud
) -> None:
    workspace_id = stepped_cloud.launch("ann")
    stepped.control.advance(120)
    stepped.control.connect(workspace_id)
    stepped.control.advance(600)
    during = stepped_cloud.connection(workspace_id)
    stepped.control.disconnect(workspace_id)
    stepped.control.advance(600)
    after = stepped_cloud.connection(workspace_id)
    assert (during["ConnectionState"], after["ConnectionState"]) == ("CONNECTED", "DISCONNECTED")
    assert during["LastKnownUserConnectionTimestamp"] == during["ConnectionStateCheckTimestamp"]
    waited = after["ConnectionStateCheckTimestamp"] - after["LastKnownUserConnectionTimestamp"]
    assert round(waited.total_seconds()) == 600


def test_stopping_and_rebooting_end_the_connection(stepped: Simulator, stepped_cloud: Cloud) -> None:
    for user, command, seconds in (("ann", stepped_cloud.stop, 60), ("bob", stepped_cloud.reboot, 90)):
        workspace_id = stepped_cloud.launch(user)
        stepped.control.advance(120)
        stepped.control.connect(workspace_id)
        command(workspace_id)
        stepped.control.advance(seconds)
        status = stepped_cloud.connection(workspace_id)
        assert status["ConnectionState"] != "CONNECTED"
        assert status["LastKnownUserConnectionTimestamp"]


def test_without_ids_all_machines_are_listed_in_pages_of_25(cloud: Cloud) -> None:
    launched = {cloud.launch(f"user{number}") for number in range(30)}
    first = cloud.api.describe_workspaces_connection_status()
    second = cloud.api.describe_workspaces_connection_status(NextToken=first["NextToken"])
    listed = [first["WorkspacesConnectionStatus"], second["WorkspacesConnectionStatus"]]
    assert [len(page) for page in listed] == [25, 5]
    assert {one["WorkspaceId"] for page in listed for one in page} == launched
    assert "NextToken" not in second


def test_unknown_machines_are_left_out(cloud: Cloud) -> None:
    answer = cloud.api.describe_workspaces_connection_status(WorkspaceIds=["ws-000000000"])
    assert answer["WorkspacesConnectionStatus"] == []
