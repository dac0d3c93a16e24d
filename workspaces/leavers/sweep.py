"""What happens by itself to the machines of people who are switched off."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.actors import Actor
from forge.db.jobs import JobFault
from workspaces.busy import under_way
from workspaces.leavers import holding
from workspaces.lifecycle import ACTIONS, TERMINAL_STATES, State
from workspaces.models import Quarantine, WorkSpace
from workspaces.services.calling_off import EndUnderWay
from workspaces.services.control import IllegalInThisState, OperationInProgress, stop

logger = logging.getLogger(__name__)

REMINDER = timedelta(days=7)
"""So long before the end of its time the heir is told once more."""
AT_MOST = 500
"""A run does no more of each thing than this; the next one goes on."""


class LeaversFailed(JobFault):
    """Some machines could not be looked after; all others were."""


@dataclass
class Figures:
    """Counts of one run."""

    quarantined: int = 0
    barred_again: int = 0
    stopped: int = 0
    reminded: int = 0
    released: int = 0
    failed: int = 0


@dataclass
class _Run:
    actor: Actor
    now: datetime
    figures: Figures = field(default_factory=Figures)
    faults: list[str] = field(default_factory=list)

    def each(self, name: str, rows: QuerySet, act: Callable[[Actor, uuid.UUID], Any]) -> None:
        """Act on each (id, organization id); one that fails, or that others changed meanwhile, keeps none from it."""
        for row_id, organization_id in list(rows[:AT_MOST]):
            try:
                done = act(self.actor.for_one_of(organization_id), row_id)
            except (IllegalInThisState, OperationInProgress, EndUnderWay):
                continue
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                logger.exception("%s of %s failed", name, row_id)
                self.figures.failed += 1
                self.faults.append(f"{name} of {row_id}: {type(error).__name__}")
            else:
                setattr(self.figures, name, getattr(self.figures, name) + bool(done))


def look_after_leavers(*, now: datetime, dry_run: bool = False, actor: Actor | None = None) -> dict[str, int]:
    """Bar, stop, keep, tell of and give back machines, each in a transaction of its own; returns counts of Figures.

    `actor` None = the job. Raises LeaversFailed at the end when some could not be looked after.
    """
    run = _Run(actor or Actor.job("quarantine_leavers"), now)
    work: dict[str, tuple[QuerySet, Callable[[Actor, uuid.UUID], Any]]] = {
        "released": (to_release(), lambda who, one: holding.release(actor=who, workspace_id=one, now=now)),
        "quarantined": (to_quarantine(), lambda who, one: holding.begin(actor=who, workspace_id=one, now=now)),
        "barred_again": (to_bar_again(now), lambda who, one: holding.resume(actor=who, workspace_id=one, now=now)),
        "stopped": (to_stop(), lambda who, one: stop(actor=who, workspace_id=one, now=now)),
        "reminded": (to_remind(now), lambda who, one: holding.remind(actor=who, quarantine_id=one, now=now)),
    }
    if dry_run:
        return {**asdict(run.figures), **{name: rows.count() for name, (rows, _) in work.items()}}
    for name, (rows, act) in work.items():
        run.each(name, rows, act)
    if run.faults:
        raise LeaversFailed(f"{len(run.faults)} faults: {'; '.join(run.faults[:20])}", asdict(run.figures))
    return asdict(run.figures)


def to_quarantine() -> QuerySet:
    """Machines of people who are switched off that are not barred yet."""
    held = Quarantine.objects.open().filter(workspace=OuterRef("pk"))
    machines = WorkSpace.objects.filter(owner__is_active=False, state__in=ACTIONS["keep-alive"])
    return machines.exclude(Exists(held)).order_by("id").values_list("id", "organization_id")


def to_release() -> QuerySet:
    """Machines whose owner is back, and those that have ended."""
    over = Q(workspace__owner__is_active=True) | Q(workspace__state__in=TERMINAL_STATES)
    return Quarantine.objects.open().filter(over).order_by("id").values_list("workspace_id", "organization_id")


def to_bar_again(now: datetime) -> QuerySet:
    """Machines whose hand-over is over."""
    over = Quarantine.objects.open().filter(kept_until__lte=now, workspace__quarantined_at__isnull=True)
    return over.order_by("kept_until", "id").values_list("workspace_id", "organization_id")


def to_stop() -> QuerySet:
    """Machines in quarantine that run: as they were found, or because somebody signed in by AWS's own client.

    AWS stops no AlwaysOn machine.
    """
    busy = under_way().filter(target_id=OuterRef("pk"))
    running = WorkSpace.objects.filter(
        quarantined_at__isnull=False, state=State.AVAILABLE, running_mode=WorkSpace.RunningMode.AUTO_STOP
    )
    return running.exclude(Exists(busy)).order_by("id").values_list("id", "organization_id")


def to_remind(now: datetime) -> QuerySet:
    """Quarantines whose time is over in a few days, and of which nobody was reminded."""
    soon = Quarantine.objects.open().filter(kept_until__lte=now + REMINDER, reminded_at__isnull=True)
    return soon.order_by("kept_until", "id").values_list("id", "organization_id")
