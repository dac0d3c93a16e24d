"""One run of reconcile over all accounts: what it counts, and what it could not do."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from audit.actors import Actor
from forge.db.jobs import JobFault
from workspaces import aws
from workspaces.models import ProviderAccount, WorkSpace

logger = logging.getLogger(__name__)


SHOWN = 20
"""So many faults of a run are told in words."""


class ReconcileFailed(JobFault):
    """Part of the machines could not be compared; all others were."""


def chunks(machines: QuerySet[WorkSpace], size: int) -> Iterator[list[WorkSpace]]:
    """Machines by id, so many at a time."""
    rows = machines.order_by("id")
    chunk = list(rows[:size])
    while chunk:
        yield chunk
        chunk = list(rows.filter(id__gt=chunk[-1].id)[:size])


@dataclass
class Figures:
    """Counts of one run.

    `unreachable` counts provider accounts that did not answer whole, `implausible` machines whose absence was not
    believed because too many were absent at once, `failed` machines and accounts that could not be looked after.
    Of ours `untagged` show other tags in AWS than wanted, and `retagging` are being mended now; the tags of `unread`
    could not be asked for. `unmanaged` machines are described by no row of ours; the `orphans` among them carry our
    tag. `stacks` are those of WorkSpaces Applications that AWS offers, of which nobody launches from the `unclosed`:
    AWS still lets data out of their sessions, or could not be asked. `auto_stops` are AutoStop times that
    AWS is told because of a work lease, `drifted` machines whose compute type, running mode or volumes somebody changed
    past Forge; where it has no word for what AWS shows they are `unexplained`.
    """

    seen: int = 0
    moved: int = 0
    vanished: int = 0
    refreshed: int = 0
    unexplained: int = 0
    in_error: int = 0
    unreachable: int = 0
    implausible: int = 0
    failed: int = 0
    untagged: int = 0
    retagging: int = 0
    unread: int = 0
    unmanaged: int = 0
    orphans: int = 0
    stacks: int = 0
    unclosed: int = 0
    auto_stops: int = 0
    drifted: int = 0


@dataclass
class Run:
    """One run over all accounts: its figures, and what it could not do; `silent` is what did not answer.

    Of the faults the first are kept in words and the others counted: there may be one of each machine of a fleet.
    """

    now: datetime
    dry_run: bool
    actor: Actor
    figures: Figures = field(default_factory=Figures)
    patience: aws.Patience = field(default_factory=aws.Patience)
    silent: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0
    repairs: Counter[uuid.UUID] = field(default_factory=Counter)
    noted: set[tuple[uuid.UUID, str, str]] = field(default_factory=set)

    @property
    def has_faults(self) -> bool:
        return bool(self.silent or self.faults)

    def fault(self, told: str) -> None:
        """Note what could not be done."""
        if len(self.faults) < SHOWN:
            self.faults.append(told)
        else:
            self.more_faults += 1

    def told(self) -> str:
        """The faults in words, services that did not answer first, so that machines' faults hide none of them."""
        faults = self.silent + self.faults
        return f"{len(faults) + self.more_faults} faults: {'; '.join(faults[:SHOWN])}"

    def repairs_left(self, account: ProviderAccount) -> int:
        """How many machines of an account this run may still have its tags mended: each takes calls of its own."""
        return max(settings.FORGE_TAG_REPAIRS_AT_MOST - self.repairs[account.id], 0)

    def note_repair(self, account: ProviderAccount) -> None:
        self.repairs[account.id] += 1
        self.figures.retagging += 1

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Let a fault of one machine or account keep no other from its turn; one of the database ends the run."""
        try:
            yield
        except (aws.AwsError, OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("%s could not be reconciled", what)
            self.figures.failed += 1
            self.fault(f"{what}: {type(error).__name__}")
