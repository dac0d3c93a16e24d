"""Metering as it runs: twice, late, in steps, by several at once, cut off; and SQL beside Python."""

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costs import metering, pricing
from costs.models import CostRecord, MeterMark, Price
from tests.costs import spending
from tests.costs.meters import DAY, assert_sums_agree, at, booked, machine, reach, total, untouched
from tests.factories import OrganizationFactory, ProjectFactory, WorkSpaceFactory
from workspaces.models import WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]


# -- When ------------------------------------------------------------------------------------------------------------


def test_an_hour_is_billed_just_after_it_begins_and_not_before():
    workspace = machine((9, "AVAILABLE"))
    assert metering.meter(now=at(9))["machines"] == 0
    assert metering.meter(now=at(9) + timedelta(microseconds=1))["records"] == 1
    assert CostRecord.objects.get(workspace=workspace).billed_hours == 1
    assert metering.meter(now=at(10))["machines"] == 0
    metering.meter(now=at(10) + timedelta(microseconds=1))
    assert total(workspace) == Decimal("0.6") + pricing.accruals(Decimal("9.75"), at(9), at(11))


def test_a_second_sweep_writes_nothing_at_all():
    machine((9.3, "AVAILABLE"))
    machine((9.3, "AVAILABLE"), (9.5, "STOPPED"))
    metering.meter(now=at(12.4))
    before = untouched()
    assert metering.meter(now=at(12.4)) == metering.asdict(metering.Figures())
    assert metering.meter(now=at(12.8))["records"] == 0
    assert untouched() == before


def test_a_record_tells_how_long_the_machine_ran_once_its_hour_is_over():
    workspace = machine((9.25, "AVAILABLE"), (9.5, "STOPPED"), (9.75, "STARTING"), (9.8, "AVAILABLE"))
    metering.meter(now=at(9.9))
    metering.meter(now=at(10.5))
    assert CostRecord.objects.get(workspace=workspace, period_start=at(9)).running_seconds == 1800


def test_recorded_at_stays_when_a_record_changes():
    workspace = machine((9.5, "AVAILABLE"))
    metering.meter(now=at(9.6))
    first = CostRecord.objects.get(workspace=workspace)
    metering.meter(now=at(10.6))
    again = CostRecord.objects.get(workspace=workspace, period_start=at(9))
    assert again.running_seconds == 1800 != first.running_seconds
    assert again.recorded_at == first.recorded_at


@pytest.mark.parametrize("began", [DAY, datetime(2026, 12, 30, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC)])
def test_three_days_late_books_what_metering_every_50_minutes_books(began):
    changes = [(9.1, "PENDING"), (9.2, "AVAILABLE"), (18, "STOPPING"), (18.1, "STOPPED"), (33.4, "STARTING")]
    changes += [(33.5, "AVAILABLE"), (40, "STOPPED"), (40.2, "AVAILABLE"), (71, "TERMINATING"), (71.5, "TERMINATED")]
    history = [(at(hours, began), state) for hours, state in changes]
    punctual, late = WorkSpaceFactory(history=history[:1]), WorkSpaceFactory(history=history)
    MeterMark.objects.filter(workspace=late).update(next_due_at=None)
    now = began
    for when, state in [*history[1:], (at(80, began), None)]:
        while now < when:
            now = min(now + timedelta(minutes=50), when)
            metering.meter(now=now)
        if state == "AVAILABLE" and punctual.launched_at is None:
            WorkSpace.objects.filter(pk=punctual.pk).update(launched_at=when)
            punctual.launched_at = when
        if state:
            reach(punctual, when, state)
    MeterMark.objects.filter(workspace=late).update(next_due_at=history[0][0])
    metering.meter(now=now)
    one, other = booked(punctual), booked(late)
    assert one == other
    assert len(one[0][0]) == 63
    assert_sums_agree()


def test_an_outage_is_caught_up_in_transactions_of_bounded_size(monkeypatch):
    twins = [machine((9.2, "AVAILABLE"), (30, "STOPPED"), (50.5, "AVAILABLE")) for _ in range(2)]
    MeterMark.objects.filter(workspace=twins[1]).update(next_due_at=None)
    assert metering.meter(now=at(100))["transactions"] == 1
    MeterMark.objects.filter(workspace=twins[1]).update(next_due_at=at(9.2))
    monkeypatch.setattr(metering, "MACHINE_HOURS", 7)
    figures = metering.meter(now=at(100))
    assert figures["transactions"] == 13
    assert booked(twins[0]) == booked(twins[1])
    assert_sums_agree()


# -- By several, and cut off -----------------------------------------------------------------------------------------


class CutOffError(Exception):
    """Stands for a worker that is gone."""


def fleet(count=12):
    return [machine((9 + number / 7, "AVAILABLE"), (15 + number / 5, "STOPPED")) for number in range(count)]


