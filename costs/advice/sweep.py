"""The daily look at all machines: what is advised for them, and what became of what was accepted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from audit.actors import Actor
from costs.advice import following, judging, keeping
from costs.advice.cases import Proposal, Terms
from costs.advice.facts import facts_of
from costs.models import Advice
from workspaces.lifecycle import TERMINAL_STATES
from workspaces.models import WorkSpace

JOB = "advise_costs"
CHUNK = 500
"""Machines that are looked at together; what is known of them is all that a run holds in memory."""


def advise(*, now: datetime, dry_run: bool = False, actor: Actor | None = None, chunk: int = CHUNK) -> dict[str, Any]:
    """Advise on every live machine of WorkSpaces Personal; returns counts.

    Any number of runs may go at once: each advice stands once. A dry run counts what is advised and writes nothing.
    """
    actor = actor or Actor.job(JOB)
    figures = {"machines": 0, "proposals": 0}
    kept = keeping.Kept()
    followed = following.Followed() if dry_run else following.follow(actor=actor, now=now)
    for machines in _chunks(chunk):
        facts = facts_of(machines, now=now)
        proposals = [one for each in facts for one in judging.judge(each, terms=terms(), now=now)]
        figures["machines"] += len(machines)
        figures["proposals"] += len(proposals)
        if not dry_run:
            looked_at = [each.machine for each in facts]
            kept.add(keeping.keep(machines=looked_at, proposals=proposals, actor=actor, now=now))
    if not dry_run:
        kept.obsolete += _drop_ended(actor=actor, now=now)
    return {**figures, **asdict(kept), **asdict(followed)}


def look_at(machine: WorkSpace, *, now: datetime) -> list[Proposal]:
    """What is advised for one machine now, before anybody acts on what was advised earlier."""
    return [one for each in facts_of([machine], now=now) for one in judging.judge(each, terms=terms(), now=now)]


def terms() -> Terms:
    """The figures of the settings."""
    return Terms(settings.FORGE_ADVICE_IDLE_DAYS, Decimal(settings.FORGE_ADVICE_LEAST_SAVING))


def _chunks(size: int) -> Iterator[Sequence[WorkSpace]]:
    live = WorkSpace.objects.live().filter(service_type=WorkSpace.ServiceType.PERSONAL)
    rows = live.select_related("organization").order_by("id")
    after: uuid.UUID | None = None
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
