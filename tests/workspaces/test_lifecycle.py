"""The table of moves: what it says, that PostgreSQL says the same, and that nobody gets around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import botocore.session
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from tests.factories import WorkSpaceFactory
from tests.workspaces.support import WORKSPACES, client_of, problem
from workspaces.lifecycle import (
    ACTIONS,
    AWS_STATES,
    LIVE_STATES,
    MOVES,
    TABLE,
    TERMINAL_STATES,
    State,
    legal_actions,
    may_move,
)
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db

PAIRS = list(product(State, State))


def test_postgresql_has_the_same_table():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT source, target, forge_workspace_may_move(source, target)"
            " FROM unnest(%s::text[]) source, unnest(%s::text[]) target",
            [State.values, State.values],
        )
        stored = {(source, target) for source, target, is_legal in cursor.fetchall() if is_legal}
    assert stored == {(source, target) for source, target in PAIRS if may_move(source, target)}
    assert len(stored) == len({(move.source, move.target) for move in TABLE}) == 27


def test_no_line_stands_twice_and_none_stays_where_it_is():
    assert len(set(TABLE)) == len(TABLE)
    assert [move for move in TABLE if move.source == move.target] == []


def test_every_live_state_can_come_to_an_end_and_no_end_is_left():
    for state in LIVE_STATES:
        reached, wave = {state}, {state}
        while wave := set().union(*(MOVES[one] for one in wave)) - reached:
            reached |= wave
        assert State.TERMINATED in reached
    assert all(MOVES[state] == frozenset() for state in TERMINAL_STATES)


@pytest.mark.parametrize("source", State)
def test_whoever_writes_only_legal_moves_are_taken(source):
    machine = WorkSpaceFactory(history=[(datetime.now(UTC) - timedelta(hours=1), source)])
    refused, taken = {}, set()
    for target in State:
        try:
            with transaction.atomic():
                WorkSpace.objects.filter(pk=machine.pk).update(state=target, terminated_at=timezone.now())
                taken.add(target)
                transaction.set_rollback(True)
        except IntegrityError as error:
            refused[target] = error.__cause__.diag.constraint_name
    assert taken == MOVES[source] | {source}
    assert refused == dict.fromkeys(set(State) - taken, "workspaces_workspace_move_is_legal")


def test_late_costs_land_on_an_ended_machine():
    machine = WorkSpaceFactory(history=[(datetime.now(UTC) - timedelta(hours=1), "TERMINATED")])
    WorkSpace.objects.filter(pk=machine.pk).update(cost_to_date=5)
    machine.refresh_from_db()
    assert machine.cost_to_date == 5


@pytest.mark.parametrize(("state", "action"), list(product(State, ["start", "stop", "terminate"])))
def test_an_illegal_wish_is_a_conflict_that_lists_the_legal_ones(world, state, action):
    machine = WorkSpaceFactory(
        history=[(datetime.now(UTC) - timedelta(hours=1), state)],
        organization=world.organization,
        owner=world.engineer,
        team=world.team,
    )
    if state in ACTIONS[action]:
        assert action in legal_actions(state, machine.running_mode)
        return
    answer = client_of(world.engineer).post(f"{WORKSPACES}{machine.pk}/{action}/")
    document = problem(answer, 409, "illegal_in_this_state")
    assert document["state"] == state
    assert document["legal"] == legal_actions(state, machine.running_mode)
    machine.refresh_from_db()
    assert machine.state == state


def test_every_state_of_aws_means_something_here():
    model = botocore.session.get_session().get_service_model("workspaces")
    assert set(model.shape_for("WorkspaceState").enum) == set(AWS_STATES)
    assert len(AWS_STATES) == 17
