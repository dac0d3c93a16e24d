"""Charges are kept as PostgreSQL writes arrays, and read as what they are."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection

from costs.charges import Charges

HOURS = [datetime(2026, 3, 1, 5, tzinfo=UTC), datetime(2040, 12, 31, 23, tzinfo=UTC)]
MACHINES = [uuid.UUID(int=1), uuid.UUID(int=2)]
AMOUNTS = [Decimal("0.313105"), Decimal("-0.000001")]


@pytest.mark.django_db
def test_what_the_database_has_written_is_what_was_listed():
    listed = Charges(MACHINES, HOURS, AMOUNTS)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT cardinality(hours), ids::text, hours::text, amounts::text
              FROM (SELECT %s::uuid[] AS ids, %s::integer[] AS hours, %s::numeric[] AS amounts) written
            """,
            listed.arrays,
        )
        written = Charges.of_arrays(*cursor.fetchone())
    assert (written.arrays, len(written)) == (listed.arrays, 2)
    assert (written.workspace_ids, written.hours, written.amounts) == (MACHINES, HOURS, AMOUNTS)


def test_no_charges_are_empty_arrays():
    nothing = Charges([], [], [])
    assert (len(nothing), nothing.arrays) == (0, ("{}", "{}", "{}"))
    assert (nothing.workspace_ids, nothing.hours, nothing.amounts) == ([], [], [])
