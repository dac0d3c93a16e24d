"""How operations end is counted, once, and only what has committed."""

import pytest

from forge.operations import services
from forge.operations.runner import run_one
from tests.forge.metrics.support import Grown
from tests.forge.operations.support import KIND, OWNER, Actor, Person, at, succeed


@pytest.mark.django_db(transaction=True)
def test_an_operation_is_counted_once_when_its_end_has_committed(enqueue, handler):
    ended = Grown("forge_operation_duration_seconds_count", kind=KIND, outcome="succeeded")
    took = Grown("forge_operation_duration_seconds_sum", kind=KIND, outcome="succeeded")
    attempts = Grown("forge_operation_attempts_total", kind=KIND, way="succeeded")
    faults = Grown("forge_operation_attempts_total", kind=KIND, way="fault")

    def broken_after_the_outcome(claim):
        told = claim.succeed
        claim.succeed = lambda result: (told(result), 1 / 0)
        succeed(claim)

    operation = enqueue()
    handler.script = broken_after_the_outcome
    run_one(operation.id, now=at(3))
    assert (ended(), attempts(), faults()) == (0, 0, 1)

    handler.script = succeed
    run_one(operation.id, now=at(300))
    assert (ended(), took(), attempts(), faults()) == (1, 300, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_one_that_is_called_off_while_it_rests_counts_as_cancelled(enqueue):
    ended = Grown("forge_operation_duration_seconds_count", kind=KIND, outcome="cancelled")
    services.cancel(operation=enqueue(), actor=Actor(Person(id=OWNER)), now=at(4))
    assert ended() == 1
