"""The benchmarks work, and both sides of each do the same work; how fast they are is printed, never asserted."""

import contextlib
import json

import pytest
from django.utils.module_loading import import_string

from tests.bench.__main__ import BENCHMARKS, main
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, compare, merge


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.django_db(transaction=True)
def test_both_sides_do_the_same_work(name):
    benchmark = import_string(BENCHMARKS[name])

    result = compare(benchmark, "tiny", pairs=2, most=2)  # raises UnequalWork where they do not

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

    result = compare(Benchmark(name="slow", goal=1.6, prepare=prepare, is_rate=False), "tiny", pairs=3, most=3)

    assert result.ratios == [1.5, 2.0, 2.5]
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


def test_results_are_merged_into_the_file(tmp_path):
    file = tmp_path / "bench.json"
    merge({"one": {"value": 1}, "two": {"value": 2}}, file)
    merge({"two": {"value": 3}}, file)

    assert json.loads(file.read_text()) == {"one": {"value": 1}, "two": {"value": 3}}


def test_unknown_benchmark_is_refused_with_the_known_ones(capsys):
    assert main(["audit"]) == 2
    assert "Known: audit_append_vs_plain" in capsys.readouterr().err
