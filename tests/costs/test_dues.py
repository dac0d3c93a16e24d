"""By what machines are charged to the end of the month, for whole fleets in one statement: held against plain words."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from costs.dues import Modes, modes_of
from costs.pricing import hour_of
from tests.factories import OrganizationFactory, WorkSpaceFactory
from workspaces.models import ConfigurationChange, WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
MODES = ("AUTO_STOP", "ALWAYS_ON")


def charged_by(machine, now):
    """AlwaysOn counts to the month's end once the machine was it; AutoStop's fee stays owed where it came first."""
    began = max(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), hour_of(machine.launched_at))
    changes = ConfigurationChange.objects.filter(workspace=machine, occurred_at__gt=began).order_by("occurred_at", "id")
    modes = [*(change.before_running_mode for change in changes), machine.running_mode]
    if "ALWAYS_ON" not in modes:
        return "AUTO_STOP"
    return "BOTH" if modes[0] == "AUTO_STOP" else "ALWAYS_ON"


def with_a_history(chance, organization):
    """A machine that was launched and switched, or resized, at any time of two months."""
    launched_at = MARCH + timedelta(minutes=chance.randrange(-20_000, 30_000))
    mode = chance.choice(MODES)
    machine = WorkSpaceFactory(
        organization=organization, running_mode=mode, history=[(launched_at, "PENDING"), (launched_at, "AVAILABLE")]
    )
    places = [MARCH, launched_at, hour_of(launched_at)]
    times = [chance.choice(places) + timedelta(minutes=chance.choice((0, 1, 59, 4_000))) for _ in range(4)]
    for at in sorted(times)[: chance.randrange(5)]:
        if chance.random() < 0.3:
            machine.user_volume_gb += 50
        else:
            machine.running_mode = MODES[machine.running_mode == MODES[0]]
        machine.configured_at = at
        machine.save()
    return machine


@pytest.mark.parametrize("seed", range(4))
def test_any_history_of_any_fleet_is_charged_as_the_words_say(seed):
    chance, organization = random.Random(seed), OrganizationFactory()
    now = MARCH + timedelta(days=chance.randrange(3, 31))
    machines = [with_a_history(chance, organization) for _ in range(25)]
    found = dict(WorkSpace.objects.filter(organization=organization).values_list("id", Modes(now)))
    assert found == {machine.id: charged_by(machine, now) for machine in machines}
    assert len(set(found.values())) == 3
    assert all(modes_of(machine, now=now) == found[machine.id] for machine in machines[:5])
