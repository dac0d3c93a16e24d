"""Stacks of WorkSpaces Applications that are made behind everybody's back, as whoever runs the AWS account would."""

from collections.abc import Mapping
from typing import Any

from workspaces.simulator import inputs
from workspaces.simulator.applications import associations, fleets, stacks
from workspaces.simulator.applications.common import FLEET, STACK, existing, require_new
from workspaces.simulator.shape import checked
from workspaces.simulator.world import World


def appear(world: World, document: Mapping[str, Any]) -> dict[str, Any]:
    """Make a fleet that runs at once, and a stack of it; AwsError where AWS would refuse one of the two.

    `{"account": …, "region": …, "fleet": {…}, "stack": {…}}`, as CreateFleet and CreateStack take them.
    """
    account, region = document.get("account"), document.get("region")
    if not isinstance(account, str) or not isinstance(region, str):
        raise ValueError("A stack needs account, region, fleet and stack.")
    fleet = checked(inputs.APPLICATIONS["CreateFleet"], document.get("fleet"))
    stack = checked(inputs.APPLICATIONS["CreateStack"], document.get("stack"))
    place, now = world.place(account, region), world.clock.now()
    require_new(place, STACK, stack["Name"])
    fleets.create_fleet(place, now, fleet)
    running = existing(place, FLEET, fleet["Name"]) | {"state": "RUNNING"}
    place.commit(now=now, records={(FLEET, fleet["Name"]): running})
    shown = stacks.create_stack(place, now, stack)["Stack"]
    associations.associate_fleet(place, now, {"FleetName": fleet["Name"], "StackName": stack["Name"]})
    return {"name": shown["Name"], "arn": shown["Arn"], "fleet": fleet["Name"]}
