"""One machine's case, and the proposal that comes of it."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from costs.advice.facts import Facts
from costs.advice.modes import Confidence, Hours, Rates
from workspaces.models import WorkSpace

AUTO_STOP, ALWAYS_ON = "AUTO_STOP", "ALWAYS_ON"

COVERED = 0.8
"""Share of a machine's hours that must have samples before their silence says that nobody used it."""


@dataclass(frozen=True)
class Terms:
    """The installation's figures: how long unused is idle, and the least saving of a month worth saying."""

    idle_days: int
    least_saving: Decimal


@dataclass(frozen=True)
class Proposal:
    """Advice that holds for a machine now; `held_until` and `held_because` where it is not to be acted on yet."""

    machine: WorkSpace
    kind: str
    action: str
    saving: Decimal
    confidence: Confidence
    price_ids: list[uuid.UUID]
    evidence: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    possible_at: datetime | None = None
    best_at: datetime | None = None
    held_because: str = ""
    held_until: datetime | None = None


@dataclass(frozen=True)
class Case:
    """A machine with what its month costs as it is; `hours` None = not observed, and then none are reckoned."""

    facts: Facts
    terms: Terms
    now: datetime
    hours: Hours | None
    as_is: Rates

    @property
    def machine(self) -> WorkSpace:
        return self.facts.machine

    @property
    def kind(self) -> tuple[str, str]:
        return self.machine.bundle_type, self.machine.running_mode

    def month_of(self, rates: Rates) -> Decimal:
        return rates.month(self.hours.mean if self.hours else Decimal(0))


def hours_as_json(hours: Hours | None) -> dict[str, Any] | None:
    if hours is None:
        return None
    said = {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(hours).items()}
    return said | {"p50": str(hours.p50)}
