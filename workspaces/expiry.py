"""Ending machines whose agreed lifetime is over, unless they are kept alive."""

from __future__ import annotations

import logging
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef

from audit.actors import Actor
from forge.db.jobs import JobFault
from forge.operations.models import Operation
from workspaces.lifecycle import ACTIONS
from workspaces.models import WorkSpace, kept_alive
from workspaces.services.control import IllegalInThisState, NotDue, OperationInProgress, terminate_due

logger = logging.getLogger(__name__)

AT_MOST = 50
"""A run ends no more machines than this, so that a wrong clock or setting is seen before it does much harm."""

AFTER_A_FAULT = timedelta(hours=1)
"""A machine whose end could not even be queued is put off for so long, or it would take the same place in every run."""


class LifecycleFailed(JobFault):
    """The end of some machines could not be queued; that of all others was."""


@dataclass
class Figures:
    """Counts of one run; `passed_over` are machines that others changed meanwhile."""

    due: int = 0
    ended: int = 0
    passed_over: int = 0
    failed: int = 0


def end_expired(*, now: datetime, dry_run: bool = False, actor: Actor | None = None) -> dict[str, int]:
    """Queue the end of machines whose `next_action` is due; returns the counts of Figures. `actor` None = the job.

    A machine that is kept alive, or that something else is being done to, takes nobody's place in the run and is
    looked at again by the next one. One that fails keeps no other from its turn: LifecycleFailed is raised at the end.
    """
    actor = actor or Actor.job("enforce_lifecycle")
    busy = Operation.objects.open().filter(target_id=OuterRef("pk"))
    due = list(
        WorkSpace.objects.filter(state__in=ACTIONS["terminate"], next_action="terminate", next_action_at__lte=now)
        .exclude(kept_alive(now))
        .exclude(Exists(busy))
        .exclude(provider_id="")
        .order_by("next_action_at", "id")
        .values_list("id", "organization_id")[:AT_MOST]
    )
    figures = Figures(due=len(due))
    faults: list[str] = []
    for workspace_id, organization_id in [] if dry_run else due:
        try:
            terminate_due(actor=actor.for_one_of(organization_id), workspace_id=workspace_id, now=now)
        except (IllegalInThisState, OperationInProgress, NotDue):
            figures.passed_over += 1
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("the end of machine %s could not be queued", workspace_id)
            figures.failed += 1
            faults.append(f"machine {workspace_id}: {type(error).__name__}")
            _put_off(workspace_id, until=now + AFTER_A_FAULT)
        else:
            figures.ended += 1
    if faults:
        raise LifecycleFailed(f"{len(faults)} faults: {'; '.join(faults[:20])}", asdict(figures))
    return asdict(figures)


def _put_off(workspace_id: uuid.UUID, *, until: datetime) -> None:
    WorkSpace.objects.filter(pk=workspace_id, next_action="terminate").update(next_action_at=until)
