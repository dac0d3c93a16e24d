"""Any history of reserving, settling, releasing and changing amounts, held against the ledger as plain numbers."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from budgets import binding, ledger, services
from budgets.binding import Rate, Scopes
from budgets.models import Budget, Reservation
from costs import metering
from costs.charges import Charges
from costs.pricing import HOUR, fees_of_stay, hours_up
from forge.db.ids import uuid7
from tests.budgets.support import APRIL, MARCH, World
from tests.budgets.test_ledger import price, spend
from tests.factories import WorkSpaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

NOTHING = Decimal(0)
SCOPES = ("USER", "TEAM", "ORGANIZATION")
millionths = st.integers(1, 60_000_000).map(lambda n: Decimal(n).scaleb(-6))
machines = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), machines, millionths),
        st.tuples(st.just("settle"), machines, millionths),
        st.tuples(st.just("give_back"), machines, millionths),
        st.tuples(st.just("release"), machines, st.none()),
        st.tuples(st.just("allow"), st.integers(0, 2), millionths),
    ),
    max_size=25,
)


class Figures:
    """The design's sentences on plain numbers; one amount, spent and remaining per scope (and machine)."""

    def __init__(self, allowed):
        self.allowed = dict(allowed)
        self.spent = dict.fromkeys(allowed, NOTHING)
        self.remaining = defaultdict(lambda: None)

    def reserved(self, scope):
        return sum((held for (of, _), held in self.remaining.items() if of == scope and held), NOTHING)

    def reserve(self, machine, amount):
        fits = all(self.spent[s] + self.reserved(s) + amount <= self.allowed[s] for s in self.allowed)
        if fits:
            self.remaining |= {(scope, machine): amount for scope in self.allowed}
        return fits

    def settle(self, machine, amount):
        for scope in self.allowed:
            held = self.remaining[scope, machine]
            if held is not None:
                self.remaining[scope, machine] = held - min(held, max(amount, NOTHING))
            self.spent[scope] = max(self.spent[scope] + amount, NOTHING)

    def release(self, machine):
        for scope in self.allowed:
            self.remaining[scope, machine] = None


class Played:
    """The same with real rows."""

    def __init__(self):
        self.world = World()
        self.user = self.world.person()
        self.machines = [
            WorkSpaceFactory(
                organization=self.world.organization,
                owner=self.user,
                team=self.world.team,
                history=[(MARCH, "AVAILABLE")],
            )
            for _ in range(3)
        ]
        self.budgets = {scope: self.world.budget(scope, 100, user=self.user) for scope in SCOPES}
        self.rate = price(self.world)
        self.scopes = Scopes(
            organization=(self.world.organization.id, ""), user=(self.user.id, ""), team=(self.world.team.id, "")
        )
        self.booked = defaultdict(Decimal)

    def reserve(self, machine, amount):
        bound = binding.reserve(
            scopes=self.scopes,
            now=MARCH,
            lifetime_end=APRIL,
            rate=Rate(NOTHING, NOTHING, amount),
            hours=1,
            workspace_id=self.machines[machine].id,
            operation_id=None,
            correlation_id=uuid7(),
            expires_at=MARCH,
        )
        return not any(budget.obstacle for budget in bound)

    def settle(self, machine, amount):
        self.booked[machine] += amount
        spend(self.machines[machine], amount, hour=MARCH, rate=self.rate)
        charges = Charges([self.machines[machine].id], [MARCH], [amount])
        ledger.settle(charges=charges, now=MARCH + HOUR)

    def release(self, machine):
        ledger.release(workspaces=[self.machines[machine]], actor=Actor.job("test"), now=MARCH)

    def allow(self, scope, amount):
        services.change(actor=Actor.command("test"), budget_id=self.budgets[scope].id, amount=amount, now=MARCH)

    def figures(self):
        rows = {row.scope: row for row in Budget.objects.filter(organization=self.world.organization)}
        return {scope: (rows[scope].amount, rows[scope].spent, rows[scope].reserved) for scope in SCOPES}


def test_any_history_keeps_the_books(scale):
    metering.ensure_months(MARCH, MARCH)
    played = Played()

    @settings(max_examples=scale(400, 25), deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def hold(steps):
        with transaction.atomic():
            figures = Figures({scope: Decimal(100) for scope in SCOPES})
            played.booked.clear()
            for step, number, amount in steps:
                play(figures, step, number, amount)
                assert played.figures() == {
                    scope: (figures.allowed[scope], figures.spent[scope], figures.reserved(scope)) for scope in SCOPES
                }
            for reservation in Reservation.objects.all():
                assert 0 <= reservation.remaining <= reservation.amount
            transaction.set_rollback(True)

    def play(figures, step, number, amount):
        if step == "reserve":
            if figures.remaining["USER", number] is None:
                assert played.reserve(number, amount) == figures.reserve(number, amount)
        elif step == "settle":
            played.settle(number, amount)
            figures.settle(number, amount)
        elif step == "give_back":
            taken_back = -min(amount, played.booked[number])
            if taken_back:
                played.settle(number, taken_back)
                figures.settle(number, taken_back)
        elif step == "release":
            played.release(number)
            figures.release(number)
        else:
            scope = SCOPES[number]
            played.allow(scope, amount)
            figures.allowed[scope] = amount

    hold()


def test_sql_and_python_reckon_the_same_reservation(scale):
    """costs.pricing and budgets_binding, over any fee, price, instant and bound."""
    world = World()
    far = APRIL + timedelta(days=400)
    budget = world.budget(amount=10_000, period_end=far)
    scopes = Scopes(organization=(world.organization.id, ""), team=(world.team.id, ""))
    instants = st.integers(0, 30 * 86_400_000_000 - 1).map(lambda us: MARCH + timedelta(microseconds=us))
    fees = st.integers(0, 2_000_000_000).map(lambda n: Decimal(n).scaleb(-6))

    @settings(max_examples=scale(1000, 60), deadline=None)
    @given(fees, fees, fees, instants, st.integers(0, 400 * 24 * 3600), st.integers(0, 100))
    def agree(fee, storage_fee, hourly, now, seconds, hours):
        end = now + timedelta(seconds=seconds)
        [bound] = binding.read(
            scopes=scopes, now=now, lifetime_end=end, rate=Rate(fee, storage_fee, hourly), hours=hours
        )
        assert bound.id == budget.id
        assert bound.needed == fees_of_stay(fee, now, end) + fees_of_stay(storage_fee, now, end) + hourly * min(
            hours, hours_up(end - now)
        )

    agree()
