"""Tags of adopted machines: people's own can be taken off in Forge from the start, those of others stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from forge.operations.models import Operation
from tests.workspaces.support import machine
from tests.workspaces.test_fleet import cloud, look, person
from tests.workspaces.test_fleet_judged import run
from tests.workspaces.test_fleet_looks import adopt, found
from tests.world import actor
from workspaces import services
from workspaces.api.tags import tags_of
from workspaces.reconcile import reconcile
from workspaces.tagging.repairing import LATE
from workspaces.tagging.wanted import OPERATION, difference, own_of, wanted_of

__all__ = ["cloud"]

THEIRS = {"cost-center": "r-100", "env": "lab", "Forge:owner": "lab"}


def alone(world, one):
    assert adopt(world, one).status_code == 201


def all_of_them(world, one):
    assert run(world)["adopted"] == 1


def shown(cloud):
    """What AWS has of the only machine that Forge knows."""
    listed = cloud.api.describe_tags(ResourceId=machine().provider_id)["TagList"]
    return {tag["Key"]: tag["Value"] for tag in listed}


@pytest.mark.parametrize("take_over", [alone, all_of_them])
def test_tags_that_are_taken_off_before_the_first_repair_go_from_aws_too(world, cloud, simulator, clock, take_over):
    person(world, "ann")
    cloud.launch("ann", Tags=[{"Key": key, "Value": value} for key, value in THEIRS.items()])
    look(simulator)
    take_over(world, found("ann"))
    assert machine().tags == {"cost-center": "r-100", "env": "lab"}
    assert not tags_of(machine())["is_applied"]

    asked = services.tag(actor=actor(world.admin), workspace_id=machine().pk, tags={}, now=clock.now)
    assert clock.finish(asked.operation).status == "succeeded"
    assert shown(cloud) == {"Forge:owner": "lab", **wanted_of(machine())}
    assert tags_of(machine())["is_applied"]
    clock.now += LATE
    assert reconcile(now=clock.now)["untagged"] == 0


def test_a_repair_after_the_adoption_keeps_what_people_gave_it(world, cloud, simulator, clock):
    person(world, "ann")
    cloud.launch("ann", Tags=[{"Key": key, "Value": value} for key, value in THEIRS.items()])
    look(simulator)
    alone(world, found("ann"))
    clock.now = timezone.now() + LATE
    assert reconcile(now=clock.now)["retagging"] == 1
    clock.work(rounds=3)
    assert shown(cloud) == {**THEIRS, **wanted_of(machine())}


def test_tags_of_aws_and_those_that_people_may_not_give_are_never_forges_to_take_off():
    others = {"aws:createdBy": "root", "AWS:x": "1", "Forge:x": "2", OPERATION: "o", "a#b": "3", "c": "aws:d"}
    own = own_of({**others, "env": "lab"})
    assert own == {"env": "lab"}
    assert difference({}, {**others, "env": "lab"}, applied=own).remove == ("env",)


def test_an_index_of_tags_that_follows_late_causes_no_repair(world, simulator, clock):
    simulator.control.fault("late_tags", rate=1.0, seconds=LATE.total_seconds() - 60)
    clock.finish(services.launch(actor=actor(world.engineer), spec=world.spec(), now=clock.now).operation)
    asked_for = services.tag(actor=actor(world.engineer), workspace_id=machine().pk, tags={"a": "1"}, now=clock.now)
    assert clock.finish(asked_for.operation).status == "succeeded"
    written_at, asked = machine().tags_applied_at, Operation.objects.filter(kind="workspace.tag").count()
    for minutes in (1, 5, 10, 14, 15):
        seconds = (written_at + timedelta(minutes=minutes) - clock.now).total_seconds()
        if seconds > 0:
            simulator.control.advance(seconds)
            clock.now += timedelta(seconds=seconds)
        figures = reconcile(now=clock.now)
        assert (figures["untagged"], figures["retagging"]) == (0, 0)
    assert Operation.objects.filter(kind="workspace.tag").count() == asked
