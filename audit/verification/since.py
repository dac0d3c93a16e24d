"""Where a verification begins that leaves out what an earlier one found intact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.models import AuditVerification
from audit.receipts import LANE_SHIFT
from audit.verification import seals_sql as sql
from audit.verification.findings import CannotDecide
from audit.verification.queries import fetch


@dataclass(frozen=True)
class Since:
    """A checkpoint, when it was looked at, and for each of the 256 lanes the first number that it had not sealed."""

    checkpoint: int
    size: int
    root: bytes
    at: datetime
    floors: tuple[int, ...]

    @classmethod
    def after(cls, checkpoint: int) -> Since:
        """What came after the checkpoint of that number; raises CannotDecide when there is none."""
        found = fetch(sql.CHECKPOINT, {"id": checkpoint})
        if not found:
            raise CannotDecide(f"There is no checkpoint {checkpoint}.")
        id_, size, root, sealed_at = found[0]
        return cls(id_, size, bytes(root), sealed_at, _floors(size))

    @classmethod
    def after_verification(cls, verification: AuditVerification) -> Since:
        """What came after the checkpoint that an intact verification reached, as it was then."""
        number, size, root = verification.checkpoint, verification.tree_size, verification.root_hash
        if number is None or size is None or root is None:
            raise CannotDecide(f"Verification {verification.id} reached no checkpoint.")
        return cls(number, size, bytes(root), verification.started_at, _floors(size))

    @property
    def lows(self) -> list[int]:
        """The first id of each lane."""
        return [(lane << LANE_SHIFT) + floor for lane, floor in enumerate(self.floors)]

    @property
    def lows_with_last(self) -> list[int]:
        """The same with the row before it, which its time is compared with."""
        return [(lane << LANE_SHIFT) + max(floor - 1, 1) for lane, floor in enumerate(self.floors)]

    @property
    def highs(self) -> list[int]:
        """The id at which each lane ends."""
        return [(lane + 1) << LANE_SHIFT for lane in range(256)]

    def __str__(self) -> str:
        return f"the {self.size} entries up to checkpoint {self.checkpoint} ({self.at:%Y-%m-%d %H:%M:%S} UTC)"


def verified_until() -> AuditVerification | None:
    """The verification up to whose checkpoint everything was found intact; None where there is none.

    That is the last intact full one, or one of those after it that began where what was verified ended.
    """
    intact = AuditVerification.objects.filter(
        outcome=AuditVerification.Outcome.INTACT, checkpoint__isnull=False
    ).order_by("id")
    until = intact.filter(scope=AuditVerification.Scope.FULL).last()
    if until is None:
        return None
    for run in intact.filter(scope=AuditVerification.Scope.SINCE, id__gt=until.id):
        if (run.after_checkpoint or 0) <= (until.checkpoint or 0) <= (run.checkpoint or 0):
            until = run
    return until


def _floors(size: int) -> tuple[int, ...]:
    floors = dict(fetch(sql.FLOORS, {"size": size}))
    return tuple(floors[lane] for lane in range(256))
