"""What a budget holds that takes a whole fleet over is what its machines owe one by one, however unlike they are."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest

from budgets.adoption import adopt, foresee
from budgets.models import Budget, Reservation
from costs import metering
from costs.dues import dues_of, kinds_of, modes_of
from costs.forecasts import prices_of
from costs.models import CostRecord
from costs.pricing import HOUR, hour_of, hour_up
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree
from tests.budgets.test_moves import budget_of, machine_of
from tests.budgets.test_switched import switch

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def owed(machine, budget, now):
    """Fees of the hours that are in no record, and 40 hours of running: to the end of the period or of its life."""
    machine.refresh_from_db()
    kind = (machine.service_type, machine.region, machine.bundle_type, machine.operating_system, machine.running_mode)
    modes, gigabytes = modes_of(machine, now=now), machine.root_volume_gb + machine.user_volume_gb
    prices = prices_of(kinds_of(kind, modes), organization=machine.organization, now=now)
    dues = dues_of(kind, modes, gigabytes, prices, now=now)
    bound = min(budget.period_end, machine.lives_until(now))
    booked = CostRecord.objects.filter(
        workspace=machine, period_start__gte=budget.period_start, period_start__lt=budget.period_end
    )
    last = booked.order_by("-period_start").values_list("period_start", flat=True).first()
    first = max(budget.period_start, last + HOUR if last else hour_of(machine.launched_at))
    return dues.fees_between(first, hour_up(bound)) + dues.running(now, bound, 40)


@pytest.mark.parametrize("ends", [APRIL, MAY])
@pytest.mark.parametrize("seed", range(3))
def test_a_fleet_is_held_for_machine_by_machine(seed, ends):
    metering.ensure_months(MARCH, MAY)
    chance, world = random.Random(seed), World()
    now = MARCH + timedelta(days=6, hours=9, minutes=30)
    machines = []
    for _ in range(14):
        began = MARCH + timedelta(minutes=chance.randrange(-4_000, 8_000))
        machines.append(
            machine_of(
                world, world.person(), began, running_mode=chance.choice(("AUTO_STOP", "ALWAYS_ON")),
                bundle_type=chance.choice(("STANDARD", "POWER")), user_volume_gb=chance.choice((50, 250)),
                max_lifetime_days=chance.randrange(8, 70), keep_alive=chance.random() < 0.2,
            )
        )  # fmt: skip
    for machine in machines[:5]:
        mode = "ALWAYS_ON" if machine.running_mode == "AUTO_STOP" else "AUTO_STOP"
        switch(machine, mode, MARCH + timedelta(days=6, hours=1, minutes=20))
    if seed:
        metering.meter(now=now - seed * HOUR)
    budget = budget_of(world, "TEAM", world.team.id, period_start=MARCH, period_end=ends, adopted_at=None)
    expected = {machine.id: owed(machine, budget, now) for machine in machines}
    assert len(set(expected.values())) > 5
    assert foresee(budget_id=budget.id, now=now)[1] == sum(expected.values(), Decimal(0))
    adopt(budget_id=budget.id, now=now)
    held = dict(Reservation.objects.filter(budget=budget).values_list("workspace_id", "remaining"))
    assert held == expected
    assert Budget.objects.get(pk=budget.pk).reserved == sum(expected.values(), Decimal(0))
    assert_sums_agree()
