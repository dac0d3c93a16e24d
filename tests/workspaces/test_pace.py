"""No more calls to AWS than allowed, whoever makes them, and none for a while where they fail."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event

import pytest
from django.db import connection

from workspaces import aws
from workspaces.aws import pace
from workspaces.models import CallAllowance

HERE = aws.Place(region="us-east-1", account="123456789012", is_simulated=True)
THERE = aws.Place(region="eu-west-1", account="123456789012", is_simulated=True)


@pytest.fixture
def pace_of(settings):
    def set_to(rate, burst):
        settings.FORGE_AWS_CALLS_PER_SECOND, settings.FORGE_AWS_CALL_BURST = rate, burst

    return set_to


@pytest.mark.django_db(transaction=True)
def test_callers_on_many_connections_keep_one_rate_together(pace_of):
    rate, burst, calls = 50, 5, 40
    pace_of(rate, burst)

    def call(_):
        try:
            pace.wait_for_turn(HERE)
            return time.monotonic()
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(8) as crowd:
        at = sorted(moment - began for moment in crowd.map(call, range(calls)))
    assert at[-1] >= (calls - burst) / rate
    for first, moment in enumerate(at):
        within = sum(moment <= other < moment + 0.2 for other in at[first:])
        assert within <= burst + rate * 0.2 + 1


@pytest.mark.django_db
def test_a_queue_longer_than_our_patience_is_throttled_without_taking_a_turn(pace_of, monkeypatch):
    pace_of(1, 2)
    monkeypatch.setattr(pace.time, "sleep", lambda seconds: None)
    for _ in range(2 + int(pace.PATIENCE)):
        pace.wait_for_turn(HERE)
    left = CallAllowance.objects.get().tokens
    with pytest.raises(aws.Throttled, match="OwnRateLimit"):
        pace.wait_for_turn(HERE)
    assert CallAllowance.objects.get().tokens == left


@pytest.mark.django_db
def test_each_account_and_region_has_a_bucket_of_its_own(pace_of):
    pace_of(0.001, 1)
    pace.wait_for_turn(HERE)
    pace.wait_for_turn(THERE)
    assert {bucket.place: round(bucket.tokens) for bucket in CallAllowance.objects.all()} == {
        "123456789012/us-east-1": 0,
        "123456789012/eu-west-1": 0,
    }


@pytest.mark.django_db
def test_a_bucket_never_holds_more_than_its_burst(pace_of):
    pace_of(5, 3)
    CallAllowance.objects.create(
        place="123456789012/us-east-1", tokens=3, refilled_at=datetime.now(UTC) - timedelta(days=1)
    )
    pace.wait_for_turn(HERE)
    assert CallAllowance.objects.get().tokens == 2


@pytest.mark.django_db
def test_a_clock_that_was_set_back_starves_nobody(pace_of):
    pace_of(5, 3)
    CallAllowance.objects.create(
        place="123456789012/us-east-1", tokens=-20, refilled_at=datetime.now(UTC) + timedelta(hours=1)
    )
    pace.wait_for_turn(HERE)
    bucket = CallAllowance.objects.get()
    assert bucket.tokens == 2
    assert bucket.refilled_at < datetime.now(UTC) + timedelta(minutes=1)


@pytest.mark.django_db
def test_without_a_rate_nobody_waits_and_nothing_is_written(pace_of):
    pace_of(0, 10)
    pace.wait_for_turn(HERE)
    assert not CallAllowance.objects.exists()


def fail(times, error):
    for _ in range(times):
        with pytest.raises(type(error)), pace.guarded(HERE):
            raise error


def rest_is_over():
    circuit = pace.circuit_of(HERE, "")
    circuit._state_storage.opened_at = datetime.now(UTC) - timedelta(seconds=pace.REST + 1)


def test_after_five_failures_in_a_row_no_call_is_made():
    fail(5, aws.UnknownOutcome("ReadTimeoutError", "cut off"))
    with pytest.raises(aws.Unavailable, match="CircuitOpen"), pace.guarded(HERE):
        pytest.fail("the call was made")
    with pace.guarded(THERE):
        pass


def test_a_success_in_between_and_answers_of_aws_do_not_count():
    fail(4, aws.Unavailable("EndpointConnectionError", "no route"))
    with pace.guarded(HERE):
        pass
    fail(4, aws.Unavailable("EndpointConnectionError", "no route"))
    for error in (aws.Throttled, aws.LimitReached, aws.Invalid, aws.NotFound, aws.Exists):
        fail(6, error("Code", "words"))
    with pace.guarded(HERE):
        pass


def test_after_its_rest_two_successes_close_the_circuit_and_one_failure_opens_it_again(caplog):
    fail(5, aws.Unavailable("EndpointConnectionError", "no route"))
    rest_is_over()
    fail(1, aws.Unavailable("EndpointConnectionError", "still none"))
    with pytest.raises(aws.Unavailable, match="CircuitOpen"), pace.guarded(HERE):
        pytest.fail("the call was made")
    rest_is_over()
    with pace.guarded(HERE):
        pass
    assert pace.circuit_of(HERE, "").current_state == "half-open"
    with pace.guarded(HERE):
        pass
    assert pace.circuit_of(HERE, "").current_state == "closed"
    assert "123456789012/us-east-1: the circuit is open" in caplog.text


def test_of_many_that_come_at_once_after_its_rest_one_is_tried():
    fail(5, aws.Unavailable("EndpointConnectionError", "no route"))
    rest_is_over()
    crowd, others_are_done, calls = 8, Event(), []
    together = Barrier(crowd)
    refused = []

    def call(number):
        together.wait()
        try:
            with pace.guarded(HERE):
                calls.append(number)
                assert others_are_done.wait(10)
        except aws.Unavailable:
            refused.append(number)
            if len(refused) == crowd - 1:
                others_are_done.set()

    with ThreadPoolExecutor(crowd) as threads:
        list(threads.map(call, range(crowd)))
    assert (len(calls), len(refused)) == (1, crowd - 1)
    with pace.guarded(HERE):
        pass
    assert pace.circuit_of(HERE, "").current_state == "closed"
