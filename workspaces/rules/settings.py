"""The figures of the rules, read from Django's settings at each use."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from workspaces.rules.deadlines import Terms

COLLECT_EVERY = timedelta(minutes=5)
"""How often use is sampled: CloudWatch has a figure of a machine each five minutes."""

RECENT = 3 * COLLECT_EVERY
"""The newest sample must be no older for an idle stop."""

LOOK_BACK = timedelta(days=1)
"""Samples older than this say nothing of now."""

LOOK_AGAIN = COLLECT_EVERY
"""A machine without the samples for a stop is looked at again after this."""

AFTER_A_FAULT = timedelta(hours=1)
"""One whose action could not even be queued is put off for so long, or it would take the same place in every run."""


def terms() -> Terms:
    """The times of warnings and of staleness."""
    return Terms(
        stop_warning=timedelta(minutes=settings.FORGE_STOP_WARNING_MINUTES),
        end_warning=timedelta(days=settings.FORGE_END_WARNING_DAYS),
        stale_after=timedelta(days=settings.FORGE_STALE_DAYS),
        stale_notice=timedelta(days=settings.FORGE_STALE_NOTICE_DAYS),
    )


def idle_samples() -> int:
    """How many samples in a row must say idle."""
    return max(1, settings.FORGE_IDLE_SAMPLES)


def idle_cpu() -> float:
    """A machine whose CPU is at this percentage or above is at work."""
    return settings.FORGE_IDLE_CPU_PERCENT


def at_most(machines: int) -> int:
    """How many machines a run may stop, flag or end of so many that live: the larger of a number and a share."""
    return max(settings.FORGE_LIFECYCLE_AT_MOST, machines * settings.FORGE_LIFECYCLE_PERCENT_AT_MOST // 100)
