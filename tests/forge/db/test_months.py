"""Months are counted by the calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.db.months import add_months, month_of, months

days = st.dates(min_value=date(1900, 1, 1), max_value=date(2300, 12, 31))


@pytest.mark.parametrize(
    ("start", "count", "month"),
    [
        (date(2027, 1, 31), 1, date(2027, 2, 1)),
        (date(2028, 2, 29), 12, date(2029, 2, 1)),
        (date(2026, 12, 31), 1, date(2027, 1, 1)),
        (date(2026, 1, 1), -1, date(2025, 12, 1)),
        (date(2026, 11, 21), -23, date(2024, 12, 1)),
        (date(2026, 11, 21), 0, date(2026, 11, 1)),
    ],
)
def test_months_are_added_by_the_calendar(start, count, month):
    assert add_months(start, count) == month


@settings(deadline=None)
@given(days, st.integers(-600, 600))
def test_adding_and_taking_away_leads_back(day, count):
    assert add_months(add_months(day, count), -count) == month_of(day)


@settings(deadline=None)
@given(days, st.integers(0, 60))
def test_a_range_of_months_has_no_hole_and_no_month_twice(day, count):
    listed = list(months(day, add_months(day, count)))
    assert len(listed) == count + 1
    assert all(add_months(month, 1) == following for month, following in pairwise(listed))
    assert all(timedelta(28) <= add_months(month, 1) - month <= timedelta(31) for month in listed)


def test_the_month_of_a_moment_is_its_month_in_utc():
    assert month_of(datetime.fromisoformat("2027-03-01T00:30:00+14:00")) == date(2027, 2, 1)
    assert month_of(datetime(2028, 2, 29, 23, 59, tzinfo=UTC)) == date(2028, 2, 1)


def test_a_reversed_range_is_empty():
    assert list(months(date(2026, 12, 1), date(2026, 11, 30))) == []
