"""STOP_IDLE: what a budget at its limit does with the machines of its scope that nobody uses.

What is idle, and what keeps a machine from being stopped, is the lifecycle rules' own (`workspaces.rules.early`). An
organization that has paused these rules keeps its machines here too, and a run stops no more than they would.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F

from audit.actors import Actor
from budgets.figures import instant, money
from budgets.models import Budget, BudgetQuerySet
from budgets.scopes import FACTS
from costs.pricing import cents
from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail
from forge.outbox.services import owe
from workspaces import mails
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.rules import early
from workspaces.rules.judging import Outcome
from workspaces.rules.pausing import pause_of
from workspaces.rules.settings import at_most, terms

logger = logging.getLogger(__name__)

KIND = "budget.stops_idle"
TOGETHER = 200

Each = Callable[[Sequence[uuid.UUID], Callable[[uuid.UUID], None]], object]


@dataclass
class Stops:
    """What a run did: people told, stops queued, and machines beyond what a run may touch."""

    idle_warned: int = 0
    idle_stopped: int = 0
    held_back: int = 0


def stop_all(*, actor: Actor, now: datetime, each: Each) -> Stops:
    """Do so for every budget at its limit; `each` acts on one id after the other, whatever becomes of one of them."""
    stops = Stops()
    full = {budget.id: budget for budget in at_limit(now=now)}
    if full:
        most = at_most(WorkSpace.objects.live().count())
        each(list(full), lambda i: _stop_idle(full[i], actor=actor, now=now, most=most, stops=stops))
    if stops.held_back:
        logger.warning("%s idle machines are held back beyond what a run may stop", stops.held_back)
    return stops


def at_limit(*, now: datetime) -> list[Budget]:
    """The budgets in force that stop idle machines and have spent what they may, in the order of ids."""
    full = _full(now).select_related("organization").order_by("id")
    return [one for one in full if pause_of(one.organization_id) is None]


def _stop_idle(budget: Budget, *, actor: Actor, now: datetime, most: int, stops: Stops) -> None:
    """Tell the owners of the scope's idle machines, and stop those who were told in time; counts in `stops`.

    Each stop is a transaction of its own, and so are the warnings of two hundred machines.
    """
    because = {"budget": str(budget.id), "limit": money(budget.limit), "spent": money(budget.spent)}
    for machines in _machines(budget, now):
        told = early.warned_at(machines, now=now)
        new = sorted(early.idle_ids(machines, now=now) - told.keys())[: max(most - stops.idle_warned, 0)]
        if new:
            stops.idle_warned += _warn(budget, new, because, actor=actor, now=now)
        for machine_id in sorted(one for one, at in told.items() if at + terms().stop_warning <= now):
            if stops.idle_stopped >= most:
                stops.held_back += 1
                continue
            outcome = early.stop_early(
                actor=actor.for_one_of(budget.organization_id),
                workspace_id=machine_id,
                because=because,
                still=partial(_still, budget.id, now),
                now=now,
            )
            stops.idle_stopped += outcome == Outcome.STOP


def due(*, now: datetime) -> Stops:
    """What a run would do now, without its bound; changes and locks nothing."""
    found = Stops()
    for budget in at_limit(now=now):
        for machines in _machines(budget, now):
            told = early.warned_at(machines, now=now)
            idle = early.idle_ids(machines, now=now)
            found.idle_warned += len(idle - told.keys())
            found.idle_stopped += sum(told[one] + terms().stop_warning <= now for one in idle & told.keys())
    return found


def letter(mail: Mail, reader: Reader) -> Letter:
    """That a machine is stopped soon because nobody uses it and its budget is used up."""
    machine = WorkSpace.objects.get(pk=mail.target_id)
    facts, at = mail.facts, datetime.fromisoformat(mail.facts["at"])
    if machine.state != State.AVAILABLE:
        raise NothingToTell("the machine does not run any more")
    if not _still(uuid.UUID(facts["budget"]), mail.created_at):
        raise NothingToTell("the budget has room again")
    return Letter(
        subject=f"Forge: your machine {machine.name} is about to be stopped",
        sentence=f"Your machine {machine.name} is about to be stopped, because nobody uses it and a budget that pays "
        "for it is used up.",
        rows=[
            ("Machine", machine.name),
            ("Budget", f"{facts['scope'].lower()}, {cents_of(facts['limit'])} {facts['currency']}"),
            ("Stops at", reader.time(at)),
        ],
        paragraphs=[
            "Save your work: what is not saved is lost. What is on its volumes stays.",
            "Use it, or take a work lease on it, and it runs on.",
        ],
    )


def cents_of(amount: str) -> str:
    """An amount as mail shows it."""
    return f"{cents(Budget._meta.get_field('amount').to_python(amount))}"


def _machines(budget: Budget, now: datetime) -> Iterator[list[WorkSpace]]:
    column = FACTS[budget.scope].machine_column
    owned = WorkSpace.objects.filter(**{column: budget.scope_id, "organization_id": budget.organization_id})
    ordered = early.stoppable(owned, now=now).select_related("blueprint").order_by("id")
    after: uuid.UUID | None = None
    while chunk := list((ordered.filter(id__gt=after) if after else ordered)[:TOGETHER]):
        yield chunk
        after = chunk[-1].id


def _warn(budget: Budget, machine_ids: list[uuid.UUID], because: dict[str, Any], *, actor: Actor, now: datetime) -> int:
    who = actor.for_one_of(budget.organization_id)
    at = now + terms().stop_warning
    facts = because | {"scope": budget.scope, "currency": budget.organization.currency, "at": instant(at)}
    with transaction.atomic():
        machines = early.warn_early(actor=who, workspace_ids=machine_ids, because=because, now=now)
        owe(
            [
                mails.about(machine, KIND, actor=who, once=instant(now), facts=facts, useless_after=at)
                for machine in machines
            ],
            now=now,
        )
    return len(machines)


def _still(budget_id: uuid.UUID, now: datetime) -> bool:
    return _full(now).filter(pk=budget_id).exists()


def _full(now: datetime) -> BudgetQuerySet:
    return (
        Budget.objects.binding(now)
        .with_limit()
        .filter(on_limit=Budget.OnLimit.STOP_IDLE, adopted_at__isnull=False, spent__gte=F("effective"))
    )
