"""One row more for each list about money, made as tests/lists/rows.py says."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from budgets.models import Budget, BudgetRaise, Reservation
from costs.models import (
    Advice,
    Bill,
    BilledMachine,
    BillGap,
    BookFault,
    CostRecord,
    CostRevision,
    DailyCost,
    IssuedReport,
    Price,
    ReportSubscription,
    TagKey,
)
from forge.db.ids import uuid7
from forge.db.months import month_of
from tests import factories
from tests.audit.walk import rows as walk
from tests.lists.rows import machine
from tests.world import World

HOUR = timedelta(hours=1)
_number = itertools.count(1)


def budget(world: World) -> Budget:
    """Of the engineer or the team by turns, which are those that leads see; owned and set by people of their own."""
    scopes = (("USER", world.engineer), ("TEAM", world.team))
    scope, of = scopes[Budget.objects.count() % len(scopes)]
    return walk.budget(world, scope=scope, scope_id=of.id, owner=world.engineer, set_by=world.lead)


def budget_raise(world: World) -> BudgetRaise:
    """One that somebody ended."""
    at = timezone.now()
    return BudgetRaise.objects.create(
        organization=world.organization, budget=budget(world), amount=5, ends_at=walk.hour(ahead=9), reason="a reason",
        approved_by=world.lead, ended_at=at, ended_by=world.engineer,
    )  # fmt: skip


def reservation(world: World) -> Reservation:
    return factories.ReservationFactory(
        budget=budget(world), workspace=walk.machine(world), operation=walk.operation(world)
    )


def price(world: World) -> Price:
    return Price.objects.create(
        organization=world.organization, region=world.account.region, bundle_type="STANDARD", operating_system="LINUX",
        running_mode="AUTO_STOP", monthly_amount=1, hourly_amount=1, currency=world.organization.currency,
        source="a test", as_of=timezone.now().date(), valid_from=walk.hour(ahead=-5),
    )  # fmt: skip


def _costs(world: World) -> dict[str, Any]:
    """Whose costs they are, of which machine, and how much."""
    return {
        "organization": world.organization, "user": world.engineer, "team": world.team, "project": world.project,
        "blueprint": world.blueprint, "bundle_type": "STANDARD", "region": world.account.region,
        "running_mode": "AUTO_STOP", "billed_hours": 1, "compute_cost": 1, "total_cost": 1,
    }  # fmt: skip


def cost_record(world: World) -> CostRecord:
    at = walk.hour()
    return CostRecord.objects.create(
        **_costs(world), workspace=walk.machine(world), price=price(world), currency="USD", period_start=at,
        period_end=at + HOUR,
    )  # fmt: skip


def daily_cost(world: World) -> DailyCost:
    return DailyCost.objects.create(**_costs(world), day=walk.hour().date())


def cost_revision(world: World) -> CostRevision:
    figures = dict.fromkeys(
        (f"{age}_{part}_cost" for age in ("old", "new") for part in ("compute", "storage", "total")), 1
    )
    booked = price(world)
    return CostRevision.objects.create(
        organization=world.organization, workspace=walk.machine(world), user=world.engineer, team=world.team,
        period_start=walk.hour(), old_price=booked, new_price=booked, currency="USD", old_basis="METERED",
        new_basis="BILLED", reason="a reason", actor_id=world.lead.id, operation_id=uuid7(), **figures,
    )  # fmt: skip


def bill(world: World) -> Bill:
    return Bill.objects.create(
        organization=world.organization, asked_by_id=world.lead.id, operation_id=uuid7(), name="a.csv", size=1,
        sha256=f"{next(_number):064x}", state="BOOKED", format="CUR", month=month_of(walk.hour()), currency="USD",
        booked_at=timezone.now(),
    )  # fmt: skip


def billed_machine(world: World) -> BilledMachine:
    return BilledMachine.objects.create(
        organization=world.organization, bill=bill(world), workspace=walk.machine(world), bundle_type="STANDARD",
        hours=1, metered_cost=1, billed_cost=2,
    )  # fmt: skip


def bill_gap(world: World) -> BillGap:
    at = timezone.now()
    return BillGap.objects.create(
        organization=world.organization, bill=bill(world), reason="UNKNOWN", resource="ws-none", account="1", lines=1,
        amount=1, first_at=at, last_at=at,
    )  # fmt: skip


def book_fault(world: World) -> BookFault:
    at = timezone.now()
    return BookFault.objects.create(
        organization=world.organization, kind="BUDGET", subject=str(budget(world).id), expected=1, found=2, seen_at=at,
        last_seen_at=at,
    )  # fmt: skip


def tag_key(world: World) -> TagKey:
    return TagKey.objects.create(
        organization=world.organization, key=f"key-{next(_number)}", state="KEPT", since=timezone.now().date()
    )


def advice(world: World) -> Advice:
    at = timezone.now()
    return Advice.objects.create(
        organization=world.organization, workspace=machine(world), kind="IDLE", action="STOP", saving_amount=9,
        currency="USD", price_ids=[price(world).id], confidence="HIGH", confirmed_at=at, status="DISMISSED",
        reason="a reason", decided_by=world.lead, decided_at=at,
    )  # fmt: skip


def issued_report(world: World) -> IssuedReport:
    """The second one of the team's month, which corrects the first."""
    at = timezone.now()
    facts = {
        "organization": world.organization, "team": world.team, "kind": "SHOWBACK", "by": "user",
        "month": month_of(walk.hour()), "format": "csv", "is_provisional": True, "metered_through": at,
        "currency": "USD", "groups": 1, "size": 1, "sha256": "0" * 64, "issued_by_id": world.lead.id, "issued_at": at,
    }  # fmt: skip
    first = IssuedReport.objects.create(**facts, total_cost=1, amount=1)
    return IssuedReport.objects.create(**facts, total_cost=2, amount=2, previous=first)


def subscription(world: World) -> ReportSubscription:
    return ReportSubscription.objects.create(
        organization=world.organization, user=world.lead, team=world.team, by="user"
    )


def running_cost(world: World) -> DailyCost:
    """A machine that runs, and what it has cost today."""
    price(world)
    walk.machine(world)
    return daily_cost(world)


def held_part(whole: Budget, world: World) -> Reservation:
    """What a machine holds in that budget."""
    return factories.ReservationFactory(budget=whole, workspace=walk.machine(world), operation=walk.operation(world))
