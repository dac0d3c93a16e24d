"""What is append-only refuses every change but the erasure it was made for, on partitions as on their parent."""

from datetime import UTC, date, datetime

import pytest
from django.db import DatabaseError

from forge.db import partitions
from forge.db.operations import APPEND_ONLY_SQLSTATE, AppendOnly, PartitionedTable, RefuseTruncate
from tests.forge.db.conftest import OPERATIONS, TABLE, apply, insert, owner_query, reverse

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]

MONTH = date(2026, 11, 1)
RELATIONS = [TABLE, f"{TABLE}_2026_11"]


@pytest.fixture
def row(ledger) -> str:
    partitions.ensure(ledger, MONTH, MONTH)
    insert(datetime(2026, 11, 21, tzinfo=UTC))
    return ledger


def sqlstate(statement: str) -> str | None:
    try:
        owner_query(statement)
    except DatabaseError as error:
        return error.__cause__.sqlstate
    return None


def content() -> list[tuple]:
    return owner_query(f"SELECT at, amount::text, person, salt FROM {TABLE}")


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}",
        "TRUNCATE {}",
        "TRUNCATE {} CASCADE",
        "UPDATE {} SET amount = 2",
        "UPDATE {} SET amount = 1.00",
        "UPDATE {} SET at = at + interval '1 second'",
        "UPDATE {} SET at = at + interval '1 month'",
        "UPDATE {} SET person = 'eve'",
        "UPDATE {} SET person = NULL, amount = 2",
        "UPDATE {} SET person = NULL, salt = 'another'",
        "UPDATE {} SET person = person",
        "MERGE INTO {} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_a_change_is_refused_with_a_state_of_our_own(row, relation, statement):
    before = content()
    assert sqlstate(statement.format(relation)) == APPEND_ONLY_SQLSTATE
    assert content() == before


@pytest.mark.parametrize("relation", RELATIONS)
def test_erasure_may_set_the_named_columns_to_null_and_nothing_else(row, relation):
    assert sqlstate(f"UPDATE {relation} SET person = NULL") is None
    assert sqlstate(f"UPDATE {relation} SET person = 'ada'") == APPEND_ONLY_SQLSTATE
    assert sqlstate(f"UPDATE {relation} SET salt = NULL") is None
    assert content() == [(datetime(2026, 11, 21, tzinfo=UTC), "1.0000", None, None)]


def test_an_insert_that_would_overwrite_is_refused(row):
    statement = f"INSERT INTO {row} SELECT * FROM {row} ON CONFLICT (id, at) DO UPDATE SET amount = 5"
    assert sqlstate(statement) == APPEND_ONLY_SQLSTATE


def test_the_refusal_names_the_table_and_what_was_tried(row):
    with pytest.raises(DatabaseError, match=rf"DELETE of {TABLE}_2026_11 is refused: its rows are append-only"):
        owner_query(f"DELETE FROM {row}")
    with pytest.raises(DatabaseError, match=f"TRUNCATE of {TABLE} is refused"):
        owner_query(f"TRUNCATE {row}")


def test_without_named_columns_no_update_passes_at_all(transactional_db):
    owner_query("CREATE TABLE test_plain (id int, note text)")
    try:
        apply(AppendOnly("test_plain"))
        owner_query("INSERT INTO test_plain VALUES (1, 'x')")
        for statement in ("UPDATE test_plain SET note = NULL", "DELETE FROM test_plain", "TRUNCATE test_plain"):
            assert sqlstate(statement) == APPEND_ONLY_SQLSTATE
        reverse(AppendOnly("test_plain"))
        assert sqlstate("UPDATE test_plain SET note = NULL") is None
        assert sqlstate("TRUNCATE test_plain") is None
    finally:
        owner_query("DROP TABLE test_plain")


def test_an_operation_added_to_a_table_with_partitions_guards_these_as_well_and_its_reverse_frees_them(ledger):
    partitions.ensure(ledger, MONTH, MONTH)
    reverse(OPERATIONS[1])
    assert (
        owner_query(
            "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'forge%%' AND tgrelid = ANY(%s::regclass[])", [RELATIONS]
        )
        == []
    )
    apply(RefuseTruncate(ledger))
    assert [sqlstate(f"TRUNCATE {relation}") for relation in RELATIONS] == [APPEND_ONLY_SQLSTATE] * 2
    assert sqlstate(f"DELETE FROM {ledger}") is None
    reverse(RefuseTruncate(ledger))
    assert [sqlstate(f"TRUNCATE {relation}") for relation in RELATIONS] == [None, None]
    apply(OPERATIONS[1])
    assert [sqlstate(f"TRUNCATE {relation}") for relation in RELATIONS] == [APPEND_ONLY_SQLSTATE] * 2


@pytest.mark.parametrize(
    "operation",
    [
        PartitionedTable("t", key="at", columns="at timestamptz"),
        AppendOnly("t", allow_update_of=("a",)),
        RefuseTruncate("t"),
    ],
)
def test_an_operation_is_written_back_with_the_arguments_it_was_made_of(operation):
    name, arguments, options = operation.deconstruct()
    again = type(operation)(*arguments, **options)
    assert name == type(operation).__name__
    assert (again.sql, again.reverse_sql) == (operation.sql, operation.reverse_sql)
    assert "t" in operation.describe()
