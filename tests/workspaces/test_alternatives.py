"""A launch for which a region has no room says where else the same could be launched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge.outbox import sending
from tests import factories
from tests import world as worlds
from tests.workspaces.support import fresh, launch, machine
from workspaces.lifecycle import State
from workspaces.models import RegionPolicy


@pytest.fixture
def wide(world):
    """The world with a blueprint that offers STANDARD in four regions, three of them open but one switched off."""
    blueprint = factories.BlueprintFactory(
        organization=world.organization, team=world.team, bundle=None, status="DRAFT"
    )
    for number, region in enumerate((worlds.REGION, "eu-west-1", "us-west-2", "ap-southeast-2")):
        bundle_id = worlds.catalog.bundle_id(region, worlds.IMAGE, "STANDARD")
        factories.BlueprintBundleFactory(
            blueprint=blueprint, region=region, bundle_type="STANDARD", bundle_id=bundle_id
        )
        if number:
            factories.ProviderAccountFactory(
                organization=world.organization, region=region, name=region, enabled=region != "us-west-2"
            )
    factories.BlueprintBundleFactory(blueprint=blueprint, region="eu-west-1", bundle_type="POWER")
    factories.publish(blueprint)
    return replace(world, blueprint=blueprint)


@pytest.mark.parametrize("kind", ["resource_limit", "capacity"])
def test_a_region_without_room_names_the_others_that_are_open(wide, simulator, clock, kind, mailoutbox):
    simulator.control.fault(kind, operation="CreateWorkspaces", count=9)
    operation = launch(wide, clock)
    ended = clock.finish(operation)
    assert ended.status == "failed"
    assert ended.error["alternatives"] == [
        {"region": "ap-southeast-2", "bundle_type": "STANDARD"},
        {"region": "eu-west-1", "bundle_type": "STANDARD"},
    ]
    assert machine().state == State.FAILED
    sending.send(now=clock.now)
    assert "Another region offers the same: ap-southeast-2, eu-west-1." in mailoutbox[0].body


def test_a_region_that_the_teams_policy_leaves_out_is_no_alternative(wide, simulator, clock):
    RegionPolicy.objects.create(
        organization=wide.organization, team=wide.team, regions=[worlds.REGION, "ap-southeast-2"]
    )
    simulator.control.fault("capacity", operation="CreateWorkspaces", count=9)
    ended = clock.finish(launch(wide, clock))
    assert [one["region"] for one in ended.error["alternatives"]] == ["ap-southeast-2"]


def test_another_fault_names_none(wide, simulator, clock):
    simulator.control.fault("access_denied", operation="CreateWorkspaces", count=99)
    operation = launch(wide, clock)
    clock.work(rounds=3)
    assert "alternatives" not in fresh(operation).error
