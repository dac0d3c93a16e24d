"""Random histories of everything that moves money or limits, by sixteen threads: the books agree, no limit is passed.

A constraint trigger of this file's own is the witness of each admission: at the commit of whoever wrote a launch's
reservation it reads the budget, which that transaction still holds, and refuses what is beyond the limit. A raise that
is over when the launch is admitted counts nothing to it, whether or not the books have noted its end.
"""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from budgets import expiry, ledger, raising, services, transferring
from budgets.models import EXPIRES_AFTER, Budget, BudgetRaise, Reservation
from costs import metering
from costs.charges import Charges
from costs.pricing import HOUR
from forge.api.errors import Conflict, Refused
from forge.operations.models import Operation
from tests import factories
from tests.budgets.support import APRIL, MARCH, MAY, STANDARD, World, admit, assert_sums_agree
from tests.budgets.test_ledger import price, spend
from tests.budgets.test_races import assert_spent_is_the_sum_of_the_records, lock_machine_scopes
from tests.budgets.threads import crew
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

COMMAND = Actor.command("test")
ROOM = 3 * STANDARD
"""Each budget begins with room for the machine that it holds, and for two more."""

WITNESS = """
    CREATE FUNCTION test_witness() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
        IF EXISTS (
            SELECT FROM budgets_budget b JOIN workspaces_workspace w ON w.id = NEW.workspace_id
             WHERE b.id = NEW.budget_id
               AND b.spent + b.reserved > b.amount + b.transferred + coalesce((
                       SELECT sum(r.amount) FROM budgets_budgetraise r
                        WHERE r.budget_id = b.id AND r.created_at <= w.created_at AND r.ends_at > w.created_at
                          AND r.ended_at IS NULL
                   ), 0)
        ) THEN
            RAISE EXCEPTION 'an admission passed the limit of %', NEW.budget_id;
        END IF;
        RETURN NULL;
    END
    $body$;
    CREATE CONSTRAINT TRIGGER test_witness AFTER INSERT ON budgets_reservation DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.operation_id IS NOT NULL) EXECUTE FUNCTION test_witness();
"""
NO_WITNESS = "DROP TRIGGER test_witness ON budgets_reservation; DROP FUNCTION test_witness()"

teams = st.integers(0, 1)
budgets = st.integers(0, 3)
machines = st.integers(0, 3)
hours = st.integers(0, 30)
money = st.integers(1, 40_000_000).map(lambda n: Decimal(n).scaleb(-6))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), teams, hours),
        st.tuples(st.just("reserve"), teams, hours),
        st.tuples(st.just("settle"), machines, hours, money),
        st.tuples(st.just("release"), st.sampled_from([0, 2])),
        st.tuples(st.just("expire"), st.sampled_from([1, 3])),
        st.tuples(st.just("allow"), budgets, money),
        st.tuples(st.just("raise_"), budgets, money, hours),
        st.tuples(st.just("end"), budgets),
        st.tuples(st.just("transfer"), teams, money),
    ),
    min_size=16,
    max_size=48,
)


class History:
    """Two teams with two launched machines each, and budgets of both, of the project and of the organization."""

    def __init__(self):
        self.worlds = [World()]
        first = self.worlds[0]
        other = World.__new__(World)
        other.__dict__ |= first.__dict__ | {"team": factories.TeamFactory(organization=first.organization)}
        self.worlds.append(other)
        self.people = [world.person() for world in self.worlds]
        self.budgets = [
            first.budget("TEAM", ROOM),
            other.budget("TEAM", ROOM),
            first.budget("PROJECT", 2 * ROOM),
            first.budget("ORGANIZATION", 2 * ROOM),
        ]
        self.machines = [
            world.launch(user=user) for world, user in zip(self.worlds, self.people, strict=True) for _ in range(2)
        ]
        self.rate = price(first)

    def play(self, step):
        """One step in transactions of its own; what the rules refuse leaves nothing."""
        kind, *arguments = step
        act: Callable[..., object] = getattr(self, kind)
        with suppress(Refused, Conflict):
            act(*arguments)

    def reserve(self, team, hour):
        world = self.worlds[team]
        answer = admit(world.intent(user=self.people[team], now=MARCH + hour * HOUR), world.account)
        assert all(Decimal(one["after"]) <= Decimal(one["limit"]) for one in answer["budgets"])

    def settle(self, number, hour, amount):
        machine, at = self.machines[number], MARCH + hour * HOUR
        with transaction.atomic():
            self._lock(machine)
            spend(machine, amount, hour=at, rate=self.rate)
            ledger.settle(charges=Charges([machine.id], [at], [amount]), now=at + HOUR)

    def release(self, number):
        machine = self.machines[number]
        with transaction.atomic():
            self._lock(machine)
            WorkSpace.objects.filter(pk=machine.pk).update(state="TERMINATED", terminated_at=MARCH)
            ledger.release(workspaces=[machine], actor=COMMAND, now=MARCH)

    def expire(self, number):
        launch = Operation.objects.get(target_id=self.machines[number].id)
        expiry.call_off(operation_id=launch.id, actor=COMMAND, now=MARCH + EXPIRES_AFTER + HOUR)

    def allow(self, number, amount):
        services.change(actor=COMMAND, budget_id=self.budgets[number].id, amount=2 * amount, now=MARCH)

    def raise_(self, number, amount, hour):
        raising.raise_limit(
            actor=COMMAND, budget_id=self.budgets[number].id, amount=amount, ends_at=MARCH + (hour + 1) * HOUR,
            reason="a test", now=MARCH,
        )  # fmt: skip

    def end(self, number):
        raising.end_over(budget_id=self.budgets[number].id, actor=COMMAND, now=MARCH + 15 * HOUR)

    def transfer(self, giver, amount):
        pair = (self.budgets[giver].id, self.budgets[1 - giver].id)
        transferring.transfer(
            actor=COMMAND, giver_id=pair[0], receiver_id=pair[1], amount=amount, reason="a test", now=MARCH
        )

    def _lock(self, machine):
        world = self.worlds[0] if machine.team_id == self.worlds[0].team.id else self.worlds[1]
        lock_machine_scopes(world, machine)


