import json
import os
import time
from datetime import timedelta

import pytest
import redis
from django.db import transaction

from forge.db.embedded import EmbeddedValkey
from forge.db.ids import uuid7
from forge.operations import bell as bells
from forge.operations import services, tasks
from forge.operations.bell import Bell
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.forge.operations.support import KIND, NOW, ORGANIZATION, at

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@pytest.fixture
def message_of():
    """`message_of(id)` is the one message that tells of an operation; tests beside this one have theirs there too."""
    found = []
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:

        def found_of(operation_id):
            [content] = [one for one in client.lrange("operations", 0, -1) if str(operation_id).encode() in one]
            found.append(content)
            return json.loads(content)

        yield found_of
        for content in found:
            client.lrem("operations", 0, content)


def test_a_ring_is_a_message_in_the_operations_queue_that_expires(message_of):
    operation_id = uuid7()

    assert Bell().ring(operation_id) is True

    message = message_of(operation_id)
    assert message["headers"]["task"] == tasks.run_operation.name
    assert str(operation_id) in message["headers"]["kwargsrepr"]
    assert message["headers"]["eta"] is None
    assert message["headers"]["expires"] is not None
    assert message["properties"]["delivery_info"]["routing_key"] == "operations"


def test_a_ring_for_later_carries_its_time_and_expires_after_it(message_of):
    operation_id = uuid7()

    Bell().ring(operation_id, countdown=30)

    message = message_of(operation_id)
    assert message["headers"]["eta"] < message["headers"]["expires"]


@pytest.mark.django_db(transaction=True)
def test_with_nobody_to_ring_the_launch_is_committed_and_nothing_is_raised(handler, monkeypatch, caplog):
    monkeypatch.setattr(bells, "bell", Bell(NOBODY_LISTENS))

    operation = services.enqueue(
        id=uuid7(),
        organization_id=ORGANIZATION,
        actor_id=None,
        kind=KIND,
        target_type="workspace",
        target_id=uuid7(),
        spec={},
        correlation_id=uuid7(),
        now=NOW,
    )

    assert "The bell is broken" in caplog.text
    assert Operation.objects.get() == operation
    assert run_one(now=NOW) is True


def test_after_a_failure_the_bell_is_quiet_for_a_while(monkeypatch, caplog):
    bell, clock = Bell(NOBODY_LISTENS), [1000.0]
    monkeypatch.setattr(bells.time, "monotonic", lambda: clock[0])

    assert [bell.ring(uuid7()) for _ in range(500)] == [False] * 500
    assert caplog.text.count("The bell is broken") == 1

    clock[0] += bells.QUIET_SECONDS
    bell.ring(uuid7())
    assert caplog.text.count("The bell is broken") == 2


def test_a_broken_broker_is_tried_once_and_not_again_and_again(monkeypatch):
    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)

    assert Bell(NOBODY_LISTENS).ring(uuid7()) is False

    assert naps == []


def test_a_broker_that_was_stopped_and_started_is_rung_again(tmp_path):
    valkey = EmbeddedValkey(tmp_path, durable=False)
    valkey.start()
    bell, url = Bell(valkey.url), valkey.url
    try:
        assert bell.ring(uuid7()) is True
        valkey.stop()
        assert bell.ring(uuid7()) is False
        valkey.start()
        assert valkey.url == url
        bell.forget()
        assert bell.ring(uuid7()) is True
    finally:
        valkey.stop()


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "rings"), [(-3, [0.0]), (0, [0.0]), (7, [7.0]), (60, [60.0]), (61, [])], ids=str)
def test_visits_later_than_a_minute_are_left_to_the_sweep(
    handler, rung, django_capture_on_commit_callbacks, seconds, rings
):
    operation_id = uuid7()

    with django_capture_on_commit_callbacks(execute=True):
        bells.ring_on_commit(operation_id, at=at(seconds), now=NOW)

    assert rung == [(operation_id, countdown) for countdown in rings]


@pytest.mark.django_db
def test_a_wait_and_a_retry_ring_again_when_they_are_due(enqueue, handler, rung, django_capture_on_commit_callbacks):
    operation = enqueue()

    def waits(claim):
        with transaction.atomic():
            claim.wait(claim.now() + timedelta(seconds=7))

    def retries(claim):
        with transaction.atomic():
            claim.retry(claim.now() + timedelta(seconds=9), "throttled")

    for script, now, countdown in ((waits, NOW, 7.0), (retries, at(7), 9.0)):
        handler.script = script
        rung.clear()
        with django_capture_on_commit_callbacks(execute=True):
            assert run_one(operation.id, now=now)
        assert rung == [(operation.id, countdown)]


@pytest.mark.django_db
def test_the_tasks_run_the_one_and_sweep_the_rest(enqueue, handler):
    first, second = enqueue(), enqueue()

    tasks.run_operation(operation_id=str(second.id))
    assert handler.ran == [second.id]
    tasks.run_operation(operation_id=str(second.id))
    tasks.sweep_operations()
    assert handler.ran == [second.id, first.id]