@pytest.mark.parametrize("chunks", range(4))
def test_metering_cut_off_after_some_chunks_goes_on_where_it_was(settings, monkeypatch, chunks):
    twins, machines = fleet(), fleet()
    MeterMark.objects.filter(workspace__in=machines).update(next_due_at=None)
    metering.meter(now=at(20), chunk=3)
    MeterMark.objects.filter(workspace__in=machines).update(next_due_at=at(9))
    seen = []
    collect = spending.collect

    def cut_off(*, charges, now):
        seen.append(charges)
        if len(seen) > chunks:
            raise CutOffError
        collect(charges=charges, now=now)

    monkeypatch.setattr(spending, "collect", cut_off)
    with pytest.raises(CutOffError):
        metering.meter(now=at(20), chunk=3)
    assert CostRecord.objects.filter(workspace__in=machines).values("workspace").distinct().count() == 3 * chunks
    assert_sums_agree()
    monkeypatch.setattr(spending, "collect", collect)
    metering.meter(now=at(20), chunk=3)
    assert booked(*twins) == booked(*machines)
    assert_sums_agree()


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_three_sweeps_at_once_book_every_hour_once():
    machines = fleet(30)
    barrier, failures = threading.Barrier(3), []

    def sweep():
        try:
            barrier.wait()
            for hour in range(10, 22):
                metering.meter(now=at(hour + 0.01), chunk=4)
        except Exception as error:  # noqa: BLE001  shown by the test, whatever it is
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=sweep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    metering.meter(now=at(30))
    for number, workspace in enumerate(machines):
        run = [pricing.Interval(at(9 + number / 7), at(15 + number / 5))]
        records = CostRecord.objects.filter(workspace=workspace)
        assert {r.period_start: int(r.billed_hours) for r in records if r.billed_hours} == pricing.billed_hours(
            run, at(30)
        )
        assert records.count() == 30 - int(9 + number / 7)
    assert_sums_agree()


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_machine_that_somebody_holds_is_passed_over_and_booked_later(make_app_connection):
    held, free = machine((9, "AVAILABLE")), machine((9, "AVAILABLE"))
    other = make_app_connection()
    other.execute("SELECT 1 FROM workspaces_workspace WHERE id = %s FOR NO KEY UPDATE", [held.pk])
    metering.meter(now=at(9.5))
    assert list(CostRecord.objects.values_list("workspace_id", flat=True)) == [free.pk]
    assert metering.lag(at(9.5)) == timedelta(minutes=30)
    other.rollback()
    metering.meter(now=at(9.5))
    assert total(held) == total(free) > 0


def test_a_machine_that_cannot_be_booked_keeps_no_other_from_it():
    absurd = OrganizationFactory()
    Price.objects.create(
        organization=absurd,
        region="us-east-1",
        bundle_type="STANDARD",
        operating_system="LINUX",
        running_mode="AUTO_STOP",
        monthly_amount=Decimal(999999999999),
        hourly_amount=Decimal(999999999999),
        currency="USD",
        source="a slip of the pen",
        as_of=date(2026, 1, 1),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    broken = machine((9, "AVAILABLE"), (10, "TERMINATED"), organization=absurd)
    others = fleet(5)
    with pytest.raises(metering.MeteringFailed, match=str(broken.pk)):
        metering.meter(now=at(20))
    assert total(broken) == 0
    assert all(total(other) > 0 for other in others)
    assert_sums_agree()


def test_a_dry_run_tells_and_changes_nothing():
    fleet(5)
    before = untouched()
    figures = metering.meter(now=at(12), chunk=2, dry_run=True)
    assert (figures["machines"], figures["transactions"]) == (5, 3)
    assert untouched() == before


def test_the_locks_are_taken_in_the_one_order():
    machine((9, "AVAILABLE"), project=None)
    workspace = machine((9, "AVAILABLE"))
    workspace.project = ProjectFactory(organization=workspace.organization)
    workspace.save(update_fields=["project"])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        metering.meter(now=at(9.5))
    marks = ("accounts_user", "accounts_team", "accounts_project", "accounts_organization")
    wanted = [f"FROM {table} WHERE id = ANY" for table in marks] + ["FOR NO KEY UPDATE SKIP LOCKED", "costs_book("]
    statements = [query["sql"] for query in queries]
    places = [next(nr for nr, sql in enumerate(statements) if mark in sql) for mark in wanted]
    assert places == sorted(places)
    assert all("ORDER BY id FOR KEY SHARE" in statements[place] for place in places[:4])
    assert "ORDER BY id FOR NO KEY UPDATE" in statements[places[4]]


# -- Any history -----------------------------------------------------------------------------------------------------

lengths = st.integers(1, 6 * 3600 * 10**6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 86_400 * 10**6),
    steps=st.lists(st.tuples(lengths, lengths), max_size=6),
    looks=st.lists(st.integers(0, 72 * 3600 * 10**6), max_size=6),
)
def test_sql_and_python_reckon_any_history_alike(start, steps, looks):
    now = DAY + timedelta(microseconds=start)
    history, intervals = [], []
    for running, pause in steps:
        end = now + timedelta(microseconds=running)
        history += [(now, "AVAILABLE"), (end, "STOPPED")]
        intervals.append(pricing.Interval(now, end))
        now = end + timedelta(microseconds=pause)
    history.append((now, "AVAILABLE"))
    intervals.append(pricing.Interval(now))
    workspace = machine(*history)
    last = now + timedelta(hours=5, microseconds=1)
    for look in sorted(looks):
        metering.meter(now=min(history[0][0] + timedelta(microseconds=look), last))
    metering.meter(now=last)
    records = CostRecord.objects.filter(workspace=workspace)
    fees = pricing.fee_by_hour(Decimal("9.75"), history[0][0], None, last)
    hours, seconds = pricing.billed_hours(intervals, last), pricing.running_seconds(intervals, last)
    assert {r.period_start: r.total_cost for r in records} == {
        hour: fee + hours[hour] * Decimal("0.30") for hour, fee in fees.items()
    }
    assert {r.period_start: r.running_seconds for r in records if r.running_seconds} == seconds
