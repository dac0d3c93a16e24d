"""Months are contiguous and UTC whatever the session, the outage or the company of other runners."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, ProgrammingError, transaction

from forge.db import locks, partitions
from forge.db.models import JobRun
from forge.db.months import add_months
from forge.db.partitions import Partition
from forge.db.tasks import rollover_partitions
from tests.forge.db.conftest import TABLE, at_once, insert, owner_query

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

# Session time zone → months simulated when the soak is off; with it 120 in each.
ZONES = {"America/New_York": 120, "UTC": 36, "Asia/Kathmandu": 36, "Pacific/Kiritimati": 36}


@contextmanager
def session_zone(zone: str) -> Iterator[None]:
    owner_query("SELECT set_config('TimeZone', %s, false)", [zone])
    try:
        yield
    finally:
        owner_query("SET TIME ZONE 'UTC'")


def covered_months() -> list[tuple[date, date]]:
    return [(partition.first, partition.end) for partition in partitions.attached(TABLE)]


@pytest.mark.catalogue(4)
@pytest.mark.soak
@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_of_the_daily_job_leave_no_gap_and_no_overlap_in_any_session_time_zone(ledger, zone, scale):
    """Rows arrive at the first and last instant of every month, also while beat is off for five months on end."""
    start = date(2027, 11, 1)  # the leap years 2028, 2032 and 2036 lie ahead
    count = scale(120, ZONES[zone])
    away = range(count // 2, count // 2 + 5)
    with session_zone(zone):
        for number in range(count):
            first = datetime.combine(add_months(start, number), datetime.min.time(), UTC)
            following = datetime.combine(add_months(start, number + 1), datetime.min.time(), UTC)
            if number:  # before the first run there is no month
                insert(first)
            if number not in away:
                figures = partitions.roll_over(following - timedelta(microseconds=1))
                made = 7 if number == 0 else 6 if number == away.stop else 1
                assert figures == {"made": made, "months_ahead": 6}
            insert(following - timedelta(microseconds=1))
        assert owner_query("SHOW TimeZone") == [(zone,)]
        months = covered_months()

    assert months == [(add_months(start, n), add_months(start, n + 1)) for n in range(count + 6)]
    misplaced = owner_query(
        f"SELECT count(*) FROM {ledger} "
        f"WHERE tableoid::regclass::text <> '{ledger}_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM')"
    )
    assert misplaced == [(0,)]
    assert owner_query(f"SELECT count(*) FROM {ledger}") == [(2 * count - 1,)]


def test_bounds_are_written_as_midnights_in_utc(ledger):
    with session_zone("America/New_York"):
        assert partitions.ensure(ledger, date(2028, 2, 29), date(2028, 2, 29)) == [f"{ledger}_2028_02"]
    [february] = partitions.attached(ledger)
    assert february.bounds == "FOR VALUES FROM ('2028-02-01 00:00:00+00') TO ('2028-03-01 00:00:00+00')"


def test_a_month_whose_bounds_the_catalogue_reads_otherwise_is_not_kept(ledger, monkeypatch):
    read = partitions.attached

    def a_month_longer(table: str, using: str = "owner") -> list[Partition]:
        return [replace(partition, end=add_months(partition.end, 1)) for partition in read(table, using)]

    monkeypatch.setattr(partitions, "attached", a_month_longer)
    with pytest.raises(partitions.PartitionError, match="was to hold 2028-02-01 to 2028-03-01"):
        partitions.ensure(ledger, date(2028, 2, 1), date(2028, 2, 1))
    assert read(ledger) == []


def test_ensuring_twice_makes_nothing_twice(ledger):
    assert len(partitions.ensure(ledger, date(2026, 1, 31), date(2026, 3, 1))) == 3
    assert partitions.ensure(ledger, date(2026, 1, 1), date(2026, 3, 31)) == []


def test_reaching_back_fills_every_month_up_to_those_that_exist(ledger):
    partitions.ensure(ledger, date(2026, 11, 21), date(2027, 5, 1))
    made = partitions.ensure(ledger, date(2026, 7, 4), date(2026, 8, 1))
    assert made == [f"{ledger}_2026_{month:02}" for month in (7, 8, 9, 10)]


def test_a_moment_belongs_to_its_month_in_utc(ledger):
    almost = datetime.fromisoformat("2026-12-31T23:30:00-05:00")
    assert partitions.ensure(ledger, almost, almost) == [f"{ledger}_2027_01"]


def test_after_five_months_without_a_beat_rows_still_find_their_month_and_the_next_run_catches_up(ledger):
    partitions.roll_over(datetime(2026, 11, 21, tzinfo=UTC))
    returned = datetime(2027, 4, 21, tzinfo=UTC)
    insert(returned)
    assert partitions.roll_over(returned) == {"made": 5, "months_ahead": 6}


def test_after_an_outage_longer_than_the_months_ahead_the_missed_months_are_made_as_well(ledger):
    partitions.roll_over(datetime(2026, 1, 15, tzinfo=UTC))
    partitions.roll_over(datetime(2028, 1, 15, tzinfo=UTC))
    assert covered_months() == [
        (add_months(date(2026, 1, 1), n), add_months(date(2026, 1, 1), n + 1)) for n in range(31)
    ]


def test_a_missing_month_refuses_the_row_and_the_next_run_mends_it(ledger):
    now = datetime(2027, 2, 28, 23, 59, tzinfo=UTC)
    partitions.ensure(ledger, date(2027, 1, 1), date(2027, 1, 1))
    with pytest.raises(IntegrityError, match="no partition of relation"):
        insert(now)
    partitions.roll_over(now)
    insert(now)


def test_a_hole_is_a_fault_until_a_run_fills_it(ledger):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    partitions.roll_over(now)
    owner_query(f"DROP TABLE {ledger}_2027_02")
    [report] = partitions.check(now)
    assert report.faults == ("2027-02 has no partition",)
    assert report.months_ahead == 2
    assert report.is_short
    partitions.roll_over(now)
    assert partitions.check(now)[0].faults == ()


@pytest.mark.parametrize("runners", [2, 8])
def test_runners_at_the_same_time_make_each_month_once(ledger, runners):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    made = at_once(runners, lambda number: partitions.ensure_ahead(now, 11))
    names = sorted(name for answer in made for name in answer[ledger])
    assert names == [f"{ledger}_{add_months(date(2026, 11, 1), n):%Y_%m}" for n in range(12)]
    assert partitions.check(now)[0].faults == ()


def test_writers_are_not_kept_waiting_while_a_month_is_made(ledger, make_app_connection):
    partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    owner_query(f"GRANT INSERT ON {ledger} TO forge_app")
    owner_query(f"GRANT USAGE ON SEQUENCE {ledger}_id_seq TO forge_app")
    writer = make_app_connection()
    writer.execute(f"INSERT INTO {ledger} (at, amount) VALUES ('2026-11-21 12:00+00', 1)")  # its transaction stays open
    assert partitions.ensure(ledger, date(2026, 12, 1), date(2026, 12, 1)) == [f"{ledger}_2026_12"]
    writer.commit()


def test_a_runner_that_does_not_get_the_lock_tries_again_and_then_says_so(ledger, superuser_connection, monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.01)
    pauses = []
    monkeypatch.setattr(partitions.alone.retry, "sleep", pauses.append)
    key = locks.advisory_key(partitions.LOCK_NAME)
    superuser_connection.execute("SELECT pg_advisory_lock(%s)", [key])
    with pytest.raises(OperationalError, match="lock timeout"):
        partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    assert len(pauses) == partitions.LOCK_ATTEMPTS - 1
    assert covered_months() == []

    def release(pause: float) -> None:
        superuser_connection.execute("SELECT pg_advisory_unlock(%s)", [key])

    monkeypatch.setattr(partitions.alone.retry, "sleep", release)
    assert partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1)) == [f"{ledger}_2026_11"]


def test_months_are_never_made_inside_a_transaction(ledger):
    with pytest.raises(RuntimeError), transaction.atomic(using="owner"):
        partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    assert covered_months() == []


def test_inside_a_transaction_nothing_missing_is_nothing_to_refuse(ledger):
    partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    with transaction.atomic(using="owner"):
        assert partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1)) == []


@pytest.mark.parametrize("last", [date(2026, 10, 31), date(2226, 1, 1)], ids=["reversed", "absurd"])
def test_a_senseless_range_is_refused(ledger, last):
    with pytest.raises(ValueError, match=r"reversed|wrong date"):
        partitions.ensure(ledger, date(2026, 11, 1), last)


def test_bounds_that_are_not_utc_months_are_a_fault_and_hold_no_month(ledger):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    owner_query(
        f"CREATE TABLE {ledger}_odd PARTITION OF {ledger} "
        "FOR VALUES FROM ('2026-12-01 00:00:00-05') TO ('2027-01-01 00:00:00-05')"
    )
    with pytest.raises(partitions.PartitionError, match="would overlap partition"):
        partitions.roll_over(now)
    [report] = partitions.check(now)
    assert report.months_ahead == 0
    assert any(fault.startswith(f"{ledger}_odd is not bounded by whole months in UTC") for fault in report.faults)


def test_a_default_partition_is_a_fault(ledger):
    owner_query(f"CREATE TABLE {ledger}_rest PARTITION OF {ledger} DEFAULT")
    [report] = partitions.check(datetime(2026, 11, 21, tzinfo=UTC))
    assert f"{ledger}_rest is not bounded by whole months in UTC: DEFAULT" in report.faults


def test_a_month_in_two_partitions_is_a_fault():
    november, december = date(2026, 11, 1), date(2026, 12, 1)
    report = partitions.report(
        "x",
        [Partition("a", "", november, december), Partition("b", "", november, add_months(december, 1))],
        datetime(2026, 11, 21, tzinfo=UTC),
    )
    assert report.faults == ("2026-11 is in 2 partitions",)


def test_a_partition_made_by_hand_gets_its_truncate_trigger_at_the_next_run(ledger):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    owner_query(
        f"CREATE TABLE {ledger}_hand PARTITION OF {ledger} FOR VALUES FROM ('2026-11-01+00') TO ('2026-12-01+00')"
    )
    assert f"{ledger}_hand can be truncated" in partitions.check(now)[0].faults
    partitions.roll_over(now)
    assert partitions.check(now)[0].faults == ()


def test_one_table_that_cannot_have_its_months_does_not_keep_the_others_from_theirs(ledger, monkeypatch):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    owner_query("CREATE TABLE test_blocked (at timestamptz) PARTITION BY RANGE (at)")
    owner_query("CREATE TABLE test_blocked_2026_11 (at timestamptz)")
    try:
        monkeypatch.setattr(partitions, "TABLES", {"test_blocked": "at", TABLE: "at"})
        with pytest.raises(partitions.PartitionError, match="test_blocked") as caught:
            partitions.roll_over(now)
        assert isinstance(caught.value.__cause__, ProgrammingError)
        assert len(covered_months()) == 7
    finally:
        owner_query("DROP TABLE test_blocked, test_blocked_2026_11")


def test_storage_parameters_are_set_on_each_partition(ledger, monkeypatch):
    monkeypatch.setattr(partitions, "STORAGE", {TABLE: "fillfactor = 70"})
    partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    assert owner_query("SELECT reloptions FROM pg_class WHERE relname = %s", [f"{ledger}_2026_11"]) == [
        (["fillfactor=70"],)
    ]


def test_a_partition_has_the_indexes_defaults_checks_and_row_triggers_of_its_parent(ledger):
    owner_query(f"CREATE INDEX test_ledger_person ON {ledger} (person)")
    partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1))
    name = f"{ledger}_2026_11"
    assert len(owner_query("SELECT 1 FROM pg_index WHERE indrelid = %s::regclass", [name])) == 2
    triggers = owner_query("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass ORDER BY 1", [name])
    assert triggers == [("forge_append_only",), ("forge_refuse_truncate",)]
    with pytest.raises(IntegrityError, match="test_ledger_amount"):
        insert(datetime(2026, 11, 21, tzinfo=UTC), amount="-1")


# -- The command and the job -------------------------------------------------------------------------------------
def rollover(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str]:
    code = 0
    try:
        call_command("rollover_partitions", *arguments)
    except CommandError as error:
        code = error.returncode
    return code, capsys.readouterr().out


def test_the_command_makes_this_month_and_six_ahead_and_then_nothing(ledger, capsys):
    code, out = rollover(capsys, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (0, True)
    assert answer["tables"][0]["months_ahead"] == 6
    assert len(answer["tables"][0]["made"]) == 7
    assert json.loads(rollover(capsys, "--json")[1])["tables"][0]["made"] == []


def test_a_dry_run_names_the_months_and_makes_none(ledger, capsys):
    code, out = rollover(capsys, "--dry-run", "--months-ahead", "2", "--json")
    assert len(json.loads(out)["tables"][0]["would_make"]) == 3
    assert code == 1  # the current month is missing, and a dry run does not mend it
    assert covered_months() == []


@pytest.mark.parametrize(("months_ahead", "code"), [("2", 1), ("3", 0)])
def test_check_exits_1_with_fewer_than_three_months_ahead(ledger, capsys, months_ahead, code):
    assert rollover(capsys, "--months-ahead", months_ahead)[0] == 0
    assert rollover(capsys, "--check")[0] == code


def test_the_command_exits_1_and_names_a_hole(ledger, capsys):
    rollover(capsys)
    hole = partitions.attached(ledger)[4].name
    owner_query(f"DROP TABLE {hole}")
    code, out = rollover(capsys, "--check")
    assert code == 1
    assert "has no partition" in out


def test_check_says_when_the_tables_are_not_there_at_all(transactional_db, capsys, monkeypatch):
    monkeypatch.setattr(partitions, "TABLES", {"test_nowhere": "at"})
    code, out = rollover(capsys, "--check")
    assert code == 1
    assert "run migrate" in out


@pytest.mark.parametrize("months_ahead", ["-1", "121", "six", "1.5"])
def test_a_senseless_number_of_months_ahead_is_refused(capsys, months_ahead):
    assert rollover(capsys, f"--months-ahead={months_ahead}")[0] == 1


def test_the_job_works_once_a_day_however_often_it_ticks(ledger):
    assert rollover_partitions()["made"] == 7
    assert rollover_partitions() is None
    assert JobRun.objects.get(job="rollover_partitions").outcome == JobRun.Outcome.SUCCEEDED


def test_a_job_that_found_a_fault_is_recorded_and_repeated_at_the_next_tick(ledger):
    owner_query(f"CREATE TABLE {ledger}_rest PARTITION OF {ledger} DEFAULT")
    with pytest.raises(partitions.PartitionError):
        rollover_partitions()
    assert "DEFAULT" in JobRun.objects.get(job="rollover_partitions").error
    owner_query(f"DROP TABLE {ledger}_rest")
    assert rollover_partitions() == {"made": 0, "months_ahead": 6}


def test_the_application_role_cannot_make_months(ledger):
    with pytest.raises(ProgrammingError, match=r"must be owner|permission denied"):
        partitions.ensure(ledger, date(2026, 11, 1), date(2026, 11, 1), using="default")
