"""What the overview says of the audit log: how far it is sealed, and what its last verification came to."""

from __future__ import annotations

from datetime import datetime

from audit.sealing import seals
from audit.verification.standing import standing
from forge.adminkit.times import moment
from forge.console.links import address
from forge.console.overview.figures import Figure


def figures(now: datetime) -> list[Figure]:
    status, found = seals.status(), standing(now)
    last = found.last
    verified = "not yet" if last is None else last.get_outcome_display().lower()
    when = "a verification reads the whole log" if last is None else moment(last.finished_at)
    return [
        Figure(
            "Audit log sealed",
            f"{status.tree_size:,} entries",
            "; ".join(status.problems) or f"{status.waiting} wait for their seal, {status.lag.total_seconds():.0f} s",
            address("audit.auditcheckpoint"),
            is_alarm=bool(status.problems),
        ),
        Figure(
            "Audit log verified",
            verified,
            "; ".join(found.problems) or when,
            address("audit.auditverification"),
            is_alarm=bool(found.problems),
        ),
    ]
