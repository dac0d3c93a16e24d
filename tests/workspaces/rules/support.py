"""Machines for the rules, their samples, and a run at an instant."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from forge.db.ids import uuid7
from tests import factories
from workspaces.models import UsageSample, WorkSpace
from workspaces.rules import sweep

IDLE, BUSY = 2.0, 80.0


def machine(world, *, owner=None, since=None, states=("PENDING", "AVAILABLE"), **facts):
    """A machine of the engineer (or `owner`) that came into the last of `states` at `since`, else an hour ago."""
    since = since or timezone.now() - timedelta(hours=1)
    history = [(since - timedelta(minutes=len(states) - 1 - n), state) for n, state in enumerate(states)]
    return factories.WorkSpaceFactory(
        organization=world.organization,
        owner=owner or world.engineer,
        provider_account=world.account,
        **{
            "team": world.team,
            "blueprint": world.blueprint,
            "provider_id": f"ws-{uuid7().hex[-9:]}",
            "history": history,
            **facts,
        },
    )


def stopped(world, **facts):
    return machine(world, states=("PENDING", "AVAILABLE", "STOPPING", "STOPPED"), **facts)


def sample(workspace, at, *, cpu=IDLE, connected=False, source="CLOUDWATCH"):
    return UsageSample.objects.create(
        workspace=workspace,
        organization_id=workspace.organization_id,
        at=at,
        source=source,
        cpu=cpu,
        connected=connected,
    )


def idle_samples(workspace, now, count=3):
    """The newest `count` samples before `now` say idle."""
    for number in range(count):
        sample(workspace, now - timedelta(minutes=5 * (number + 1)))


def run(now, **changes):
    """The figures of a run that are not 0, but for how many were reckoned."""
    return {name: count for name, count in sweep.enforce(now=now).items() if count and name != "reckoned"}


def fresh(workspace):
    return WorkSpace.objects.get(pk=workspace.pk)
