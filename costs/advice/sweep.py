"""The daily look at all machines: what is advised for them, and what became of what was accepted.

A look is a walk along the ids of machines. The job takes a stretch of it at a time, so that no run grows with the
fleet: its figures say how far the look has come (`after`), and the next run goes on there. One that is killed leaves
its stretch to the next, which does no harm: each advice stands once.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError

from audit.actors import Actor
from costs.advice import following, judging, keeping
from costs.advice.cases import Proposal, Terms
from costs.advice.facts import facts_of
from costs.models import Advice
from forge.db.jobs import JobFault
from forge.db.models import JobRun
from workspaces.lifecycle import TERMINAL_STATES
from workspaces.models import WorkSpace

logger = logging.getLogger(__name__)

JOB = "advise_costs"
CHUNK = 500
"""Machines that are looked at together; what is known of them is all that a run holds in memory."""
STRETCH = 5_000
"""Machines of one run of the job."""


@dataclass
class _Look:
    """One stretch: who looks, and what came of it."""

    actor: Actor
    now: datetime
    dry_run: bool
    machines: int = 0
    proposals: int = 0
    kept: keeping.Kept = field(default_factory=keeping.Kept)
    failed: list[uuid.UUID] = field(default_factory=list)

    def at(self, machines: Sequence[WorkSpace]) -> None:
        """Advise on these together; where that fails on each alone, so that only those at fault are left out."""
        try:
            self._at(machines)
        except (ArithmeticError, DataError, IntegrityError):
            if len(machines) > 1:
                for machine in machines:
                    self.at([machine])
                return
            logger.exception("Nothing can be advised for machine %s", machines[0].id)
            self.failed.append(machines[0].id)

    def _at(self, machines: Sequence[WorkSpace]) -> None:
        facts = facts_of(machines, now=self.now)
        proposals = [one for each in facts for one in judging.judge(each, terms=terms(), now=self.now)]
        if not self.dry_run:
            looked_at = [each.machine for each in facts]
            self.kept.add(keeping.keep(machines=looked_at, proposals=proposals, actor=self.actor, now=self.now))
        self.machines += len(machines)
        self.proposals += len(proposals)


def advise(
    *,
    now: datetime,
    dry_run: bool = False,
    actor: Actor | None = None,
    chunk: int = CHUNK,
    after: uuid.UUID | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """Advise on the live machines of WorkSpaces Personal behind `after`, on `most` of them at most; returns counts.

    `after` of the answer is the last one that was looked at; None = the look is over. What was accepted is followed
    when a look begins, and advice for machines that have ended goes when it is over. Any number of runs may go at
    once. A dry run counts what is advised and writes nothing. Raises JobFault with the counts where some machines
    could not be judged.
    """
    look = _Look(actor or Actor.job(JOB), now, dry_run)
    followed = following.Followed()
    if after is None and not dry_run:
        followed = following.follow(actor=look.actor, now=now)
    for machines in _chunks(chunk, after):
        look.at(machines)
        after = machines[-1].id
        if most is not None and look.machines + len(look.failed) >= most:
            break
    else:
        after = None
        if not dry_run:
            look.kept.obsolete += _drop_ended(actor=look.actor, now=now)
    figures = {"machines": look.machines, "proposals": look.proposals, **asdict(look.kept), **asdict(followed)}
    figures["after"] = None if after is None else str(after)
    if look.failed:
        named = ", ".join(map(str, look.failed[:20]))
        raise JobFault(f"{len(look.failed)} machines could not be judged: {named}", figures)
    return figures


def go_on(*, now: datetime) -> dict[str, Any]:
    """The next stretch of the look that is under way; else the first of today's, unless that is over already.

    How far it has come is read from the job's own runs: a look that takes longer than its day is ended first.
    """
    today = f"{now.astimezone(UTC):%Y-%m-%d}"
    last = JobRun.objects.filter(job=JOB, figures__has_key="look").order_by("-slot").first()
    told = last.figures if last is not None else {"look": None, "after": None}
    after = None if told["after"] is None else uuid.UUID(told["after"])
    if after is None and told["look"] == today:
        return {"look": today, "after": None, "machines": 0}
    name = {"look": today if after is None else told["look"]}
    try:
        return name | advise(now=now, after=after, most=STRETCH, chunk=min(CHUNK, STRETCH))
    except JobFault as fault:
        fault.figures |= name
        raise


def look_at(machine: WorkSpace, *, now: datetime) -> list[Proposal]:
    """What is advised for one machine now, before anybody acts on what was advised earlier."""
    return [one for each in facts_of([machine], now=now) for one in judging.judge(each, terms=terms(), now=now)]


def terms() -> Terms:
    """The figures of the settings."""
    return Terms(settings.FORGE_ADVICE_IDLE_DAYS, Decimal(settings.FORGE_ADVICE_LEAST_SAVING))


def _chunks(size: int, after: uuid.UUID | None) -> Iterator[Sequence[WorkSpace]]:
    live = WorkSpace.objects.live().filter(service_type=WorkSpace.ServiceType.PERSONAL)
    rows = live.select_related("organization").order_by("id")
    while chunk := list((rows.filter(id__gt=after) if after else rows)[:size]):
        yield chunk
        after = chunk[-1].id


def _drop_ended(*, actor: Actor, now: datetime) -> int:
    """Take back what was advised for machines that have ended, but for what is being carried out."""
    ended = Advice.objects.live().filter(workspace__state__in=TERMINAL_STATES).exclude(status=Advice.Status.ACCEPTED)
    dropped = 0
    while chunk := list(ended.order_by("id")[:CHUNK]):
        reasons = dict.fromkeys((one.pk for one in chunk), keeping.ENDED)
        dropped += keeping.drop_ended(advice=chunk, reasons=reasons, actor=actor, now=now)
    return dropped
