"""Settle, top up, release and adopt, line by line against the worked examples."""

import re
from decimal import Decimal
from itertools import groupby

import pytest
from django.db import connection, transaction
from django.db.models import F

from audit.actors import Actor
from budgets import binding, ledger, thresholds
from budgets.binding import Rate, Scopes
from budgets.models import Budget, BudgetThreshold, Reservation
from costs import metering
from costs.charges import Charges
from costs.models import CostRecord, Price
from costs.pricing import HOUR, accruals, hour_of
from forge.db.ids import uuid7
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree, figures, write_rows
from tests.costs import worked
from tests.factories import ReservationFactory, WorkSpaceFactory
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

NOTHING = Decimal(0)


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def price(world, *, monthly=NOTHING, hourly=NOTHING):
    """A price that no machine finds by its kind, to hang on a record."""
    return Price.objects.create(
        organization=world.organization,
        region=f"region-{uuid7()}"[:32],
        bundle_type="STANDARD",
        operating_system="LINUX",
        running_mode="AUTO_STOP",
        monthly_amount=monthly,
        hourly_amount=hourly,
        included_storage_gb=500,
        currency="USD",
        source="test",
        as_of=MARCH.date(),
        valid_from=MARCH,
    )


def spend(machine, amount, *, hour, rate):
    """A cost record of the machine; later ones of an hour add to it."""
    _, created = CostRecord.objects.get_or_create(
        workspace=machine,
        period_start=hour,
        defaults={
            "period_end": hour + HOUR,
            "organization_id": machine.organization_id,
            "user_id": machine.owner_id,
            "team_id": machine.team_id,
            "project_id": machine.project_id,
            "price": rate,
            "compute_cost": amount,
            "total_cost": amount,
            "currency": "USD",
            "bundle_type": machine.bundle_type,
            "region": machine.region,
            "running_mode": machine.running_mode,
        },
    )
    if not created:
        CostRecord.objects.filter(workspace=machine, period_start=hour).update(
            compute_cost=F("compute_cost") + amount, total_cost=F("total_cost") + amount, price=rate
        )


def settle(machine, amount, *, hour, rate, now=None):
    with transaction.atomic():
        spend(machine, amount, hour=hour, rate=rate)
        return ledger.settle(charges=Charges([machine.id], [hour], [amount]), now=now or hour + HOUR)


