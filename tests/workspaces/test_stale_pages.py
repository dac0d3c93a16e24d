"""What reconcile makes of pages that are older than the rows, and of states that it does not know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db.models import F

from forge.operations.runner import run_due
from tests.workspaces.support import ask, launch
from tests.world import actor, engineers
from workspaces import aws, services
from workspaces.fleet import adopting
from workspaces.fleet.taking import Wish
from workspaces.lifecycle import State
from workspaces.models import UnmanagedMachine, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed


def test_a_machine_in_a_state_that_forge_does_not_know_keeps_no_other_from_its_turn(
    world, simulator, clock, monkeypatch
):
    for person in engineers(world, 3):
        services.launch(actor=actor(person), spec=world.spec(), now=clock.now)
    clock.work(rounds=6, seconds=30)
    strange, stopped, _ = WorkSpace.objects.order_by("id")
    for name in ("listed", "describe"):
        monkeypatch.setattr(aws.Gateway, name, changed(getattr(aws.Gateway, name), strange.provider_id, "HIBERNATED"))
    simulator.control.set_state(stopped.provider_id, "STOPPED")
    with pytest.raises(ReconcileFailed, match="HIBERNATED") as failed:
        reconcile(now=clock.now)
    assert (failed.value.figures["failed"], failed.value.figures["moved"], failed.value.figures["seen"]) == (1, 1, 2)
    assert list(WorkSpace.objects.order_by("id").values_list("state", flat=True)) == [
        State.AVAILABLE, State.STOPPED, State.AVAILABLE,
    ]  # fmt: skip


def changed(real, provider_id, state):
    """A look at AWS that shows one machine in this state."""

    def of(one):
        return replace(one, state=state) if one.provider_id == provider_id else one

    def look(self, asked):
        answer = real(self, asked)
        if isinstance(answer, dict):
            return {id_: of(one) for id_, one in answer.items()}
        return ([of(one) for one in page] for page in answer)

    return look


# -- what an operation does meanwhile ------------------------------------------------------------------------------
def ending_behind_the_page(monkeypatch, clock, operation):
    """Let the operation end between the page of AWS and the rows that are compared with it; the states shown."""
    real, shown = aws.Gateway.listed, []

    def listed(self, directory_id):
        for page in real(self, directory_id):
            shown.extend(one.state for one in page)
            clock.finish(operation)
            yield page

    monkeypatch.setattr(aws.Gateway, "listed", listed)
    return shown


@pytest.mark.parametrize(
    ("verb", "on_the_page", "state"), [("stop", "STOPPING", State.STOPPED), ("start", "STOPPED", State.AVAILABLE)]
)
def test_a_page_that_is_older_than_the_row_moves_nothing_back(
    world, simulator, clock, monkeypatch, verb, on_the_page, state
):
    clock.finish(launch(world, clock))
    if verb == "start":
        clock.finish(ask("stop", world, clock))
    operation = ask(verb, world, clock)
    if verb == "stop":
        run_due(limit=5, now=clock.now)
    shown = ending_behind_the_page(monkeypatch, clock, operation)
    figures = reconcile(now=clock.now)
    row = WorkSpace.objects.get()
    assert (shown, row.state, row.provider_state) == ([on_the_page], state, state)
    assert (figures["seen"], figures["moved"], figures["refreshed"]) == (1, 0, 0)
    assert not row.state_changes.filter(reason__startswith="AWS shows").exists()


def test_what_an_operation_has_written_since_the_row_was_read_stays(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    machine = WorkSpace.objects.get()
    simulator.control.set_state(machine.provider_id, "REBOOTING")
    real = aws.Gateway.describe

    def describe(self, ids):
        answer = real(self, ids)
        WorkSpace.objects.update(version=F("version") + 1, provider_state="AVAILABLE", health="IMPAIRED")
        return answer

    monkeypatch.setattr(aws.Gateway, "describe", describe)
    assert reconcile(now=clock.now)["refreshed"] == 0
    machine.refresh_from_db()
    assert (machine.provider_state, machine.health) == ("AVAILABLE", "IMPAIRED")


def test_a_machine_that_the_second_look_does_not_show_waits_for_the_next_run(world, simulator, clock, monkeypatch):
    clock.finish(launch(world, clock))
    simulator.control.advance(3 * 3600)
    monkeypatch.setattr(aws.Gateway, "describe", lambda self, ids: {})
    figures = reconcile(now=clock.now)
    assert (figures["seen"], figures["moved"], figures["vanished"], figures["unmanaged"]) == (0, 0, 0, 0)


def test_a_machine_that_was_ended_behind_the_page_is_nobodys_to_take_over(world, simulator, clock, monkeypatch):
    """The page shows it, its row has ended: taken over, its team would pay the rest of the month once more."""
    for person in [world.engineer, *engineers(world, 3)]:
        clock.finish(services.launch(actor=actor(person), spec=world.spec(), now=clock.now).operation)
    machine = WorkSpace.objects.order_by("id").first()
    operation = services.terminate(actor=actor(world.engineer), workspace_id=machine.pk, now=clock.now).operation
    with monkeypatch.context() as patched:
        shown = ending_behind_the_page(patched, clock, operation)
        figures = reconcile(now=clock.now)
    machine.refresh_from_db()
    assert (len(shown), machine.state) == (4, State.TERMINATED)
    assert (figures["unmanaged"], figures["orphans"]) == (0, 0)
    assert not UnmanagedMachine.objects.exists()
    assert (
        adopting.preview(actor=actor(world.admin), account=world.account, wish=Wish(), now=clock.now)["would_adopt"]
        == 0
    )


def test_a_machine_that_aws_still_runs_though_its_row_has_ended_is_listed_as_it_is_now(
    world, simulator, clock, monkeypatch
):
    clock.finish(launch(world, clock))
    machine = WorkSpace.objects.get()
    WorkSpace.objects.update(state=State.TERMINATED, terminated_at=clock.now)
    monkeypatch.setattr(aws.Gateway, "describe", changed(aws.Gateway.describe, machine.provider_id, "STOPPED"))
    assert reconcile(now=clock.now)["orphans"] == 1
    assert UnmanagedMachine.objects.get().provider_state == "STOPPED"
