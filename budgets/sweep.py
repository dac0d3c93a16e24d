"""What budgets do by themselves: renew, adopt, end, give back, call off stale launches, fire marks."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import connection

from audit.actors import Actor
from budgets import expiry, fitting, idling, leaving, raising, renewal, thresholds
from budgets.adoption import adopt

logger = logging.getLogger(__name__)

MOST_PERIODS = 1200
"""A recurring budget is caught up by at most so many periods in one run."""


class BudgetsFailed(Exception):
    """Some budgets could not be looked after; all others were. Names them."""


@dataclass
class Figures:
    """Counts of one run."""

    renewed: int = 0
    adopted: int = 0
    emptied: int = 0
    given_back: int = 0
    raises_ended: int = 0
    called_off: int = 0
    marks: int = 0
    idle_warned: int = 0
    idle_stopped: int = 0
    held_back: int = 0
    failed: int = 0


def check_budgets(*, actor: Actor, now: datetime, dry_run: bool = False) -> dict[str, int]:
    """Look after every budget; each change is a transaction of its own, so any number of runs may go at once.

    After an outage a recurring budget gets all the rows that it missed. A dry run only counts what is due. One budget
    that fails does not keep the others from it: BudgetsFailed is raised at the end. Raises OperationalError when the
    database does not answer.
    """
    if dry_run:
        return asdict(_due(now))
    figures = Figures()
    failed: set[uuid.UUID] = set()
    seen: set[uuid.UUID] = set()
    for _ in range(MOST_PERIODS):
        waiting = [budget_id for budget_id in renewal.to_renew(now=now) if budget_id not in seen]
        if not waiting:
            break
        seen.update(waiting)
        figures.renewed += _each(waiting, lambda i: len(renewal.renew(budget_id=i, actor=actor, now=now)), failed)
    figures.adopted = _each(renewal.to_adopt(now=now), lambda i: adopt(budget_id=i, now=now), failed)
    figures.emptied = _each(renewal.to_empty(now=now), lambda i: renewal.empty(budget_id=i, now=now), failed)
    figures.given_back = _each(leaving.to_give_back(now=now), lambda i: leaving.give_back(budget_id=i, now=now), failed)
    figures.given_back += _each(fitting.to_fit(now=now), lambda i: fitting.fit_later(workspace_id=i, now=now), failed)
    figures.raises_ended = _each(
        raising.to_end(now=now), lambda i: raising.end_over(budget_id=i, actor=actor, now=now), failed
    )
    figures.called_off = _each(
        expiry.stale_launches(now=now), lambda i: expiry.call_off(operation_id=i, actor=actor, now=now), failed
    )
    figures.marks = _each(
        thresholds.due(now=now), lambda i: len(thresholds.fire(budget_id=i, actor=actor, now=now)), failed
    )
    stops = idling.stop_all(actor=actor, now=now, each=lambda ids, act: _each(ids, act, failed))
    figures.idle_warned, figures.idle_stopped, figures.held_back = asdict(stops).values()
    figures.failed = len(failed)
    if failed:
        raise BudgetsFailed(f"{len(failed)} were not looked after: {', '.join(map(str, sorted(failed)[:20]))}")
    return asdict(figures)


def _due(now: datetime) -> Figures:
    return Figures(
        renewed=renewal.missing(now=now),
        adopted=len(renewal.to_adopt(now=now)),
        emptied=len(renewal.to_empty(now=now)),
        given_back=len(leaving.to_give_back(now=now)) + len(fitting.to_fit(now=now)),
        raises_ended=len(raising.to_end(now=now)),
        called_off=len(expiry.stale_launches(now=now)),
        marks=len(thresholds.due(now=now)),
        **asdict(idling.due(now=now)),
    )


def _each(ids: Sequence[uuid.UUID], act: Callable[[uuid.UUID], int | None], failed: set[uuid.UUID]) -> int:
    """Act on each id; the sum of what that came to."""
    total = 0
    for one in ids:
        try:
            total += act(one) or 0
        except Exception:  # a refusal or a fault that one budget meets is no reason to leave the others alone
            if not connection.is_usable():
                raise  # a lost connection is every budget's fault
            logger.exception("%s was not looked after", one)
            failed.add(one)
    return total
