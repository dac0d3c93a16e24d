"""What metering hands to those who keep the budgets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class Charges:
    """By how much cost records have just changed: three lists of equal length, ordered by machine and hour.

    `hours` are starts of UTC hours, `amounts` differences of total_cost, never 0 (below 0 where a state that became
    known late takes a charge back). Whom each belongs to stands in the cost record of (workspace, hour).
    """

    workspace_ids: Sequence[uuid.UUID]
    hours: Sequence[datetime]
    amounts: Sequence[Decimal]

    def __len__(self) -> int:
        return len(self.workspace_ids)
