"""What a verification says: findings with their place, and the report that holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

SHOWN = 20
"""Findings that are told one by one; the rest is counted."""


class CannotDecide(Exception):
    """What was asked cannot be answered: the month does not exist, the log is not there."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where: the row, its lane and partition, and the window in time that it opens.

    `table` and `key` name a row of another table than the log.
    """

    kind: str
    detail: str
    lane: int | None
    id: int | None = None
    lane_seq: int | None = None
    partition: str | None = None
    timestamp: datetime | None = None
    after: datetime | None = None
    before: datetime | None = None
    table: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        where = [] if self.lane is None else [f"lane {self.lane}"]
        if self.id is not None:
            where = [f"row {self.id}", f"lane {self.lane}", f"number {self.lane_seq}"]
        if self.partition is not None and (self.id is not None or self.table is not None):
            where.append(f"partition {self.partition}")
        if self.timestamp is not None:
            where.append(f"recorded {self.timestamp.isoformat()}")
        if self.after is not None or self.before is not None:
            where.append(f"between {_or(self.after, 'the beginning')} and {_or(self.before, 'now')}")
        return f"{self.kind}: {self.detail}" + (f" ({', '.join(where)})" if where else "")


@dataclass
class Report:
    """What was verified, and the findings with the earliest first; `is_intact` when there are none."""

    months: list[str] = field(default_factory=list)
    rows: int = 0
    lanes: int = 0
    bad_rows: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        return not self.findings

    def sorted_findings(self) -> list[Finding]:
        """The earliest first, those without a time last."""
        latest = datetime.max.replace(tzinfo=UTC)
        return sorted(
            self.findings, key=lambda finding: (finding.timestamp or finding.before or latest, finding.id or 0)
        )

    def as_json(self) -> dict[str, Any]:
        findings = [asdict(finding) for finding in self.sorted_findings()]
        return {
            "status": "intact" if self.is_intact else "tampered",
            "months": self.months,
            "rows": self.rows,
            "lanes": self.lanes,
            "bad_rows": self.bad_rows,
            "first": findings[0] if findings else None,
            "findings": findings,
        }


def _or(moment: datetime | None, otherwise: str) -> str:
    return moment.isoformat() if moment else otherwise
