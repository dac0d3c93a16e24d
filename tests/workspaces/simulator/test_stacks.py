"""Stacks that whoever runs the AWS account has made, by a control call."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import REGION, Cloud
from workspaces.simulator.client import ControlError
from workspaces.simulator.server import Simulator

ACCOUNT = "123456789012"
FLEET: dict[str, Any] = {
    "Name": "fleet",
    "InstanceType": "stream.standard.medium",
    "ImageName": "engineering-apps-1",
    "ComputeCapacity": {"DesiredInstances": 2},
}


def appear(simulator: Simulator, fleet: dict[str, Any] = FLEET, **more: Any) -> dict[str, Any]:
    stack = {"Name": "stack", "Tags": {"team": "red"}}
    return simulator.control.appear_stack(
        **{"account": ACCOUNT, "region": REGION, "fleet": fleet, "stack": stack} | more
    )


def test_a_stack_appears_with_a_fleet_that_runs(simulator: Simulator, cloud: Cloud) -> None:
    assert appear(simulator) == {
        "name": "stack",
        "arn": f"arn:aws:appstream:{REGION}:{ACCOUNT}:stack/stack",
        "fleet": "fleet",
    }
    api = cloud.applications
    assert api.describe_fleets(Names=["fleet"])["Fleets"][0]["State"] == "RUNNING"
    assert api.list_associated_fleets(StackName="stack")["Names"] == ["fleet"]
    url = api.create_streaming_url(StackName="stack", FleetName="fleet", UserId="ann")["StreamingURL"]
    assert simulator.control.open_stream(url)["UserId"] == "ann"
    found = cloud.tagging.get_resources(ResourceTypeFilters=["appstream:stack"])["ResourceTagMappingList"]
    assert [one["Tags"] for one in found] == [[{"Key": "team", "Value": "red"}]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"account": None}, "needs account, region, fleet and stack"),
        ({"stack": {"Name": "a b"}}, "failed to satisfy constraint"),
        ({"fleet": {"Name": "fleet"}}, "InstanceType|instanceType"),
        ({"fleet": FLEET | {"ImageName": "none"}}, "does not exist"),
    ],
)
def test_a_stack_that_cannot_be_does_not_appear(
    simulator: Simulator, cloud: Cloud, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ControlError, match=message):
        appear(simulator, **change)
    assert cloud.applications.describe_stacks()["Stacks"] == []
    assert cloud.applications.describe_fleets()["Fleets"] == []
    appear(simulator)
    with pytest.raises(ControlError, match="already exists"):
        appear(simulator)
    assert len(cloud.applications.describe_fleets()["Fleets"]) == 1
