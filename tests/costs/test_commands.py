"""`manage.py meter_costs`, the job of that name, and what /readyz says of metering."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.utils import timezone

from costs import metering, tasks
from costs.models import CostRecord, DailyCost, MeterMark, Price
from forge.console import health
from forge.db.models import JobRun
from tests.factories import WorkSpaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def hours_ago(hours):
    return timezone.now().astimezone(UTC) - timedelta(hours=hours)


def machine(**facts):
    return WorkSpaceFactory(history=[(hours_ago(5), "PENDING"), (hours_ago(4.5), "AVAILABLE")], **facts)


def run(capsys, *arguments):
    call_command("meter_costs", *arguments)
    return capsys.readouterr().out


def test_the_command_books_what_is_due_and_a_second_run_finds_nothing(capsys):
    booked = machine()
    first = json.loads(run(capsys, "--json"))
    assert (first["machines"], first["lag_seconds"]) == (1, 0)
    assert first["records"] == CostRecord.objects.count() > 4
    booked.refresh_from_db()
    assert booked.cost_to_date == sum(CostRecord.objects.values_list("total_cost", flat=True)) > Decimal("1.5")
    assert booked.cost_to_date == sum(DailyCost.objects.values_list("total_cost", flat=True))
    assert json.loads(run(capsys, "--json"))["records"] == 0


def test_a_dry_run_tells_and_writes_nothing(capsys):
    machine()
    assert "machines 1" in run(capsys, "--dry-run")
    assert not CostRecord.objects.exists()
    assert MeterMark.objects.filter(next_due_at__isnull=False).exists()


def test_a_dry_run_makes_no_partition_and_counts_the_machines_for_which_one_is_missing(capsys):
    began = datetime(2018, 3, 1, tzinfo=UTC)
    WorkSpaceFactory(history=[(began, "PENDING"), (began, "AVAILABLE")])
    machine()
    before = partitions_of_records()
    dry = json.loads(run(capsys, "--dry-run", "--json"))
    assert (dry["machines"], dry["records"]) == (2, 0)
    assert partitions_of_records() == before


def partitions_of_records():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'costs_costrecord'::regclass")
        return cursor.fetchone()[0]


def test_metering_up_to_a_past_instant_leaves_the_rest(capsys):
    machine()
    at = hours_ago(2)
    run(capsys, "--now", at.isoformat())
    assert CostRecord.objects.exists()
    assert not CostRecord.objects.filter(period_start__gte=at).exists()
    run(capsys)
    assert CostRecord.objects.filter(period_start__gte=at).exists()


@pytest.mark.parametrize("text", ["yesterday", "2999-01-01T00:00:00Z"])
def test_an_instant_that_is_none_or_lies_ahead_is_refused(text):
    with pytest.raises(CommandError, match=text):
        call_command("meter_costs", "--now", text)


def test_a_machine_that_cannot_be_metered_is_named_and_the_others_are_booked(monkeypatch):
    bad, good = machine(), machine()
    book = metering._book

    def refuse(ids, *arguments, **options):
        if str(bad.id) in str(ids):
            raise IntegrityError("a record that cannot be")
        return book(ids, *arguments, **options)

    monkeypatch.setattr(metering, "_book", refuse)
    with pytest.raises(CommandError, match=f"1 machines were not metered: {bad.id}"):
        call_command("meter_costs")
    assert set(CostRecord.objects.values_list("workspace_id", flat=True)) == {good.id}


def test_the_job_runs_once_per_minute_and_keeps_its_figures(monkeypatch):
    machine()
    at = datetime.now(UTC)
    monkeypatch.setattr(tasks.timezone, "now", lambda: at)
    assert tasks.meter_costs()["machines"] == 1
    assert tasks.meter_costs() is None
    kept = JobRun.objects.get(job="meter_costs")
    assert (kept.outcome, kept.figures["machines"]) == ("SUCCEEDED", 1)


def test_a_failing_sweep_stands_in_the_job_run(monkeypatch):
    def fail(*, now):
        raise metering.MeteringFailed("1 machines were not metered: 42")

    monkeypatch.setattr(metering, "meter", fail)
    with pytest.raises(metering.MeteringFailed):
        tasks.meter_costs()
    kept = JobRun.objects.get(job="meter_costs")
    assert (kept.outcome, kept.error) == ("FAILED", "MeteringFailed: 1 machines were not metered: 42")


def test_readyz_is_degraded_while_metering_is_behind():
    machine()
    assert health.check_metering().status == "degraded"
    call_command("meter_costs", "--json")
    assert health.check_metering().status == "ok"


def test_a_machine_without_a_price_is_counted_and_booked_once_there_is_one(capsys):
    priced = machine()
    prices = list(Price.objects.filter(bundle_type=priced.bundle_type))
    Price.objects.filter(bundle_type=priced.bundle_type).delete()
    assert json.loads(run(capsys, "--json"))["unpriced"] == 1
    assert health.check_metering().status == "degraded"
    Price.objects.bulk_create(prices)
    assert json.loads(run(capsys, "--json"))["unpriced"] == 0
    assert CostRecord.objects.filter(workspace=priced).exists()
