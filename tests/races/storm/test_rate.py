"""The judge of the storm's rate is no pushover."""

from __future__ import annotations

from itertools import accumulate

from tests.races.storm.rate import kept, most_at_once

BUCKET = {"began": 0.0, "rate": 4.0, "burst": 10, "workers": 3}


def evenly(count: int, every: float, first: float = 0.0) -> list[float]:
    return list(accumulate([every] * (count - 1), initial=first))


def test_what_the_bucket_allows_is_kept():
    assert kept([0.0] * 10 + evenly(100, 1 / 4, first=1 / 4), **BUCKET)
    assert kept(evenly(100, 1 / 4), **BUCKET)
    assert kept([], **BUCKET)


def test_a_call_before_its_turn_is_seen():
    assert not kept([0.0] * 11, **BUCKET)
    assert not kept([0.0] * 10 + [0.1], **BUCKET)


def test_a_rate_a_little_too_high_is_seen_in_the_long_run():
    assert not kept(evenly(300, 1 / 4.5), **BUCKET)


def test_too_many_at_once_are_seen_also_after_a_calm():
    assert kept([100.0] * 13, **BUCKET)
    assert not kept([100.0] * 14, **BUCKET)


def test_the_fullest_window_tells_the_burst_that_was_needed():
    assert most_at_once([0.0, 0.0, 0.0, 10.0, 10.0], 4) == 3
    assert most_at_once([0.0, 0.25, 0.5], 4) == 1
    assert most_at_once([], 4) == 0
