"""The pure arithmetic against the worked examples, and what must hold for all figures."""

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs import pricing
from costs.pricing import HOUR, Interval
from tests.costs import worked

START = datetime(2026, 2, 27, 21, tzinfo=UTC)
instants = st.integers(0, 4 * 86_400 * 10**6).map(lambda micros: START + timedelta(microseconds=micros))
fees = st.integers(0, 10**10).map(lambda millionths: Decimal(millionths).scaleb(-6))
months = st.integers(0, 36_000 * 24).map(lambda hours: datetime(2000, 1, 1, tzinfo=UTC) + hours * HOUR)


@st.composite
def histories(draw):
    """Intervals in order that do not overlap; some touch, some restart inside the stop tail, the last may be open."""
    at = draw(instants)
    intervals = []
    for length, pause in draw(
        st.lists(st.tuples(st.integers(0, 4 * 3600 * 10**6), st.integers(0, 2 * 3600 * 10**6)), max_size=8)
    ):
        intervals.append(Interval(at, at + timedelta(microseconds=length)))
        at += timedelta(microseconds=length + pause)
    if intervals and draw(st.booleans()):
        intervals[-1] = Interval(intervals[-1].start)
    return intervals


def intervals_of(text):
    pairs = [part.split(";") for part in filter(None, text.split("|"))]
    return [Interval(worked.instant(start), worked.instant(end)) for start, end in pairs]


@pytest.mark.parametrize(**worked.each("hours"))
def test_started_hours_of_the_worked_examples(row):
    intervals, now = intervals_of(row["intervals"]), worked.instant(row["now"])
    billed = pricing.billed_hours(intervals, now)
    assert billed == worked.figures(row["hours"], int)
    assert billed.total() == int(row["total_hours"]) <= int(row["ceiling_hours"])
    assert sum(pricing.running_seconds(intervals, now).values()) == Decimal(row["running_seconds"])


@pytest.mark.parametrize(**worked.each("fees"))
def test_fees_of_the_worked_examples(row):
    booked = pricing.fee_by_hour(
        Decimal(row["fee"]),
        worked.instant(row["first_available"]),
        worked.instant(row["terminated"]),
        worked.instant(row["now"]),
    )
    by_month = defaultdict(Decimal)
    for hour, amount in booked.items():
        by_month[f"{hour:%Y-%m}"] += amount
    assert {hour: booked.get(hour, Decimal(0)) for hour in worked.figures(row["selected"])} == worked.figures(
        row["selected"]
    )
    assert by_month == worked.months(row["months"])
    assert sum(booked.values()) == Decimal(row["total"])
    assert len(booked) == int(row["hours"])


@given(histories(), instants)
def test_billed_hours_never_exceed_each_interval_rounded_up(intervals, now):
    most = sum(pricing.hours_up(min(now, interval.end or now) - interval.start) for interval in intervals)
    assert pricing.billed_hours(intervals, now).total() <= most


@given(histories(), instants)
def test_session_hours_begin_while_the_machine_runs_and_an_hour_apart(intervals, now):
    begun = list(pricing.session_hours(intervals, now))
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(begun))
    assert all(any(i.start <= at < (i.end or now) for i in intervals) and at < now for at in begun)


@given(histories(), instants, instants)
def test_a_later_look_only_adds_hours(intervals, one, other):
    earlier, later = sorted((one, other))
    before = list(pricing.session_hours(intervals, earlier))
    after = list(pricing.session_hours(intervals, later))
    assert after[: len(before)] == before
    assert all(at >= earlier for at in after[len(before) :])


@given(histories(), instants)
def test_every_running_instant_lies_in_a_paid_hour(intervals, now):
    paid = [(at, at + HOUR) for at in pricing.session_hours(intervals, now)]
    for interval in intervals:
        end = min(interval.end or now, now)
        for at in (interval.start, end - timedelta(microseconds=1)):
            if interval.start <= at < end:
                assert any(begins <= at < ends for begins, ends in paid)


@given(histories(), instants)
def test_running_seconds_are_the_elapsed_time_and_fit_their_hour(intervals, now):
    seconds = pricing.running_seconds(intervals, now)
    elapsed = sum((max(timedelta(0), min(i.end or now, now) - i.start) for i in intervals), timedelta(0))
    assert sum(seconds.values()) == Decimal(elapsed // timedelta(microseconds=1)).scaleb(-6)
    assert all(0 < figure <= 3600 for figure in seconds.values())


@settings(max_examples=25)
@given(fees, months)
def test_the_hours_of_a_month_sum_to_the_fee(fee, at):
    start, end = pricing.month_of(at)
    hours = (end - start) // HOUR
    assert sum(pricing.accrual(fee, start + n * HOUR) for n in range(hours)) == fee


@given(fees, months, st.integers(0, 3000), st.integers(0, 3000))
def test_accruals_add_up_over_neighbouring_hours_and_never_fall(fee, at, first, second):
    start = pricing.hour_of(at)
    middle, end = start + first * HOUR, start + (first + second) * HOUR
    parts = pricing.accruals(fee, start, middle), pricing.accruals(fee, middle, end)
    assert sum(parts) == pricing.accruals(fee, start, end)
    assert min(parts) >= 0


@given(fees, months, st.integers(1, 5 * 86_400 * 10**6))
def test_a_machine_that_ends_owes_its_months_from_the_first_hour_on(fee, launched, length):
    ended = launched + timedelta(microseconds=length)
    booked = pricing.fee_by_hour(fee, launched, ended, ended)
    last = pricing.hour_of(ended - timedelta(microseconds=1))
    assert sum(booked.values()) == pricing.accruals(fee, pricing.hour_of(launched), pricing.month_of(last)[1])


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.005", "0.01"), ("0.004999", "0.00"), ("56.575", "56.58"), ("-0.005", "-0.01"), ("7", "7.00")],
)
def test_cents_are_rounded_half_up(amount, shown):
    assert str(pricing.cents(Decimal(amount))) == shown
