"""One launch per Idempotency-Key: of fifty twins at once, and after the web process died at any step of it."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.db import connection, connections
from django.utils import timezone

from budgets.models import Budget, Reservation
from forge.api.models import IdempotencyKey
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.races.threads import at_once
from tests.workspaces.support import WORKSPACES, client_of, entries, problem
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True)
TWINS = 50
ENOUGH, NOTHING = Decimal(1_000_000), Decimal(0)
LAUNCHED, REFUSED = (ENOUGH, 202, "SUCCESS"), (NOTHING, 422, "DENIED")


@pytest.fixture
def world(transactional_db):
    return worlds.build()


def budgets_of(world, owner, amount):
    """The three budgets that bind a launch of the owner: of the organization, the team and the person."""
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    facts = {"period_start": month, "period_end": (month + timedelta(days=32)).replace(day=1)}
    scopes = {"ORGANIZATION": (world.organization, ENOUGH), "TEAM": (world.team, ENOUGH), "USER": (owner, amount)}
    for scope, (whose, sum_of_it) in scopes.items():
        if not Budget.objects.filter(scope=scope, scope_id=whose.id).exists():
            factories.BudgetFactory(
                organization=world.organization, scope=scope, scope_id=whose.id, amount=sum_of_it, **facts
            )


def launch(client, world):
    return client.post(WORKSPACES, world.body(), format="json", headers={"Idempotency-Key": "launch-1"})


def effects(client):
    """(machines, budgets reserved in, reservations, operations, results of the audit entries) of the person."""
    held = Reservation.objects.filter(workspace__owner=client.user)
    return (
        WorkSpace.objects.filter(owner=client.user).count(),
        held.values("budget").distinct().count(),
        held.count(),
        Operation.objects.filter(owner_id=client.user.id).count(),
        [entry.result for entry in entries(client)],
    )


def one_effect(result):
    return (1, 3, 3, 1, [result]) if result == "SUCCESS" else (0, 0, 0, 0, [result])


def twin_of(client):
    """Another client with the same token."""
    twin = type(client)(raise_request_exception=False)
    twin.credentials(**client._credentials)
    return twin


@pytest.mark.parametrize(("amount", "status", "result"), [LAUNCHED, REFUSED], ids=["launched", "refused"])
def test_fifty_twins_at_once_are_one_launch_and_get_one_answer(world, amount, status, result):
    client = client_of(world.engineer)
    budgets_of(world, world.engineer, amount)

    answers = at_once(lambda twin: launch(twin, world), [twin_of(client) for _ in range(TWINS)])

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert {(answer.status_code, answer.content) for answer in answers} == {(status, answers[0].content)}
    assert len({answer["Audit-Receipt"] for answer in answers}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers].count("true") == TWINS - 1
    assert effects(client) == one_effect(result)


@pytest.mark.parametrize(("amount", "status", "result"), [LAUNCHED, REFUSED], ids=["launched", "refused"])
def test_a_process_killed_at_any_step_has_launched_all_or_nothing_and_the_repeat_launches_once(
    world, amount, status, result
):
    for step in count(1):
        [owner] = worlds.engineers(world, 1)
        client = client_of(owner)
        budgets_of(world, owner, amount)
        if not killed_at(step, lambda client=client: launch(client, world)):
            break
        kept = IdempotencyKey.objects.filter(credential=f"token:{client.token.pk}").exists()
        assert effects(client) == (one_effect(result) if kept else (0, 0, 0, 0, [])), f"killed at step {step}"

        first, again = launch(client, world), launch(client, world)
        assert (first.status_code, first.content) == (status, again.content), f"killed at step {step}"
        assert first.headers.get("Idempotency-Replayed") == ("true" if kept else None)
        assert again["Idempotency-Replayed"] == "true"
        assert effects(client) == one_effect(result), f"killed at step {step}"
    assert step > 20  # the last one finished: it was killed at each statement and at both sides of each commit
    assert effects(client) == one_effect(result)
    if status == 422:
        problem(first, 422, "budget_exceeded")


def killed_at(step, work):
    """Whether a web process of its own died at that step of `work`: a statement, or a side of a commit."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            _die_at(step)
            work()
        finally:
            os._exit(0)
    _, ended = os.waitpid(child, 0)
    return os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL


def _die_at(step):
    """Make this process kill itself at the step, with its transaction open."""
    steps = count(1)

    def tick():
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(execute, sql, params, many, context):
        tick()
        return execute(sql, params, many, context)

    connection.ensure_connection()
    kind = type(connection._connections[connection._alias])
    commit = kind._commit
    connection.execute_wrappers.append(run)
    kind._commit = lambda self: (tick(), commit(self), tick())
