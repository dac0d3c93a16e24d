"""What happens by itself to the machines of people who are switched off."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Exists, F, OuterRef, Q, QuerySet

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
PAGE = 500
SHOWN = 20
"""So many faults of a run are told in words."""


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

    def each(self, name: str, work: _Work) -> None:
        """Do it to AT_MOST rows; one that fails, or that others changed meanwhile, takes no other's place."""
        after: uuid.UUID | None = None
        done = 0
        while page := work.page(after):
            for row_id, target_id, organization_id in page:
                done += self._one(name, work, target_id, organization_id)
                after = row_id
                if done >= AT_MOST:
                    return

    def _one(self, name: str, work: _Work, target_id: uuid.UUID, organization_id: uuid.UUID) -> bool:
        try:
            is_done = bool(work.act(self.actor.for_one_of(organization_id), target_id))
        except (IllegalInThisState, OperationInProgress, EndUnderWay):
            return False
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("%s of %s failed", name, target_id)
            self.figures.failed += 1
            if len(self.faults) < SHOWN:
                self.faults.append(f"{name} of {target_id}: {type(error).__name__}")
            return False
        setattr(self.figures, name, getattr(self.figures, name) + is_done)
        return is_done


@dataclass(frozen=True)
class _Work:
    """Rows that want something done, and in which column the machine or quarantine stands to which it is done."""

    rows: QuerySet
    target: str
    act: Callable[[Actor, uuid.UUID], Any]

    def page(self, after: uuid.UUID | None) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
        """The next rows by their ids: (the row's id, the target's, the organization's)."""
        rows = self.rows.filter(pk__gt=after) if after else self.rows
        named = rows.order_by("pk").values_list("pk", F(self.target), "organization_id")
        return list(named[:PAGE])


def look_after_leavers(*, now: datetime, dry_run: bool = False, actor: Actor | None = None) -> dict[str, int]:
    """Bar, stop, keep, tell of and give back machines, each in a transaction of its own; returns counts of Figures.

    `actor` None = the job. Raises LeaversFailed at the end when some could not be looked after.
    """
    run = _Run(actor or Actor.job("quarantine_leavers"), now)
    of = "workspace_id"
    work = {
        "released": _Work(to_release(), of, lambda who, one: holding.release(actor=who, workspace_id=one, now=now)),
        "quarantined": _Work(
            to_quarantine(), "id", lambda who, one: holding.begin(actor=who, workspace_id=one, now=now)
        ),
        "barred_again": _Work(
            to_bar_again(now), of, lambda who, one: holding.resume(actor=who, workspace_id=one, now=now)
        ),
        "stopped": _Work(to_stop(), "id", lambda who, one: stop(actor=who, workspace_id=one, now=now)),
        "reminded": _Work(to_remind(now), "id", lambda who, one: holding.remind(actor=who, quarantine_id=one, now=now)),
    }
    if dry_run:
        return asdict(run.figures) | {name: one.rows[:AT_MOST].count() for name, one in work.items()} | _after(now)
    for name, one in work.items():
        run.each(name, one)
    if run.faults:
        raise LeaversFailed(f"{run.figures.failed} faults: {'; '.join(run.faults)}", asdict(run.figures))
    return asdict(run.figures)


def _after(now: datetime) -> dict[str, int]:
    """How many a run would stop and remind of once it has given back, barred and barred again what is due before."""
    released = to_release().order_by("pk")[:AT_MOST]
    barred = Q(pk__in=to_quarantine().order_by("pk").values("pk")[:AT_MOST])
    again = to_bar_again(now).exclude(pk__in=released.values("pk")).order_by("pk")
    barred |= Q(pk__in=again.values("workspace_id")[:AT_MOST])
    barred |= Q(quarantined_at__isnull=False) & ~Q(pk__in=released.values("workspace_id"))
    reminded = to_remind(now).exclude(pk__in=released.values("pk"))[:AT_MOST].count()
    if timedelta(days=settings.FORGE_QUARANTINE_DAYS) <= REMINDER:
        reminded += to_quarantine()[:AT_MOST].count()
    return {"stopped": _stoppable().filter(barred)[:AT_MOST].count(), "reminded": min(reminded, AT_MOST)}


def to_quarantine() -> QuerySet:
    """Machines of people who are switched off that are not barred yet."""
    held = Quarantine.objects.open().filter(workspace=OuterRef("pk"))
    machines = WorkSpace.objects.filter(owner__is_active=False, state__in=ACTIONS["keep-alive"])
    return machines.exclude(Exists(held))


def to_release() -> QuerySet:
    """Machines whose owner is back, and those that have ended."""
    over = Q(workspace__owner__is_active=True) | Q(workspace__state__in=TERMINAL_STATES)
    return Quarantine.objects.open().filter(over)


def to_bar_again(now: datetime) -> QuerySet:
    """Machines whose hand-over is over."""
    return Quarantine.objects.open().filter(kept_until__lte=now, workspace__quarantined_at__isnull=True)


def to_stop() -> QuerySet:
    """Machines in quarantine that run: as they were found, or because somebody signed in by AWS's own client.

    AWS stops no AlwaysOn machine.
    """
    return _stoppable().filter(quarantined_at__isnull=False)


def _stoppable() -> QuerySet:
    """Machines that run and can be stopped."""
    busy = under_way().filter(target_id=OuterRef("pk"))
    running = WorkSpace.objects.filter(state=State.AVAILABLE, running_mode=WorkSpace.RunningMode.AUTO_STOP)
    return running.exclude(Exists(busy))


def to_remind(now: datetime) -> QuerySet:
    """Quarantines whose time is over in a few days, and of which nobody was reminded."""
    return Quarantine.objects.open().filter(kept_until__lte=now + REMINDER, reminded_at__isnull=True)
