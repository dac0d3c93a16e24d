"""What a bill says beside what was metered, per bundle type, and what was matched neither way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Sum

from costs.bills.models import Bill, BillGap

_PERCENT = Decimal("0.01")


def drift(bill: Bill) -> list[dict[str, Any]]:
    """Per bundle type that is on the bill: machines, metered, billed, the difference, and that in percent of metered.

    Percent is None where nothing was metered.
    """
    rows = bill.machines.filter(billed_cost__isnull=False).values("bundle_type").order_by("bundle_type")
    sums = rows.annotate(
        machines=Count("workspace_id"), metered_cost=Sum("metered_cost"), billed=Sum("billed_cost"), hours=Sum("hours")
    )
    return [
        {
            "bundle_type": row["bundle_type"],
            "machines": row["machines"],
            "hours": row["hours"],
            "metered_cost": row["metered_cost"],
            "billed_cost": row["billed"],
            "drift": row["billed"] - row["metered_cost"],
            "drift_percent": percent(row["billed"] - row["metered_cost"], row["metered_cost"]),
        }
        for row in sums
    ]


def not_billed(bill: Bill) -> dict[str, Any]:
    """Machines of the bill's accounts that it does not name, and what was metered of them."""
    return bill.machines.filter(billed_cost=None).aggregate(
        machines=Count("workspace_id", distinct=True), metered_cost=Sum("metered_cost", default=Decimal(0))
    )


def gaps(bill: Bill) -> list[dict[str, Any]]:
    """Per reason: machines that the bill names, lines and amount that are not booked."""
    rows = BillGap.objects.filter(bill=bill).values("reason").order_by("reason")
    sums = rows.annotate(resources=Count("id"), lines=Sum("lines"), amount=Sum(F("amount")))
    return [dict(row) for row in sums]


def percent(difference: Decimal, metered: Decimal) -> Decimal | None:
    """The difference in percent of what was metered, to two places; None where that is nothing."""
    return (100 * difference / metered).quantize(_PERCENT) if metered else None
