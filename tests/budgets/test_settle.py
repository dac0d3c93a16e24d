"""Settling what is taken back, what tops up, and what ends a reservation's expiry."""

from decimal import Decimal

import pytest

from budgets.models import Reservation
from costs import metering
from costs.pricing import HOUR
from tests.budgets.support import APRIL, MARCH, World, figures
from tests.budgets.test_ledger import price, settle
from tests.factories import ReservationFactory, WorkSpaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def world():
    metering.ensure_months(MARCH, APRIL)
    return World()


@pytest.fixture
def machine(world):
    return WorkSpaceFactory(organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE")])


def held(budget, machine, remaining, **fields):
    """What the machine holds in the budget still, of a larger amount."""
    return ReservationFactory(budget=budget, workspace=machine, amount=Decimal(50), remaining=remaining, **fields)


def test_a_charge_that_is_taken_back_gives_nothing_back_to_the_reservation(world, machine):
    budget = world.budget(amount=100, spent=Decimal(3), reserved=Decimal(5))
    held(budget, machine, Decimal(5))
    settle(machine, Decimal(1), hour=MARCH, rate=price(world))
    settle(machine, Decimal(-1), hour=MARCH, rate=price(world))
    assert figures(budget) == (3, 4)
    assert Reservation.objects.get().remaining == 4


def test_what_is_taken_back_beyond_what_was_spent_leaves_nothing_spent(world, machine):
    """A budget adopted between a charge and its correction may have summed the corrected record already."""
    budget = world.budget(amount=100, spent=Decimal("0.5"))
    settle(machine, Decimal(1), hour=MARCH, rate=price(world))
    type(budget).objects.filter(pk=budget.pk).update(spent=Decimal("0.5"))
    settle(machine, Decimal(-1), hour=MARCH, rate=price(world))
    assert figures(budget) == (0, 0)


@pytest.mark.parametrize(("amount", "outcome"), [("20", (1, 0)), ("19.999999", (0, 1))])
def test_what_is_taken_back_beyond_what_was_spent_makes_no_room_for_a_top_up(world, machine, amount, outcome):
    """The machine must hold 20; a budget of less has no room for it, though half a unit below nothing was spent."""
    budget = world.budget(amount=amount, reserved=Decimal(5))
    held(budget, machine, Decimal(5))
    settle(machine, Decimal("0.5"), hour=MARCH, rate=price(world))
    type(budget).objects.filter(pk=budget.pk).update(spent=0, reserved=5)
    Reservation.objects.update(remaining=5)
    answer = settle(machine, Decimal("-0.5"), hour=MARCH, rate=price(world, monthly=Decimal(20)), now=MARCH)
    assert (answer.topped_up, answer.short) == outcome
    assert figures(budget) == (0, 20 if answer.topped_up else 5)


@pytest.mark.parametrize(("amount", "outcome"), [("20", (1, 0)), ("19.999999", (0, 1))])
def test_what_a_charge_takes_out_of_the_reservation_is_room_for_its_top_up(world, machine, amount, outcome):
    """2 spent out of the 5 held; 18 to hold: full to the last millionth."""
    budget = world.budget(amount=amount, reserved=Decimal(5))
    held(budget, machine, Decimal(5))
    answer = settle(machine, Decimal(2), hour=MARCH, rate=price(world, monthly=Decimal(18)), now=MARCH)
    assert (answer.topped_up, answer.short) == outcome
    assert figures(budget) == (2, 18 if answer.topped_up else 3)


def test_what_has_cost_something_expires_no_more(world, machine):
    budget = world.budget(amount=100, reserved=Decimal(5))
    held(budget, machine, Decimal(5), expires_at=MARCH + 24 * HOUR)
    settle(machine, Decimal(0), hour=MARCH, rate=price(world))
    assert Reservation.objects.get().expires_at is None
