"""Where a verification begins that leaves out what an earlier one found intact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.receipts import LANE_SHIFT
from audit.verification import seals_sql as sql
from audit.verification.findings import CannotDecide
from audit.verification.queries import fetch


@dataclass(frozen=True)
class Since:
    """A checkpoint and, for each of the 256 lanes, the first number that it had not sealed."""

    checkpoint: int
    size: int
    root: bytes
    sealed_at: datetime
    floors: tuple[int, ...]

    @classmethod
    def after(cls, checkpoint: int) -> Since:
        """What came after the checkpoint of that number; raises CannotDecide when there is none."""
        found = fetch(sql.CHECKPOINT, {"id": checkpoint})
        if not found:
            raise CannotDecide(f"There is no checkpoint {checkpoint}.")
        id_, size, root, sealed_at = found[0]
        floors = dict(fetch(sql.FLOORS, {"size": size}))
        return cls(id_, size, bytes(root), sealed_at, tuple(floors[lane] for lane in range(256)))

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
        return f"the {self.size} entries up to checkpoint {self.checkpoint} ({self.sealed_at:%Y-%m-%d %H:%M:%S} UTC)"
