"""Months of cost records leave as the log's do, without its seals; what they added up to stays."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError, IntegrityError, connection, connections

from audit import holds, places
from audit.actors import Actor
from audit.archive import plan as plans
from audit.archive import retention
from audit.models import AuditLog
from budgets.adoption import foresee
from budgets.models import Budget
from costs import metering
from costs.models import CostRecord, DailyCost, MeterMark
from forge.db import detached, partitions
from forge.db.models import ArchivedMonth
from tests.costs.meters import at, machine
from tests.factories import BudgetFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

TABLE = "costs_costrecord"
MARCH, NAME = date(2026, 3, 1), "costs_costrecord_2026_03"
DUE = datetime(2026, 6, 1, tzinfo=UTC)
"""With two months kept, March leaves when June begins."""

ACTOR = Actor.job("test")


@pytest.fixture
def archive(settings, tmp_path, monkeypatch, superuser_connection):
    """Two months are kept, and March is the oldest that there is."""
    settings.FORGE_ARCHIVE = f"directory:{tmp_path}"
    settings.FORGE_COST_RETENTION_MONTHS = 2
    monkeypatch.setattr(places, "LEAST_MONTHS", 2)
    before = [one.first for one in partitions.attached(TABLE)]
    for partition in partitions.attached(TABLE):
        if partition.first < MARCH:
            superuser_connection.execute(f"DROP TABLE {partition.name}")
    partitions.ensure(TABLE, MARCH, date(2026, 11, 1))
    yield tmp_path
    superuser_connection.execute("SET session_replication_role = replica")
    superuser_connection.execute("DELETE FROM db_archivedmonth")
    superuser_connection.execute(f"DROP TABLE IF EXISTS forge_detached.{NAME}")
    partitions.ensure(TABLE, min(before), max(before))


@pytest.fixture
def booked(archive):
    """A machine that ran for some hours in March, metered to its end."""
    workspace = machine((1, "PENDING"), (1.5, "AVAILABLE"), (6, "STOPPING"), (6.2, "STOPPED"), (9, "TERMINATED"))
    metering.meter(now=at(48))
    assert CostRecord.objects.exists()
    return workspace


def steps(now):
    done = retention.take_steps(actor=ACTOR, now=now)
    return {step.value: names for step, names in done.taken.items() if names}, done.faults


def test_a_month_of_records_leaves_and_its_sums_stay(booked, archive):
    days, count = list(DailyCost.objects.order_by("id").values()), CostRecord.objects.count()
    figures = list(
        CostRecord.objects.order_by("workspace_id", "period_start").values_list("period_start", "total_cost")
    )

    assert steps(DUE - timedelta(seconds=1)) == ({}, [])
    assert steps(DUE) == ({"detach": [NAME], "export": [NAME]}, [])
    assert not CostRecord.objects.exists()
    assert steps(DUE + timedelta(days=6)) == ({}, [])
    assert steps(DUE + timedelta(days=7)) == ({"drop": [NAME], "remove": [NAME]}, [])

    assert list(DailyCost.objects.order_by("id").values()) == days
    assert detached.months_of(TABLE) == []
    record = ArchivedMonth.objects.get()
    assert (record.state, record.rows) == ("DROPPED", count)
    types = ["AUDIT_MONTH_DETACH", "AUDIT_MONTH_EXPORT", "AUDIT_MONTH_DROP"]
    found = AuditLog.objects.filter(resource_id=NAME).order_by("timestamp")
    assert [entry.action_type for entry in found] == types
    assert "ranges" not in found[2].context

    copy = pq.read_table(archive / TABLE / "2026-03" / f"{TABLE}.parquet")
    read = zip(copy["period_start"].to_pylist(), copy["total_cost"].to_pylist(), strict=True)
    assert list(read) == figures
    assert copy.schema.field("total_cost").type == pa.decimal128(18, 6)
    assert copy.schema.field("period_start").type == pa.timestamp("us", tz="UTC")
    assert copy.schema.field("workspace_id").type == pa.string()
    assert set(copy["workspace_id"].to_pylist()) == {str(booked.id)}


def test_records_of_a_detached_month_change_no_more(booked):
    steps(DUE)
    for statement in ("UPDATE {} SET compute_cost = 0", "DELETE FROM {}"):
        with connections["owner"].cursor() as cursor, pytest.raises(DatabaseError, match="append-only"):
            cursor.execute(statement.format("forge_detached.costs_costrecord"))
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute("SELECT count(*) FROM forge_detached.costs_costrecord")


def test_a_record_that_comes_after_its_month_left_is_refused_and_told(booked):
    steps(DUE)
    late = machine((20, "PENDING"), (20.5, "AVAILABLE"), (22, "TERMINATED"))
    with pytest.raises(metering.MeteringFailed, match=str(late.id)):
        metering.meter(now=DUE)
    assert not CostRecord.objects.exists()
    assert NAME not in [one.name for one in partitions.attached(TABLE)]
    with pytest.raises(IntegrityError, match="no partition"):
        CostRecord.objects.create(period_start=at(3), period_end=at(4), compute_cost=Decimal(1), total_cost=Decimal(1),
            workspace_id=late.id, organization_id=late.organization_id, user_id=late.owner_id, team_id=late.team_id,
            price_id=late.id, currency="USD", region="x", bundle_type="STANDARD", running_mode="AUTO_STOP")  # fmt: skip


def test_a_month_with_hours_that_are_not_metered_stays(booked):
    MeterMark.objects.update(dirty_from=at(3), next_due_at=at(3))
    assert steps(DUE) == ({}, [])
    assert plans.plan(DUE)[0].waits == ("1 machines have hours that are not metered yet",)


def test_a_hold_over_the_period_keeps_records_too(booked):
    operator = Actor.of_user(UserFactory(organization=None))
    hold = holds.place(actor=operator, reason="case 12", now=DUE, period_start=at(0), period_end=at(1))
    assert steps(DUE) == ({}, [])
    assert plans.plan(DUE)[0].waits == (f"legal hold {hold.id}",)
    holds.release(actor=operator, hold=hold, reason="closed", now=DUE)
    assert steps(DUE)[0]["detach"] == [NAME]


def test_an_empty_month_leaves_like_any_other(archive):
    assert steps(DUE) == ({"detach": [NAME], "export": [NAME]}, [])
    assert steps(DUE + timedelta(days=8)) == ({"drop": [NAME], "remove": [NAME]}, [])
    assert pq.read_table(archive / TABLE / "2026-03" / f"{TABLE}.parquet").num_rows == 0


def test_a_budget_over_archived_months_counts_their_daily_sums_once(booked):
    budget = BudgetFactory(
        organization=booked.organization,
        scope="TEAM",
        scope_id=booked.team_id,
        amount=Decimal(1000),
        period_start=datetime(2026, 3, 1, tzinfo=UTC),
        period_end=datetime(2026, 12, 1, tzinfo=UTC),
        adopted_at=None,
    )
    spent = foresee(budget_id=budget.id, now=DUE)[0]
    assert spent == sum(CostRecord.objects.values_list("total_cost", flat=True)) > 0
    ArchivedMonth.objects.create(table=TABLE, month=MARCH, partition=NAME, detached_at=DUE)
    assert foresee(budget_id=budget.id, now=DUE)[0] == spent  # recorded, and not detached yet
    steps(DUE)
    assert not CostRecord.objects.exists()
    assert foresee(budget_id=budget.id, now=DUE)[0] == spent
    Budget.objects.filter(pk=budget.pk).update(period_start=datetime(2026, 3, 11, tzinfo=UTC))
    assert foresee(budget_id=budget.id, now=DUE)[0] == 0