@pytest.mark.parametrize(**worked.each("settlements"))
def test_one_cost_against_one_reservation(row, world):
    given = {name: Decimal(row[name]) for name in ("amount", "spent", "reserved", "remaining", "cost")}
    budget = world.budget(amount=given["amount"], spent=given["spent"], reserved=given["reserved"])
    machine = WorkSpaceFactory(organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE")])
    ReservationFactory(budget=budget, workspace=machine, amount=given["remaining"])
    settle(machine, given["cost"], hour=MARCH, rate=price(world))
    budget.refresh_from_db()
    assert Reservation.objects.get().remaining == Decimal(row["remaining_after"])
    assert budget.reserved == Decimal(row["reserved_after"])
    assert budget.spent == Decimal(row["spent_after"])
    assert budget.overrun == Decimal(row["overrun"])


@pytest.mark.parametrize(**worked.each("topups"))
def test_a_reservation_is_topped_up_left_alone_or_does_not_fit(row, world):
    now, bound = worked.instant(row["now"]), worked.instant(row["bound"])
    budget = world.budget(amount=row["amount"], spent=row["spent"], reserved=row["reserved"], period_end=bound)
    machine = WorkSpaceFactory(
        organization=world.organization,
        team=world.team,
        bundle_type=row["bundle_type"],
        running_mode=row["running_mode"],
        history=[(MARCH, "AVAILABLE")],
    )
    held = ReservationFactory(budget=budget, workspace=machine, amount=Decimal(row["remaining"]))
    rate = Price.objects.get(
        organization=None,
        bundle_type=row["bundle_type"],
        operating_system="LINUX",
        running_mode=row["running_mode"],
    )
    outcome = settle(machine, NOTHING, hour=hour_of(now), rate=rate, now=now)
    assert (outcome.topped_up, outcome.short) == {"enough": (0, 0), "topped_up": (1, 0), "on_limit": (0, 1)}[
        row["outcome"]
    ]
    held.refresh_from_db()
    budget.refresh_from_db()
    assert held.remaining == Decimal(row["remaining_after"])
    assert held.amount == Decimal(row["remaining"]) + Decimal(row["added"])
    assert budget.reserved == Decimal(row["reserved_after"])


class Sequence:
    """One case of ledger.csv, played with real rows; letters of the file are scopes or successive periods."""

    SCOPES = {"T": "TEAM", "O": "ORGANIZATION", "P": "PROJECT", "U": "USER", "MONTH": "TEAM", "QUARTER": "PROJECT"}
    PERIODS = {"APR": (APRIL, MAY), "QUARTER": (MARCH, worked.instant("2026-06-01T00:00:00Z"))}

    def __init__(self, world):
        self.world = world
        self.user = world.person()
        self.budgets, self.machines = {}, {}
        self.free = price(world)

    def play(self, step):
        given = {
            name: Decimal(figure)
            for name, _, figure in (part.partition("=") for part in filter(None, step["figures"].split("|")))
        }
        return getattr(self, step["operation"])(step["reservation"], given, step)

    def open(self, _name, given, _step):
        for letter, amount in given.items():
            start, end = self.PERIODS.get(letter, (MARCH, APRIL))
            adopted = None if letter == "APR" or self.adopts else start
            self.budgets[letter] = self.world.budget(
                self.SCOPES.get(letter, "TEAM"),
                amount,
                user=self.user,
                period_start=start,
                period_end=end,
                adopted_at=adopted,
            )

    def reserve(self, name, given, _step):
        now = APRIL if "APR" in given else MARCH
        rate, hours = Rate(NOTHING, NOTHING, next(iter(given.values()))), 1
        if "QUARTER" in given:  # two more months of fees make the difference
            fee = (given["QUARTER"] - given["MONTH"]) / 2
            now = worked.instant("2026-03-31T00:00:00Z")
            rate = Rate(fee, NOTHING, given["MONTH"] - accruals(fee, now, APRIL))
        intent = self.world.intent(user=self.user, now=now)
        with transaction.atomic():
            bound = binding.reserve(
                scopes=Scopes(
                    organization=(self.world.organization.id, ""),
                    user=(self.user.id, ""),
                    team=(self.world.team.id, ""),
                    project=(self.world.project.id, ""),
                ),
                now=now,
                lifetime_end=intent.lifetime_end,
                rate=rate,
                hours=hours,
                workspace_id=intent.workspace_id,
                operation_id=intent.operation_id,
                correlation_id=intent.correlation_id,
                expires_at=now,
            )
            assert sorted(budget.needed for budget in bound) == sorted(given.values())
            if any(budget.obstacle for budget in bound):
                assert {budget.obstacle for budget in bound} <= {"", "no_room"}
                return "no"
            write_rows(intent, self.world.account)
        self.machines[name] = WorkSpace.objects.get(pk=intent.workspace_id)
        return "yes"

    def settle(self, name, given, _step):
        machine = self.machines.get(name) or self._machine()
        amount = next(iter(given.values()))
        settle(machine, amount, hour=APRIL if "APR" in given else MARCH, rate=self.free)

    def topup(self, name, given, _step):
        machine, budget = self.machines[name], self.budgets["T"]
        remaining = Reservation.objects.get(workspace=machine, budget=budget).remaining
        rate = price(self.world, monthly=remaining + given["T"])
        outcome = settle(machine, NOTHING, hour=MARCH, rate=rate, now=MARCH)
        return "yes" if outcome.topped_up else "no"

    def release(self, name, _given, _step):
        ledger.release(workspaces=[self.machines[name]], actor=Actor.job("test"), now=MARCH)

    def spend(self, _name, given, _step):
        gone = self._machine(history=[(MARCH, "AVAILABLE"), (MARCH + HOUR, "TERMINATED")])
        spend(gone, given["T"], hour=MARCH, rate=self.free)

    def end(self, _name, _given, _step):
        """Nothing yet: adoption of the next period ends the old one's reservation."""

    def adopt(self, name, given, _step):
        """A live machine with a price of its own kind; adopted together once all of them are there."""
        letter, amount = next(iter(given.items()))
        if name not in self.machines:
            region = f"region-{name}"
            Price.objects.filter(pk=price(self.world, monthly=amount).pk).update(region=region)
            self.machines[name] = self._machine(region=region)
        self.waiting = self.budgets[letter]

    def _machine(self, **fields):
        fields = {"history": [(MARCH, "AVAILABLE")]} | fields
        return WorkSpaceFactory(organization=self.world.organization, owner=self.user, team=self.world.team, **fields)

    def after(self):
        rows = {letter: Budget.objects.get(pk=budget.pk) for letter, budget in self.budgets.items()}
        return "|".join(f"{letter}={row.spent:.6f}/{row.reserved:.6f}" for letter, row in sorted(rows.items()))

    def fired(self):
        names = {Decimal("0.8"): "warning", Decimal(1): "limit"}
        for budget in self.budgets.values():
            thresholds.fire(budget_id=budget.id, actor=Actor.job("check_budgets"), now=MARCH)
        return {
            f"{letter}:{names[threshold.fraction]}"
            for letter, budget in self.budgets.items()
            for threshold in BudgetThreshold.objects.filter(budget=budget, fired_at__isnull=False)
        }


def steps_of(case):
    """The steps of a case, those of one adoption as one group: the product does them in one transaction."""
    rows = [row for name, row in worked.cases("ledger") if name == case]
    adoption = ("spend", "end", "adopt")
    groups = groupby(enumerate(rows), key=lambda pair: -1 if pair[1]["operation"] in adoption else pair[0])
    return [[row for _, row in group] for _, group in groups]


@pytest.mark.parametrize("case", list(dict.fromkeys(name for name, _ in worked.cases("ledger"))))
def test_a_sequence_goes_as_it_was_worked_out(case, world):
    sequence = Sequence(world)
    groups = steps_of(case)
    sequence.adopts = any(row["operation"] == "spend" for group in groups for row in group)
    fired = set()
    for group in groups:
        for step in group:
            assert (sequence.play(step) or "") == step["admitted"], step
        if group[-1]["operation"] == "adopt":
            assert ledger.adopt(budget_id=sequence.waiting.id, now=sequence.waiting.period_start)
            assert not ledger.adopt(budget_id=sequence.waiting.id, now=sequence.waiting.period_start)
        assert sequence.after() == group[-1]["after"], group[-1]
        fired |= {mark for step in group for mark in step["marks_fired"].split("|") if mark}
        assert sequence.fired() == fired, group[-1]
        assert_sums_agree()


# -- What the examples leave out -------------------------------------------------------------------------------------


def test_where_room_is_short_the_smallest_addition_is_granted_first(world):
    """Two machines have run low, there is room for one of them: the one that needs less, whatever their order."""
    rate = price(world, monthly=Decimal(20))
    machines = [
        WorkSpaceFactory(organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE")])
        for _ in range(2)
    ]
    budget = world.budget(amount=44, reserved=Decimal(30))
    holding = dict(zip(machines, [Decimal(12), Decimal(18)], strict=True))
    for machine, amount in holding.items():
        ReservationFactory(budget=budget, workspace=machine, amount=amount)
        spend(machine, NOTHING, hour=MARCH, rate=rate)
    charges = Charges([machine.id for machine in machines], [MARCH] * 2, [NOTHING] * 2)
    assert ledger.settle(charges=charges, now=MARCH) == ledger.Settlement(settled=2, topped_up=2, short=0)
    assert_sums_agree()
    Budget.objects.filter(pk=budget.pk).update(amount=35, reserved=Decimal(30))
    for machine, amount in holding.items():
        Reservation.objects.filter(workspace=machine).update(amount=amount, remaining=amount)
    assert ledger.settle(charges=charges, now=MARCH) == ledger.Settlement(settled=2, topped_up=1, short=1)
    assert [Reservation.objects.get(workspace=machine).remaining for machine in machines] == [12, 20]
    assert_sums_agree()


def test_a_charge_goes_to_the_budget_in_whose_period_its_hour_lies(world):
    """One sweep over the turn of the month: each hour lands on its own side."""
    march = world.budget(amount=500)
    april = world.budget(amount=500, period_start=APRIL, period_end=MAY)
    machine = WorkSpaceFactory(organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE")])
    hours = [APRIL - HOUR, APRIL, APRIL + HOUR]
    for hour in hours:
        spend(machine, Decimal(1), hour=hour, rate=price(world))
    ledger.settle(charges=Charges([machine.id] * 3, hours, [Decimal(1)] * 3), now=APRIL + 2 * HOUR)
    assert figures(march) == (1, 0)
    assert figures(april) == (2, 0)


@pytest.mark.parametrize("fields", [{"adopted_at": None}, {"is_active": False}])
def test_a_budget_that_does_not_count_is_passed_over(world, fields):
    budget = world.budget(**fields)
    machine = WorkSpaceFactory(organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE")])
    assert settle(machine, Decimal(1), hour=MARCH, rate=price(world)).settled == 0
    assert figures(budget) == (0, 0)


def test_machines_that_have_ended_are_not_topped_up(world):
    budget = world.budget(amount=500, reserved=Decimal(1))
    machine = WorkSpaceFactory(
        organization=world.organization, team=world.team, history=[(MARCH, "AVAILABLE"), (MARCH + HOUR, "TERMINATED")]
    )
    ReservationFactory(budget=budget, workspace=machine, amount=Decimal(1))
    outcome = settle(machine, Decimal("0.3"), hour=MARCH, rate=price(world, monthly=Decimal(10)))
    assert (outcome.topped_up, outcome.short) == (0, 0)
    ledger.release(workspaces=[machine], actor=Actor.job("test"), now=MARCH + HOUR)
    assert figures(budget) == (Decimal("0.3"), 0)
    assert Reservation.objects.get().released_at == MARCH + HOUR


def test_nothing_to_settle_and_nobody_to_release_is_no_error(world):
    assert ledger.settle(charges=Charges([], [], []), now=MARCH) == ledger.Settlement(0, 0, 0)
    assert ledger.release(workspaces=[], actor=Actor.job("test"), now=MARCH) == 0


@pytest.mark.parametrize("function", ["budgets_reserve", "budgets_settle", "budgets_release", "budgets_empty"])
def test_each_function_locks_the_budgets_in_order_before_it_changes_them(function):
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = %s", [function])
        (source,) = cursor.fetchone()
    lock = re.search(r"ORDER BY b\.id FOR NO KEY UPDATE\s*\)?;", source)
    assert lock
    assert source.index("UPDATE budgets_budget") > lock.end()
    assert source.index("budgets_reservation", lock.end()) > lock.end()