@pytest.fixture
def witness():
    with connections["owner"].cursor() as cursor:
        cursor.execute(WITNESS)
    yield
    with connections["owner"].cursor() as cursor:
        cursor.execute(NO_WITNESS)


def launch_and_lower(world, budget):
    with transaction.atomic():
        world.launch()
        Budget.objects.filter(pk=budget.pk).update(amount=1)


def test_the_witness_sees_an_admission_beyond_the_limit(witness):
    world = World()
    budget = world.budget(amount=STANDARD)
    with pytest.raises(DatabaseError, match="an admission passed the limit"):
        launch_and_lower(world, budget)


def launch_and_let_go(world, now):
    """A launch that a raise made room for, which is over by the time at which it says that it was admitted."""
    with transaction.atomic():
        machine = world.launch()
        WorkSpace.objects.filter(pk=machine.pk).update(created_at=now)


def test_the_witness_counts_no_raise_that_is_over(witness):
    world = World()
    budget = world.budget(amount=1)
    raising.raise_limit(
        actor=COMMAND, budget_id=budget.id, amount=STANDARD, ends_at=MARCH + HOUR, reason="a test", now=MARCH
    )
    launch_and_let_go(world, MARCH + HOUR / 2)
    Budget.objects.filter(pk=budget.pk).update(reserved=0)
    with pytest.raises(DatabaseError, match="an admission passed the limit"):
        launch_and_let_go(world, MARCH + HOUR)


@pytest.mark.soak
def test_whatever_happens_at_once_the_sums_agree_and_no_admission_passes_a_limit(witness, scale):
    metering.ensure_months(MARCH, MAY)

    # What threads do is not repeated step by step, so there is nothing to shrink.
    @settings(
        max_examples=scale(1000, 3), deadline=None, phases=[Phase.generate], database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(STEPS)
    def hold(steps):
        history = History()
        sixteen(history.play, steps)
        assert_sums_agree()
        assert_spent_is_the_sum_of_the_records()
        team_budgets = Budget.objects.filter(id__in=[budget.id for budget in history.budgets[:2]])
        assert team_budgets.aggregate(total=Sum("transferred"))["total"] == 0
        for budget in Budget.objects.filter(organization=history.worlds[0].organization):
            counted = BudgetRaise.objects.open().filter(budget=budget).aggregate(total=Sum("amount"))["total"]
            assert budget.raised == (counted or 0)
        live = Reservation.objects.live().filter(organization=history.worlds[0].organization)
        assert not live.filter(workspace__state__in=("TERMINATED", "FAILED")).exists()
        clear()

    def clear():
        """Each history is judged alone: budgets of one that is over bind nobody and hold nothing."""
        with connection.cursor() as cursor:
            cursor.execute("UPDATE budgets_reservation SET remaining = 0, released_at = %s", [APRIL])
        BudgetRaise.objects.all().delete()
        Reservation.objects.all().delete()
        for budget in Budget.objects.all():
            budget.thresholds.all().delete()
        Budget.objects.all().delete()

    with crew(16) as sixteen:
        hold()
