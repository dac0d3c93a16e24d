"""How the demo's machines were used, as samples of it, and the advice that follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from audit.actors import Actor
from costs.advice.facts import MODE_DAYS
from costs.advice.sweep import advise
from forge.db import partitions
from forge.demo.seed.organization import Seeded
from workspaces.lifecycle import State
from workspaces.models import StateChange, UsageSample, WorkSpace
from workspaces.rules.usage import slot_of

SAMPLED = timedelta(minutes=5)
HOUR = timedelta(hours=1)
DAYS = timedelta(days=MODE_DAYS + 1)
SETTLED = timedelta(days=20)
"""Machines that are older have a past that something follows from."""

LIGHT, SHORT_OF_MEMORY = (8.0, 18.0), (35.0, 92.0)
"""CPU and memory in percent."""


def seed_usage(*, actor: Actor, seeded: Seeded, now: datetime) -> None:
    """Samples of AlwaysOn machines, of which one is not used at all, and of some that have the wrong size; once.

    The advice is that of the job.
    """
    if not UsageSample.objects.filter(organization=seeded.organization).exists():
        partitions.ensure("workspaces_usagesample", (now - DAYS).date(), now.date())
        UsageSample.objects.bulk_create(_samples(seeded, now), batch_size=2000)
    advise(now=now, actor=actor)


def _samples(seeded: Seeded, now: datetime) -> Iterator[UsageSample]:
    settled = WorkSpace.objects.filter(
        organization=seeded.organization, state=State.AVAILABLE, launched_at__lt=now - SETTLED
    ).order_by("launched_at")
    for number, machine in enumerate(settled.filter(running_mode=WorkSpace.RunningMode.ALWAYS_ON)):
        yield from _day_and_night(machine, 2 if number else 0, now)
    auto_stop = settled.filter(running_mode=WorkSpace.RunningMode.AUTO_STOP)
    for machine in auto_stop.filter(bundle_type__in=["PERFORMANCE", "POWER"])[:4]:
        yield from _while_running(machine, *LIGHT, now)
    for machine in auto_stop.filter(bundle_type="STANDARD")[:2]:
        yield from _while_running(machine, *SHORT_OF_MEMORY, now)


def _day_and_night(machine: WorkSpace, hours: int, now: datetime) -> Iterator[UsageSample]:
    """Hourly samples, and in the first `hours` of each working day from nine on all of them, of somebody connected."""
    at = slot_of(now - DAYS).replace(minute=0)
    while at < now - HOUR:
        in_use = at.weekday() < 5 and 9 <= at.hour < 9 + hours
        if in_use or at.minute == 0:
            yield _sample(machine, at, 30.0 if in_use else 1.0, 45.0, is_connected=in_use)
        at += SAMPLED


def _while_running(machine: WorkSpace, cpu: float, memory: float, now: datetime) -> Iterator[UsageSample]:
    """A sample each five minutes of the running intervals of the last two weeks, of somebody connected."""
    began: datetime | None = None
    changes = StateChange.objects.filter(workspace=machine).order_by("occurred_at", "id")
    for change in [*changes.values_list("to_state", "occurred_at"), ("", now - HOUR)]:
        state, at = change
        if began is not None:
            yield from _each_five_minutes(machine, max(began, now - timedelta(days=14)), at, cpu, memory)
        began = at if state == State.AVAILABLE else None


def _each_five_minutes(
    machine: WorkSpace, first: datetime, end: datetime, cpu: float, memory: float
) -> Iterator[UsageSample]:
    at = slot_of(first) + SAMPLED
    while at < end:
        yield _sample(machine, at, cpu, memory, is_connected=True)
        at += SAMPLED


def _sample(machine: WorkSpace, at: datetime, cpu: float, memory: float, *, is_connected: bool) -> UsageSample:
    return UsageSample(
        workspace=machine,
        organization=machine.organization,
        at=at,
        source=UsageSample.Source.CLOUDWATCH,
        connected=is_connected,
        cpu=cpu,
        memory=memory,
    )
