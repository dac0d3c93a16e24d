"""What the stand-alone verifier says of a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 20
"""Findings that are told one by one; the rest is counted."""


class CannotDecide(Exception):
    """The bundle cannot be judged: it is not whole, not readable, or no key is there to judge it with."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: str
    detail: str
    lane: int | None = None
    number: int | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = [] if self.lane is None else [f"lane {self.lane}"]
        where += [] if self.number is None else [f"number {self.number}"]
        where += [] if self.file is None else [self.file + (f" line {self.line}" if self.line else "")]
        return f"{self.kind}: {self.detail}" + (f" ({', '.join(where)})" if where else "")


@dataclass
class Report:
    """What was checked and what is wrong with it, in the order of the bundle. `undecided` says why it ended early."""

    origin: str = ""
    range: dict[str, Any] = field(default_factory=dict)
    low: int = 0
    high: int = 0
    entries: int = 0
    neighbours: int = 0
    lanes: int = 0
    checkpoints: int = 0
    erased: int = 0
    wrong: int = 0
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    undecided: str | None = None

    def add(self, finding: Finding) -> None:
        """Count it, and keep it while there is room."""
        self.wrong += 1
        if len(self.findings) < SHOWN:
            self.findings.append(finding)

    @property
    def status(self) -> str:
        """`tampered` outweighs `undecided`: what was found stays found."""
        if self.wrong:
            return "tampered"
        return "undecided" if self.undecided else "intact"

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        first = facts["findings"][0] if facts["findings"] else None
        return {"status": self.status, **facts, "first": first}
