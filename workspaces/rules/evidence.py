"""Whether samples show that a machine is idle: only those that are there count; a missing one proves nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from workspaces.rules.settings import COLLECT_EVERY, LOOK_BACK, RECENT, idle_cpu, idle_samples

_NEWEST = """
    SELECT asked.id, sample.at, sample.connected, sample.cpu
      FROM unnest(%(ids)s::uuid[], %(since)s::timestamptz[]) AS asked (id, since)
     CROSS JOIN LATERAL (
         SELECT at, connected, cpu FROM workspaces_usagesample
          WHERE workspace_id = asked.id AND source = %(source)s
            AND at >= greatest(asked.since, %(oldest)s) AND at <= %(now)s
          ORDER BY at DESC
          LIMIT %(most)s
     ) AS sample
     ORDER BY asked.id, sample.at DESC
"""


@dataclass(frozen=True)
class Sample:
    """A sample as far as it says something of use; None = the source did not say."""

    at: datetime
    connected: bool | None
    cpu: float | None


@dataclass(frozen=True)
class Evidence:
    """What the samples say: `is_idle` only when enough of them do, one after the other up to now."""

    is_idle: bool
    reason: str
    idle_samples: int
    needed: int
    newest_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "is_idle": self.is_idle,
            "reason": self.reason,
            "idle_samples": self.idle_samples,
            "needed": self.needed,
            "newest_at": self.newest_at.isoformat() if self.newest_at else None,
        }


def judge(samples: Sequence[Sample], *, is_connected: bool, now: datetime, needed: int, busy_cpu: float) -> Evidence:
    """Judge the newest samples of CloudWatch, the newest first, and what AWS last said of the connection.

    In a row are samples of which each is one period older than the one after it: whoever worked in a hole was not seen,
    so what was before it counts no longer.
    """
    newest_at = samples[0].at if samples else None
    idle, hole = 0, ""
    for sample, later in zip(samples[:needed], (None, *samples), strict=False):
        if later is not None and later.at - sample.at > COLLECT_EVERY:
            hole = f", and before them none from {sample.at:%H:%M} to {later.at:%H:%M} UTC"
            break
        if sample.connected is not False or sample.cpu is None or sample.cpu >= busy_cpu:
            break
        idle += 1
    if newest_at is None:
        reason = "no samples of its use"
    elif now - newest_at > RECENT:
        reason = "the newest sample is too old"
    elif is_connected:
        reason = "a person is connected"
    elif idle < needed:
        reason = f"{idle} of {needed} samples in a row say idle{hole}"
    else:
        return Evidence(True, f"{needed} samples in a row say idle", idle, needed, newest_at)
    return Evidence(False, reason, idle, needed, newest_at)


def evidence_of(machines: Sequence[Any], *, now: datetime) -> dict[uuid.UUID, Evidence]:
    """What the samples since each machine came into its state say of it, by id, in two queries."""
    needed = idle_samples()
    figures = _newest(machines, source="CLOUDWATCH", most=needed, now=now)
    connections = _newest(machines, source="CONNECTION", most=1, now=now)
    judged = {}
    for machine in machines:
        last = connections.get(machine.id, [])
        is_connected = bool(last) and last[0].connected is True and now - last[0].at <= RECENT
        judged[machine.id] = judge(
            figures.get(machine.id, []), is_connected=is_connected, now=now, needed=needed, busy_cpu=idle_cpu()
        )
    return judged


def _newest(machines: Sequence[Any], *, source: str, most: int, now: datetime) -> dict[uuid.UUID, list[Sample]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _NEWEST,
            {
                "ids": [machine.id for machine in machines],
                "since": [machine.state_since for machine in machines],
                "source": source,
                "oldest": now - LOOK_BACK,
                "now": now,
                "most": most,
            },
        )
        found: dict[uuid.UUID, list[Sample]] = {}
        for machine_id, at, connected, cpu in cursor.fetchall():
            found.setdefault(machine_id, []).append(Sample(at, connected, cpu))
    return found
