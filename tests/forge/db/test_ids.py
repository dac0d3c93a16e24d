"""Both makers of ids make UUIDv7, in the order of time."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from django.db import connection

from forge.db.ids import uuid7


def moment_of(value: UUID) -> datetime:
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def sql_uuids(count: int) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT forge_uuid7() FROM generate_series(1, %s)", [count])
        return [value for (value,) in cursor.fetchall()]


def test_ids_made_in_python_ascend_and_are_of_the_standard_type():
    made = [uuid7() for _ in range(1000)]
    assert all(type(value) is UUID and value.version == 7 and value.variant == RFC_4122 for value in made)
    assert made == sorted(set(made))


@pytest.mark.servers
@pytest.mark.django_db
def test_ids_made_in_sql_are_uuid7_of_this_moment():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = sql_uuids(10_000)
    after = datetime.now(UTC)
    assert all(value.version == 7 and value.variant == RFC_4122 for value in made)
    assert len(set(made)) == len(made)
    assert all(before - timedelta(milliseconds=1) <= moment_of(value) <= after for value in made)


@pytest.mark.servers
@pytest.mark.django_db
def test_ids_made_in_sql_ascend_by_the_microsecond():
    # 60 bits: the milliseconds and the part of the millisecond, before the random bits.
    instants = [(value.int >> 80, (value.int >> 64) & 0xFFF) for value in sql_uuids(10_000)]
    assert instants == sorted(instants)
    assert len({fraction for _, fraction in instants}) > 100
