"""The guard: which budgets bind, what is reserved in each, and who is refused with which figures."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from budgets import guards
from budgets.models import Budget, Reservation
from costs import quotes
from forge.api.errors import Refused
from tests.budgets.support import (
    APRIL,
    MARCH,
    MAY,
    STANDARD,
    World,
    admit,
    assert_sums_agree,
    figures,
    write_rows,
)
from tests.costs import worked
from tests.factories import BudgetFactory
from workspaces.intents import RepairFirst

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(**worked.each("reservations"))
def test_what_a_launch_reserves_is_what_was_worked_out(row, world):
    now = worked.instant(row["now"])
    budget = world.budget(
        amount=10_000, period_start=worked.instant("2026-01-01T00:00:00Z"), period_end=worked.instant(row["period_end"])
    )
    answer = admit(
        world.intent(
            now=now,
            bundle_type=row["bundle_type"],
            running_mode=row["running_mode"],
            lifetime_end=worked.instant(row["lifetime_end"]),
        ),
        world.account,
    )
    assert answer["reservation"] == row["amount"]
    assert figures(budget) == (0, Decimal(row["amount"]))
    assert Reservation.objects.get().remaining == Decimal(row["amount"])


def test_every_scope_gets_its_own_reservation(world):
    user = world.person()
    budgets = [world.budget(scope, user=user) for scope in ("USER", "TEAM", "PROJECT", "ORGANIZATION")]
    answer = admit(world.intent(user=user), world.account)
    assert [figures(budget) for budget in budgets] == [(0, STANDARD)] * 4
    assert {entry["scope"] for entry in answer["budgets"]} == {"USER", "TEAM", "PROJECT", "ORGANIZATION"}
    assert {entry["after"] for entry in answer["budgets"]} == {"21.750000"}
    assert_sums_agree()


def test_one_budget_without_room_refuses_for_all_and_leaves_nothing(world):
    user = world.person()
    wide, narrow = world.budget("ORGANIZATION", 1000), world.budget("USER", 20, user=user)
    with pytest.raises(guards.BudgetExceeded) as refusal:
        admit(world.intent(user=user), world.account)
    extra = refusal.value.extra
    assert extra["budget"] == str(narrow.id)
    assert extra["scope"] == "USER"
    assert (extra["limit"], extra["spent"], extra["reserved"]) == ("20.000000", "0.000000", "0.000000")
    assert extra["needed"] == "21.750000"
    assert extra["period_end"] == "2026-04-01T00:00:00Z"
    assert [entry["id"] for entry in extra["budgets"]] == [str(narrow.id)]
    assert figures(wide) == figures(narrow) == (0, 0)
    assert not Reservation.objects.exists()


# -- Which budgets bind ----------------------------------------------------------------------------------------------


def test_without_a_budget_nothing_is_limited_and_nothing_reserved(world):
    answer = admit(world.intent(), world.account)
    assert answer == {
        "hourly": "0.300000",
        "monthly": "9.750000",
        "estimated_cost": "21.750000",
        "reservation": "21.750000",
        "currency": "USD",
        "basis": "ESTIMATED",
        "is_price_current": True,
        "budgets": [],
    }
    assert not Reservation.objects.exists()


@pytest.mark.parametrize("budgets", [0, 1])
def test_a_quote_a_dry_run_and_a_launch_name_one_reservation(world, budgets):
    now = MARCH + timedelta(days=9, minutes=20)
    for _ in range(budgets):
        world.budget(amount=1000)
    intent = world.intent(now=now)
    kind = {name: getattr(intent, name) for name in ("region", "bundle_type", "operating_system", "running_mode")}
    price = quotes.price_for(organization=world.organization, now=now, **kind)
    quoted = quotes.quote(price=price, storage_gb=130, hours=7, lifetime_end=intent.lifetime_end, now=now)
    foreseen = guards.reserve(intent, dry_run=True)["reservation"]
    assert admit(intent, world.account)["reservation"] == foreseen == f"{quoted.reservation:.6f}"


@pytest.mark.parametrize(
    "fields",
    [
        {"period_start": APRIL, "period_end": MAY},
        {"period_start": MARCH - DAY, "period_end": MARCH},
        {"is_active": False},
    ],
)
def test_only_active_budgets_whose_period_holds_the_instant_bind(world, fields):
    world.budget(amount=0, **fields)
    assert admit(world.intent(), world.account)["budgets"] == []


def test_a_period_holds_its_first_instant_and_not_its_last(world):
    world.budget(amount=0)
    with pytest.raises(guards.BudgetExceeded):
        admit(world.intent(now=MARCH), world.account)
    with pytest.raises(guards.BudgetExceeded):
        admit(world.intent(now=APRIL - timedelta(microseconds=1)), world.account)
    assert admit(world.intent(now=APRIL), world.account)["budgets"] == []


def test_budgets_of_others_do_not_bind(world):
    world.budget("USER", 0, user=world.person())
    BudgetFactory(amount=0)
    assert admit(world.intent(), world.account)["budgets"] == []


def test_a_machine_without_a_project_is_bound_by_no_projects_budget(world):
    world.budget("PROJECT", 0)
    assert admit(world.intent(project=None), world.account)["budgets"] == []


# -- At the limit ----------------------------------------------------------------------------------------------------


def test_zero_admits_nothing(world):
    world.budget(amount=0)
    with pytest.raises(guards.BudgetExceeded) as refusal:
        admit(world.intent(), world.account)
    assert refusal.value.extra["limit"] == "0.000000"


def test_exactly_full_is_admitted_and_a_millionth_more_is_not(world):
    budget = world.budget(amount=2 * STANDARD)
    admit(world.intent(), world.account)
    answer = admit(world.intent(), world.account)
    assert answer["budgets"][0]["after"] == answer["budgets"][0]["limit"] == "43.500000"
    Budget.objects.filter(pk=budget.pk).update(amount=3 * STANDARD - Decimal("0.000001"))
    with pytest.raises(guards.BudgetExceeded):
        admit(world.intent(), world.account)
    assert figures(budget) == (0, 2 * STANDARD)


def test_all_budgets_without_room_are_named(world):
    user = world.person()
    world.budget("TEAM", 1)
    world.budget("USER", 2, user=user)
    world.budget("ORGANIZATION", 1000)
    with pytest.raises(guards.BudgetExceeded) as refusal:
        admit(world.intent(user=user), world.account)
    assert {entry["scope"] for entry in refusal.value.extra["budgets"]} == {"TEAM", "USER"}
    assert refusal.value.status == 422


# -- Dry run ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_answers_the_same_and_neither_locks_nor_writes(world):
    user = world.person()
    for scope in ("USER", "TEAM", "PROJECT", "ORGANIZATION"):
        world.budget(scope, user=user)
    intent = world.intent(user=user)
    with CaptureQueriesContext(connection) as queries:
        foreseen = guards.reserve(intent, dry_run=True)
    assert not any(word in query["sql"] for query in queries for word in ("FOR ", "INSERT", "UPDATE", "_reserve("))
    assert not Reservation.objects.exists()
    assert admit(intent, world.account) == foreseen


def test_a_dry_run_is_refused_with_the_same_figures(world):
    world.budget(amount=1)
    intent = world.intent()
    with pytest.raises(guards.BudgetExceeded) as foreseen:
        guards.reserve(intent, dry_run=True)
    with pytest.raises(guards.BudgetExceeded) as refusal:
        admit(intent, world.account)
    assert foreseen.value.extra == refusal.value.extra


def test_admission_is_one_call_once_the_price_is_known(world):
    user = world.person()
    for scope in ("USER", "TEAM", "PROJECT", "ORGANIZATION"):
        world.budget(scope, user=user)
    intent = world.intent(user=user)
    with CaptureQueriesContext(connection) as queries:
        guards.reserve(intent, dry_run=False)
    assert len([query for query in queries if "budgets_" in query["sql"]]) == 1
    write_rows(intent, world.account)


# -- Not adopted -----------------------------------------------------------------------------------------------------


def test_a_budget_that_is_not_adopted_admits_nothing_before_its_repair(world):
    machine = world.launch()
    budget = world.budget(amount=2 * STANDARD, adopted_at=None)
    intent = world.intent()
    with pytest.raises(RepairFirst) as request, transaction.atomic():
        guards.reserve(intent, dry_run=False)
    assert not Reservation.objects.filter(workspace_id=intent.workspace_id).exists()
    request.value.repair()
    assert Reservation.objects.get().workspace_id == machine.id
    admit(intent, world.account)
    assert figures(budget) == (0, 2 * STANDARD)


def test_a_dry_run_foresees_the_figures_of_adoption(world):
    world.launch()
    budget = world.budget(adopted_at=None)
    foreseen = guards.reserve(world.intent(), dry_run=True)["budgets"]
    assert (foreseen[0]["reserved"], foreseen[0]["after"]) == ("21.750000", "43.500000")
    assert Budget.objects.get(pk=budget.pk).adopted_at is None


# -- Prices ----------------------------------------------------------------------------------------------------------


def test_a_launch_without_a_price_in_the_organizations_currency_is_refused(world):
    world.organization.currency = "EUR"
    world.organization.save()
    with pytest.raises(Refused) as refusal:
        admit(world.intent(), world.account)
    assert refusal.value.status == 422
