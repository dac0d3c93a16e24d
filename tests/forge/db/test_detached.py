"""A month on its way out: nobody waits for it, nothing of it is lost, wherever the way is interrupted."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, ProgrammingError, transaction

from forge.db import detached, partitions, scope
from forge.db.detached import Place
from forge.db.models import ArchivedMonth
from tests.forge.db.conftest import TABLE, at_once, insert, owner_query

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

MONTH = date(2026, 2, 1)
NAME = f"{TABLE}_2026_02"


@pytest.fixture
def year(ledger):
    """A table with the months of 2026 and two rows in each of the first three."""
    partitions.ensure(ledger, date(2026, 1, 1), date(2026, 12, 1))
    for month in (1, 2, 3):
        insert(datetime(2026, month, 1, tzinfo=UTC))
        insert(datetime(2026, month, 28, 23, 59, tzinfo=UTC))
    return ledger


def detach() -> None:
    detached.detach(TABLE, MONTH, NAME)


def place() -> Place:
    return detached.place_of(TABLE, MONTH, NAME)


def archive() -> None:
    ArchivedMonth.objects.create(
        table=TABLE, month=MONTH, partition=NAME, detached_at=datetime(2026, 11, 1, tzinfo=UTC)
    )


def months() -> tuple[list[str], list[str]]:
    return [one.name for one in partitions.attached(TABLE)], [one.name for one in detached.months_of(TABLE)]


def rows(table: str) -> int:
    return owner_query(f"SELECT count(*) FROM {table}")[0][0]


def test_a_detached_month_leaves_its_table_and_keeps_its_rows_and_bounds(year):
    assert place() is Place.ATTACHED
    detach()
    attached, out = months()
    assert (NAME in attached, out, place()) == (False, [NAME], Place.DETACHED)
    assert (rows(year), rows(detached.twin(year))) == (4, 2)
    [held] = detached.months_of(TABLE)
    assert held.bounds == "FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00')"


def test_bounds_stay_utc_in_another_session_zone(year):
    owner_query("SET TIME ZONE 'America/New_York'")
    try:
        detach()
        assert (detached.months_of(TABLE)[0].first, detached.months_of(TABLE)[0].end) == (MONTH, date(2026, 3, 1))
    finally:
        owner_query("SET TIME ZONE 'UTC'")


def test_detaching_again_changes_nothing(year):
    detach()
    detach()
    assert months()[1] == [NAME]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET amount = 2",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "UPDATE {table} SET person = 'bob'",
    ],
)
@pytest.mark.parametrize("table", [detached.twin(TABLE), f"forge_detached.{NAME}"])
def test_a_detached_month_is_append_only_for_its_owner_too(year, table, statement):
    detach()
    with pytest.raises(DatabaseError, match=r"append-only|TRUNCATE of .* is refused"):
        owner_query(statement.format(table=table))


def test_erasure_reaches_detached_months(year):
    detach()
    owner_query(f"UPDATE {detached.twin(TABLE)} SET person = NULL, salt = NULL")
    assert owner_query(f"SELECT DISTINCT person, salt FROM {detached.twin(TABLE)}") == [(None, None)]


def test_the_application_reads_no_detached_month_that_it_was_not_given(year, make_app_connection):
    detach()
    app = make_app_connection(autocommit=True)
    for table in (detached.twin(TABLE), f"forge_detached.{NAME}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(f"SELECT count(*) FROM {table}")


def test_the_application_reads_detached_months_of_the_log_and_writes_none(make_app_connection):
    app = make_app_connection(autocommit=True)
    assert app.execute("SELECT count(*) FROM forge_detached.audit_auditlog").fetchone() == (0,)
    for statement in (
        "DELETE FROM forge_detached.audit_auditlog",
        "UPDATE forge_detached.audit_auditlog SET salt = NULL",
        "CREATE TABLE forge_detached.mine ()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)


def test_an_archived_month_is_neither_missing_nor_made_again(year):
    now = datetime(2026, 11, 21, tzinfo=UTC)
    archive()
    detach()
    assert partitions.roll_over(now)["made"] == 5  # 2027
    assert partitions.ensure(TABLE, MONTH, MONTH) == []
    assert partitions.check(now)[0].faults == ()
    with pytest.raises(IntegrityError, match="no partition of relation"):
        insert(datetime(2026, 2, 14, tzinfo=UTC))


def test_writers_and_readers_are_not_kept_waiting(year, make_app_connection):
    owner_query(f"GRANT SELECT, INSERT ON {year} TO forge_app")
    owner_query(f"GRANT USAGE ON SEQUENCE {year}_id_seq TO forge_app")
    writer = make_app_connection(autocommit=True)
    reader = make_app_connection()
    reader.execute(f"SELECT count(*) FROM {year}")  # its transaction stays open, as a dump's would

    def both(number: int) -> str:
        if number:
            writer.execute("SET statement_timeout = '900ms'")
            for _ in range(20):
                writer.execute(f"INSERT INTO {year} (at, amount) VALUES ('2026-11-21 12:00+00', 1)")
            return "written"
        try:
            detach()
        except OperationalError:
            return "refused"
        return "detached"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "LOCK_SECONDS", 1.0)
        patch.setattr(detached._leave.retry, "stop", lambda state: True)
        assert at_once(2, both) == ["refused", "written"]
    assert place() is Place.BETWEEN
    reader.rollback()
    detach()
    assert (place(), rows(year)) == (Place.DETACHED, 24)


@pytest.mark.parametrize("interrupted", ["_alter", "_join_twin"])
@pytest.mark.parametrize("before", [True, False])
def test_what_was_interrupted_is_finished_by_the_next_call(year, monkeypatch, interrupted, before):
    real: Callable = getattr(detached, interrupted)

    def die(*arguments):
        if not before:
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(detached, interrupted, die)
    with pytest.raises(KeyboardInterrupt):
        detach()
    monkeypatch.undo()
    detach()
    assert (months()[1], rows(year), rows(detached.twin(year))) == ([NAME], 4, 2)


def test_two_at_once_detach_it_once(year):
    def attempt(number: int) -> str:
        try:
            detach()
        except partitions.PartitionError as error:
            return str(error)
        return "done"

    assert "done" in (told := at_once(2, attempt))
    assert set(told) <= {"done", "Another runner is detaching a month."}
    assert (months()[1], rows(year)) == ([NAME], 4)


def test_a_partition_that_holds_more_than_the_month_is_left_alone(ledger):
    owner_query(
        f"CREATE TABLE {TABLE}_quarter PARTITION OF {TABLE} FOR VALUES FROM ('2026-01-01+00') TO ('2026-04-01+00')"
    )
    with pytest.raises(partitions.PartitionError, match="does not hold just 2026-02"):
        detached.detach(TABLE, MONTH, f"{TABLE}_quarter")
    with pytest.raises(partitions.PartitionError, match="neither attached nor detached"):
        detached.detach(TABLE, date(2025, 1, 1), f"{TABLE}_2025_01")


def test_a_month_is_never_detached_inside_a_transaction(year):
    with pytest.raises(RuntimeError), transaction.atomic(using="owner"):
        detach()
    assert place() is Place.ATTACHED


def test_only_what_is_detached_is_dropped_and_only_once(year):
    assert not detached.drop(TABLE, MONTH, NAME, check=lambda: None)
    detach()
    assert detached.drop(TABLE, MONTH, NAME, check=lambda: None)
    assert not detached.drop(TABLE, MONTH, NAME, check=lambda: None)
    assert (place(), rows(year)) == (Place.NOWHERE, 4)


def test_a_check_that_raises_keeps_the_month(year):
    detach()
    with pytest.raises(ZeroDivisionError):
        detached.drop(TABLE, MONTH, NAME, check=lambda: 1 // 0)
    assert place() is Place.DETACHED


def test_the_application_can_neither_detach_nor_drop(year):
    refused = pytest.raises(ProgrammingError, match=r"must be owner|permission denied")
    with scope.request(), refused:  # nobody's: no scope goes before the statement, which stands alone
        detached.detach(TABLE, MONTH, NAME, using="default")


# -- The record ---------------------------------------------------------------------------------------------------
def test_what_became_of_a_month_goes_forward_only():
    archive()
    one = ArchivedMonth.objects.filter(partition=NAME)
    with pytest.raises(DatabaseError, match="not rewritten"):
        one.update(state="DROPPED", dropped_at=datetime(2026, 11, 2, tzinfo=UTC))
    exported = {"exported_at": datetime(2026, 11, 2, tzinfo=UTC), "verified_at": datetime(2026, 11, 2, tzinfo=UTC)}
    one.update(state="EXPORTED", rows=2, manifest_sha256="0" * 64, location="x", **exported)
    for change in ({"state": "DETACHED", "exported_at": None}, {"month": date(2026, 3, 1)}):
        with pytest.raises(DatabaseError, match="not rewritten"):
            one.update(**change)
    with pytest.raises(DatabaseError, match="not rewritten"):
        one.delete()
    one.update(state="DROPPED", dropped_at=datetime(2026, 11, 9, tzinfo=UTC))
    with pytest.raises(DatabaseError, match="not rewritten"):
        one.update(rows=3)


def test_an_exported_month_has_a_copy():
    with pytest.raises(IntegrityError, match="db_archivedmonth_exported_has_a_copy"):
        ArchivedMonth.objects.create(
            table=TABLE, month=MONTH, partition=NAME, state="EXPORTED", detached_at=datetime(2026, 11, 1, tzinfo=UTC),
            exported_at=datetime(2026, 11, 1, tzinfo=UTC),
        )  # fmt: skip
