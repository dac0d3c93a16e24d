"""The benchmarks work, and both sides of each do the same work; how fast they are is printed, never asserted."""

import contextlib
import itertools
import json
import time

import pytest
from django.utils.module_loading import import_string

from tests.bench.__main__ import BENCHMARKS, main
from tests.bench.measure import Benchmark, Figure, Run, Sides, Subject, UnequalWork, compare, measure, merge, sample


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_both_sides_do_the_same_work(name):
    benchmark = import_string(BENCHMARKS[name])

    result = measure(benchmark, "tiny", times=1, most=1)  # after the one that warms up; raises UnequalWork

    assert benchmark.name == name
    assert result.counts["work_per_run"] > 0
    assert result.line().startswith(name)


def test_sides_that_write_different_rows_are_no_comparison():
    @contextlib.contextmanager
    def prepare(size):
        yield Sides(mine=lambda: Run(1.0, 5, {"records": 5}), bare=lambda: Run(1.0, 5, {"records": 4}))

    with pytest.raises(UnequalWork, match="records"):
        compare(Benchmark(name="odd", goal=1, prepare=prepare, is_rate=True), "tiny")


def test_value_is_the_median_of_the_ratios_and_a_missed_goal_says_by_how_much():
    mine = iter([9.0, 3.0, 4.0, 5.0])  # the first pair only warms up

    @contextlib.contextmanager
    def prepare(size):
        yield Sides(mine=lambda: Run(next(mine), 1), bare=lambda: Run(2.0, 1))

    result = compare(Benchmark(name="slow", goal=1.6, prepare=prepare, is_rate=False), "tiny", times=3, most=3)

    assert result.values == [1.5, 2.0, 2.5]
    assert result.as_json() | {"measured_at": ""} == {
        "value": 2.0,
        "goal": 1.6,
        "mine": 4.0,
        "bare": 2.0,
        "counts": {
            "work_per_run": 1,
            "rows_per_run": {},
            "pairs": 3,
            "quartiles": [1.75, 2.25],
            "least": 1.5,
            "greatest": 2.5,
            "unit": "seconds",
        },
        "scale": "tiny",
        "measured_at": "",
    }
    assert "MISSED by 25.0%" in result.line()


def test_figure_is_the_median_of_its_samples_and_has_no_second_side():
    seconds = iter([9.0, 0.5, 0.1, 0.2])  # the first only warms up

    @contextlib.contextmanager
    def prepare(size):
        yield Subject(run=lambda: Run(next(seconds), 1000), verify=lambda: {"rows": 4000})

    result = sample(Figure("rate", 8000, "rows/s", prepare, is_rate=True), "tiny", times=3, most=3)

    assert result.values == [2000, 10000, 5000]
    assert {key: result.as_json()[key] for key in ("value", "goal", "mine", "bare")} == {
        "value": 5000,
        "goal": 8000,
        "mine": 5000,
        "bare": None,
    }
    assert result.counts["rows"] == 4000
    assert "≥ 8,000 MISSED by 37.5%" in result.line()
    assert "5,000 rows/s   3 samples" in result.line()


def test_figure_without_a_goal_misses_none_and_one_of_time_counts_milliseconds_for_one():
    @contextlib.contextmanager
    def prepare(size):
        yield Subject(run=lambda: Run(3.0, 1000))

    result = sample(Figure("time", None, "ms", prepare, is_rate=False), "tiny", times=2, most=2)

    assert result.value == 3
    assert "no goal" in result.line()


def test_figure_that_is_counted_runs_once_and_says_what_was_counted():
    runs = []

    @contextlib.contextmanager
    def prepare(size):
        yield Subject(run=lambda: runs.append(size) or Run(3.0, 500, {"calls": 30}))

    figure = Figure(
        "calls", 55, "calls", prepare, is_rate=False, counted=lambda run: 1000 * run.wrote["calls"] / run.work
    )
    result = measure(figure, "tiny")

    assert (runs, result.value) == (["tiny"], 60)
    assert "≤ 55.00 MISSED by 9.1%" in result.line()


def test_where_each_pair_takes_minutes_three_are_enough(monkeypatch):
    clock = itertools.count(0, 130)  # each look at the clock is so many seconds later
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    @contextlib.contextmanager
    def prepare(size):
        yield Sides(mine=lambda: Run(2.0, 1), bare=lambda: Run(1.0, 1))

    result = compare(Benchmark(name="long", goal=3, prepare=prepare, is_rate=False), "tiny", times=7, most=9)

    assert len(result.values) == 4  # the fourth had begun when the ten minutes were over


def test_results_are_merged_into_the_file(tmp_path):
    file = tmp_path / "bench.json"
    merge({"one": {"value": 1}, "two": {"value": 2}}, file)
    merge({"two": {"value": 3}}, file)

    assert json.loads(file.read_text()) == {"one": {"value": 1}, "two": {"value": 3}}


def test_unknown_benchmark_is_refused_with_the_known_ones(capsys):
    assert main(["audit"]) == 2
    assert "Known: audit_append_vs_plain" in capsys.readouterr().err
