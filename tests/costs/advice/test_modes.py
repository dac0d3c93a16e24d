"""Break-even, expected hours, the day of a switch and savings: by worked examples, and by laws."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs.advice import modes, savings
from costs.advice.modes import Confidence, Rates
from costs.advice.savings import Stretch

FOLDER = Path(__file__).parent / "examples"
HOUR = timedelta(hours=1)


def lines(name):
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    return {"argnames": "row", "argvalues": rows, "ids": [row["case"] for row in rows]}


def instant(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def rates(row):
    return Rates(Decimal(row["auto_stop"]), Decimal(row["hourly"])), Rates(Decimal(row["always_on"]))


@pytest.mark.parametrize(**lines("break_even"))
def test_each_bundle_breaks_even_where_it_was_worked_out(row):
    auto_stop, always_on = rates(row)
    hours = modes.break_even_hours(auto_stop, always_on)
    assert hours == Decimal(row["break_even_hours"])
    assert abs(auto_stop.month(hours) - always_on.monthly) < Decimal("0.00001")


def test_break_even_where_hours_cost_nothing_or_always_on_is_cheaper_anyway():
    assert modes.break_even_hours(Rates(Decimal(10)), Rates(Decimal(35))) is None
    assert modes.break_even_hours(Rates(Decimal(40)), Rates(Decimal(35))) == 0
    assert modes.break_even_hours(Rates(Decimal(40), Decimal(1)), Rates(Decimal(35))) == 0


@pytest.mark.parametrize(**lines("switch"))
def test_the_best_day_for_a_switch_is_the_one_that_was_worked_out(row):
    auto_stop, always_on = rates(row)
    found = modes.best_switch(
        to_always_on=row["to"] == "ALWAYS_ON", now=instant(row["now"]), auto_stop=auto_stop, always_on=always_on,
        hours=[Decimal(each) for each in row["hours"].split("|")],
    )  # fmt: skip
    assert (found.at, found.until, found.cost) == (instant(row["at"]), instant(row["until"]), Decimal(row["cost"]))
    assert found.end == datetime(2026, 5, 1, tzinfo=UTC)


def by_hand(*, to_always_on, at, first, end, auto_stop, always_on, hours):
    """The cost of a switch hour by hour, in fractions, by the words of docs/money.md."""
    total = Fraction(0)
    hour = first
    while hour < end:
        month = hour.replace(day=1, hour=0)
        following = (month + timedelta(days=32)).replace(day=1)
        in_month = (following - month) // HOUR
        within = month < at <= hour
        if to_always_on:
            is_on, also = hour >= at, within
        else:
            is_on, also = hour < at or within, False
        if is_on:
            total += Fraction(always_on.monthly) / in_month
        if not is_on or also:
            total += Fraction(auto_stop.monthly) / in_month
        if not is_on:
            total += Fraction(hours[hour.weekday()]) * Fraction(auto_stop.hourly) / 24
        hour += HOUR
    return total


amounts = st.decimals("0", "200", places=2)


@settings(max_examples=20)
@given(
    to_always_on=st.booleans(),
    now=st.datetimes(datetime(2023, 12, 1), datetime(2026, 3, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    auto_stop=st.builds(Rates, amounts, st.decimals("0", "12", places=2)),
    always_on=st.builds(Rates, amounts),
    hours=st.lists(st.decimals("0", "24", places=1), min_size=7, max_size=7),
)
def test_no_day_is_better_than_the_best_day(to_always_on, now, auto_stop, always_on, hours):
    known = {"to_always_on": to_always_on, "auto_stop": auto_stop, "always_on": always_on, "hours": hours}
    found = modes.best_switch(now=now, **known)
    first = now.replace(minute=0, second=0, microsecond=0)
    first += HOUR if first < now else timedelta(0)
    month_end = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    days = {first, month_end} | {first.replace(hour=0) + timedelta(days=n) for n in range(1, 32)}
    costs = {
        day: by_hand(at=day, first=first, end=found.end, **known) for day in sorted(days) if first <= day <= month_end
    }
    nearly = Fraction(1, 100_000)
    assert set(costs) == set(modes.switch_instants(now))
    assert abs(costs[found.at] - Fraction(found.cost)) < nearly
    assert costs[found.at] - min(costs.values()) < nearly
    assert costs[found.until] - min(costs.values()) < nearly


@given(st.dictionaries(st.integers(0, 27), st.decimals("0", "24", places=2), max_size=28))
def test_the_hours_of_a_month_follow_from_the_days_observed(observed):
    by_day = {date(2026, 3, 2) + timedelta(days=number): hours for number, hours in observed.items()}
    found = modes.foreseen(by_day)
    if not by_day:
        assert found is None
        return
    assert found.days == len(by_day)
    assert 0 <= found.p10 <= found.p50 <= found.p90 <= 730
    assert Decimal("30.4166") * min(by_day.values()) <= found.mean + Decimal("0.001")
    assert found.mean <= Decimal("30.4167") * max(by_day.values()) + Decimal("0.001")


def test_weekends_count_as_weekends():
    monday = date(2026, 3, 2)
    working = {monday + timedelta(days=n): Decimal(8 if n % 7 < 5 else 0) for n in range(28)}
    found = modes.foreseen(working)
    assert found.mean.quantize(Decimal("0.01")) == Decimal("173.81")  # 730 / 24 / 7 · 5 days · 8 hours
    assert (found.p10, found.p90) == (found.mean, found.mean)
    without_weekends = {day: hours for day, hours in working.items() if day.weekday() < 5}
    assert modes.foreseen(without_weekends).mean.quantize(Decimal("0.01")) == Decimal("243.33")
    assert modes.daily(working) == tuple(map(Decimal, (8, 8, 8, 8, 8, 0, 0)))


def test_confidence_falls_with_few_days_and_with_break_even_in_reach():
    steady = {date(2026, 3, 2) + timedelta(days=n): Decimal(4) for n in range(28)}
    found = modes.foreseen(steady)
    assert modes.confidence(found, Decimal(84), full=28) == Confidence.HIGH
    few = modes.foreseen(dict(list(steady.items())[:14]))
    assert modes.confidence(few, Decimal(84), full=28) == Confidence.MEDIUM
    assert modes.confidence(modes.foreseen(dict(list(steady.items())[:7])), Decimal(84), full=28) == Confidence.LOW
    uneven = {day: Decimal(24 if day.day % 5 == 0 else 1) for day in steady}
    unsure = modes.foreseen(uneven)
    assert unsure.p10 < unsure.mean < unsure.p90
    assert modes.confidence(unsure, unsure.mean, full=28) == Confidence.MEDIUM


@pytest.mark.parametrize(**lines("savings"))
def test_what_was_saved_is_what_was_worked_out(row):
    before = Rates(Decimal(row["monthly"]), Decimal(row["hourly"]))
    stretches = []
    for part in row["stretches"].split("|"):
        first, end, hours, booked = part.split(";")
        stretches.append(Stretch(instant(first), instant(end), before, Decimal(hours), Decimal(booked)))
    found = savings.realised(stretches)
    assert (found.would_have_cost, found.booked, found.saved) == (
        Decimal(row["would_have_cost"]), Decimal(row["booked"]), Decimal(row["saved"]),
    )  # fmt: skip


def test_from_when_until_when_savings_are_reckoned():
    at = datetime(2026, 3, 10, 9, 20, tzinfo=UTC)
    april = datetime(2026, 4, 1, tzinfo=UTC)
    assert savings.counted_from("MODIFY", at) == at.replace(hour=10, minute=0)
    assert savings.counted_from("TERMINATE", at) == april
    assert savings.counted_from("TERMINATE", april) == april
    now = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
    assert savings.counted_until(at, [None], now) == (now.replace(minute=0), False)
    assert savings.counted_until(at, [april, None], now) == (april, True)
    assert savings.counted_until(at, [None], now + timedelta(days=800)) == (
        at.replace(year=2027, minute=0), True,
    )  # fmt: skip
    assert savings.months_of(datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)) == [
        (datetime(2026, 3, 31, tzinfo=UTC), april), (april, datetime(2026, 4, 2, tzinfo=UTC)),
    ]  # fmt: skip
