"""What stands above the lines of a report: of what it is, how it came about, how late it is and what it corrects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Min

from costs.models import MeterMark
from costs.showback.figures import Asked, Sums
from costs.showback.models import IssuedReport, ReportKind

PROVISIONAL, FINAL, CORRECTED = "PROVISIONAL", "FINAL", "CORRECTED"

MEANINGS = {
    ReportKind.SHOWBACK: "Showback: all costs, shown to those who caused them; nothing is booked on anybody by it.",
    ReportKind.CHARGEBACK: (
        "Chargeback: costs as they are booked on those who bear them; what nobody bears is told apart, as unallocated."
    ),
}
ROUNDING = (
    "Columns of bundle types are compute. Amounts are whole cents. Every column adds up to its total; across one "
    "line, parts may differ from the line's total by cents (largest remainder)."
)


@dataclass(frozen=True)
class Head:
    """`previous` is the report that this one corrects; None where it says what the last one said."""

    asked: Asked
    sums: Sums
    issued_at: datetime
    metered_through: datetime
    previous: IssuedReport | None

    @property
    def title(self) -> str:
        return f"{self.asked.kind.label} by {self.asked.by.label}"

    @property
    def scope(self) -> str:
        """The team's name, or what is meant without one."""
        return f"Team {self.asked.team.name}" if self.asked.team else "Whole organization"

    @property
    def currency(self) -> str:
        return self.asked.organization.currency

    @property
    def is_provisional(self) -> bool:
        return self.issued_at < self.asked.ends_at or self.metered_through < self.asked.ends_at

    @property
    def status(self) -> str:
        if self.is_provisional:
            return PROVISIONAL
        return CORRECTED if self.previous else FINAL

    @property
    def difference(self) -> Decimal | None:
        """This total beyond the one that it corrects."""
        return self.sums.amount - self.previous.amount if self.previous else None

    @property
    def spend_lag(self) -> timedelta:
        """How much of the month that is over was not metered yet."""
        return max(min(self.issued_at, self.asked.ends_at) - self.metered_through, timedelta(0))


def head_of(asked: Asked, sums: Sums, now: datetime) -> Head:
    """The head of a report that is made at `now`."""
    metered = metered_through(asked, now)
    head = Head(asked, sums, now, metered, None)
    return head if head.is_provisional else Head(asked, sums, now, metered, _corrected(asked, sums))


def metered_through(asked: Asked, now: datetime) -> datetime:
    """The instant up to which every machine of the organization is metered; `now` where none waits."""
    waiting = MeterMark.objects.filter(organization_id=asked.organization.id, next_due_at__lt=now)
    return waiting.aggregate(oldest=Min("next_due_at"))["oldest"] or now


def _corrected(asked: Asked, sums: Sums) -> IssuedReport | None:
    """The last report of the month and scope, issued when it was over, that came to another amount."""
    issued = IssuedReport.objects.filter(
        organization_id=asked.organization.id, month=asked.month, team=asked.team, is_provisional=False
    )
    return issued.exclude(amount=sums.amount).order_by("-issued_at", "-id").first()


def utc(at: datetime) -> str:
    """An instant to the minute, as reports tell it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
