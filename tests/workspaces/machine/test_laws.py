"""The laws by which histories are judged can be broken: each known fault of the product breaks one of them.

The faults are put into the product here, one at a time, and the machine takes the few steps in which they do harm; what
the laws say then names what is broken. Without the fault the same steps pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from costs import metering
from tests.workspaces.machine.fleet import Fleet
from tests.workspaces.machine.sky import Sky
from workspaces import transitions
from workspaces.handlers import changing, common, power
from workspaces.handlers.launching import Launch
from workspaces.reconciling import following

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

COMPUTER = 0
"""The AutoStop machine of WorkSpaces Personal with which an example begins."""

_move, _record_change, _end = transitions.move, transitions.record_change, transitions.end
_book_chunk, _settle, _shows = metering._book_chunk, metering._settle, changing.shows
_give_up = power.Power._give_up


@dataclass(frozen=True)
class Fault:
    """A fault of the product: where it is put, the steps in which it does harm, and what the laws say of it."""

    name: str
    put: Callable[[pytest.MonkeyPatch], None]
    steps: Callable[[Fleet], None]
    told: str | None = None


# -- Steps -----------------------------------------------------------------------------------------------------------


def call_off(fleet: Fleet) -> None:
    """AWS makes a machine without saying so and shows it late; its launch is called off meanwhile."""
    fleet.think_better(faults=("timeout_after", "late_visibility"), turns=1, dies=None, how="cancel", pause=20)


def start_in_vain(fleet: Fleet) -> None:
    stop(fleet)
    fleet.start_in_vain(number=COMPUTER, ignored=1, refusal="capacity", turns=3)


def modify_in_vain(fleet: Fleet) -> None:
    fleet.work(seconds=6.5 * 3600, turns=1, dies=None)
    fleet.modify(number=COMPUTER, wanted={"running_mode": "ALWAYS_ON"}, dies=None, turns=3, ignored=9)
    fleet.work(seconds=61, turns=3, dies=None)


def stop(fleet: Fleet) -> None:
    fleet.ask(number=COMPUTER, verb="stop", dies=None, turns=1)
    fleet.work(seconds=120, turns=3, dies=None)


def end(fleet: Fleet) -> None:
    fleet.ask(number=COMPUTER, verb="terminate", dies=None, turns=1)
    fleet.work(seconds=300, turns=3, dies=None)


def meter_and_die(fleet: Fleet) -> None:
    """Processes die after each of their first commits."""
    for commits in (-1, -2, -3):
        fleet.meter(seconds=3661, dies=commits)


def end_and_die(fleet: Fleet) -> None:
    """The process that sees the machine gone dies right after its second commit, which is that of the end."""
    fleet.ask(number=COMPUTER, verb="terminate", dies=None, turns=1)
    fleet.work(seconds=300, turns=1, dies=-2)


def stop_and_die(fleet: Fleet) -> None:
    fleet.ask(number=COMPUTER, verb="stop", dies=None, turns=0)
    fleet.work(seconds=0, turns=1, dies=-2)


# -- Faults ----------------------------------------------------------------------------------------------------------


def not_waiting(patch: pytest.MonkeyPatch) -> None:
    def end_without_machine(self: Launch, claim: Any, workspace: Any, gateway: Any) -> None:
        self._give_up(claim, workspace, code="called_off", detail="Called off; AWS has no machine of it")

    patch.setattr(Launch, "_end_without_machine", end_without_machine)


def staying(patch: pytest.MonkeyPatch) -> None:
    def give_up(self: power.Power, claim: Any, workspace: Any, state: Any, *, code: str, detail: str) -> None:
        _give_up(self, claim, workspace, workspace.state, code=code, detail=detail)

    patch.setattr(power.Start, "_give_up", give_up)


def unverified(patch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def shows(seen: Any, wanted: Any) -> bool:
        asked.append(seen)
        return len(asked) > 1 or _shows(seen, wanted)

    patch.setattr(changing, "shows", shows)


def settling_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(metering, "_settle", lambda *given: transaction.on_commit(lambda: _settle(*given)))


def writing_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transitions, "record_change", lambda **given: transaction.on_commit(lambda: _record_change(**given)))


def closing_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transitions, "end", lambda **given: transaction.on_commit(lambda: _end(**given)))


def dating_early(patch: pytest.MonkeyPatch) -> None:
    def move(*, occurred_at: Any, **given: Any) -> Any:
        return _move(occurred_at=occurred_at - timedelta(seconds=90), **given)

    for where in (common, following):
        patch.setattr(where, "move", move)


def not_closing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("costs.metering.close", lambda **given: None)


FAULTS = (
    Fault("a launch called off without waiting for what may yet show", not_waiting, call_off, "called_off"),
    Fault("a refused start that stays STARTING", staying, start_in_vain, "is STARTING, workspace.start has failed"),
    Fault("a modification that nobody looked for in AWS", unverified, modify_in_vain, "was written down as"),
    Fault("charges settled after the commit of their records", settling_late, meter_and_die, "has spent"),
    Fault("changes of state written after the commit", writing_late, stop_and_die),
    Fault("books closed after the commit of the end", closing_late, end_and_die),
    Fault("moves dated 90 seconds early", dating_early, stop, "was seen, or asked for, at"),
    Fault("the rest of the month not booked with the end", not_closing, end, "its books are not closed"),
)


def an_example(sky: Sky) -> Fleet:
    fleet = Fleet(sky)
    fleet.begin(team=5000, organization=5000, are_up=True)
    return fleet


def live(fleet: Fleet, fault: Fault) -> None:
    """Take the fault's steps, and let everything come to its end."""
    fault.steps(fleet)
    fleet.settle()


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_each_known_fault_of_the_product_breaks_a_law(sky, months, monkeypatch, fault):
    fleet = an_example(sky)
    fault.put(monkeypatch)
    with pytest.raises(AssertionError, match=fault.told):
        live(fleet, fault)


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_the_same_steps_break_no_law_without_the_fault(sky, months, fault):
    live(an_example(sky), fault)
