"""What a bill's file is: AWS's Cost and Usage Report or FOCUS, and under which names its columns stand.

CUR: the legacy CSV says `lineItem/ResourceId`, its Parquet and CUR 2.0 say `line_item_resource_id` (AWS Data Exports
User Guide, "CUR 2.0 table dictionary"). FOCUS: the columns of FOCUS 1.2; 1.0 and 1.1 have the same ones of these. One
amount counts: what is on the invoice (`line_item_unblended_cost`, `BilledCost`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forge.api.errors import Refused

NEEDED = ("resource", "account", "starts", "ends", "amount", "currency", "kind", "month")
OPTIONAL = ("usage", "quantity", "machine")

COMPUTE, STORAGE, TRANSFER = range(3)
"""Parts of a record's cost that a line's amount goes to."""

STORAGE_PATTERN = r"(?i)volume|storage"
TRANSFER_PATTERN = r"(?i)data.?transfer"
"""Usage types of volumes and of transfer; all others are the machine itself: its fee, its hours, its licence."""

MACHINE_PATTERN = r"(?P<id>ws-[0-9a-z]+)$"
"""A WorkSpace's id alone, or at the end of its ARN (`arn:aws:workspaces:…:workspace/ws-…`)."""

MOST = 10**12
"""What the lines of a bill come to, credits taken as charges, stays below this: more fits in no record or sum."""

TAX = "Tax"
"""The one kind of line, of both formats, that is not booked: prices, quotes and budgets are before tax."""


class BillRefused(Refused):
    """A bill that cannot be booked; nothing of it is. Base of all that is wrong with a file."""

    code = "bill_refused"
    title = "The bill cannot be booked"


class BillUnreadable(BillRefused):
    code = "bill_unreadable"
    title = "The file cannot be read as a bill"
    suggested_action = "Give a CUR or FOCUS file as CSV, gzipped CSV or Parquet, as the provider has written it."


class NotABill(BillRefused):
    code = "not_a_bill"
    title = "The file has not the columns of a bill"
    suggested_action = "Export CUR with resource ids, or FOCUS 1.2; the answer names the columns that are missing."


@dataclass(frozen=True)
class Layout:
    """A kind of bill: its name, and for each of our columns the names that it may have in a file."""

    name: str
    names: Mapping[str, Sequence[str]]

    def found_in(self, header: Sequence[str]) -> dict[str, str]:
        """Our column → the file's, of those that the header has."""
        has = set(header)
        found = {ours: next((name for name in theirs if name in has), None) for ours, theirs in self.names.items()}
        return {ours: name for ours, name in found.items() if name is not None}


def _cur(legacy: str, name: str) -> tuple[str, str]:
    return name, legacy


CUR = Layout(
    "CUR",
    {
        "resource": _cur("lineItem/ResourceId", "line_item_resource_id"),
        "account": _cur("lineItem/UsageAccountId", "line_item_usage_account_id"),
        "starts": _cur("lineItem/UsageStartDate", "line_item_usage_start_date"),
        "ends": _cur("lineItem/UsageEndDate", "line_item_usage_end_date"),
        "amount": _cur("lineItem/UnblendedCost", "line_item_unblended_cost"),
        "currency": _cur("lineItem/CurrencyCode", "line_item_currency_code"),
        "kind": _cur("lineItem/LineItemType", "line_item_line_item_type"),
        "month": _cur("bill/BillingPeriodStartDate", "bill_billing_period_start_date"),
        "usage": _cur("lineItem/UsageType", "line_item_usage_type"),
        "quantity": _cur("lineItem/UsageAmount", "line_item_usage_amount"),
    },
)
FOCUS = Layout(
    "FOCUS",
    {
        "resource": ("ResourceId",),
        "account": ("SubAccountId",),
        "starts": ("ChargePeriodStart",),
        "ends": ("ChargePeriodEnd",),
        "amount": ("BilledCost",),
        "currency": ("BillingCurrency",),
        "kind": ("ChargeCategory",),
        "month": ("BillingPeriodStart",),
        "usage": ("x_UsageType", "SkuMeter"),
        "quantity": ("ConsumedQuantity",),
        "machine": ("x_MachineId",),
    },
)
LAYOUTS = (CUR, FOCUS)


def layout_of(header: Sequence[str]) -> tuple[Layout, dict[str, str]]:
    """The layout that the header is one of, and our column → the file's; raises NotABill with what is missing."""
    judged = [(layout, layout.found_in(header)) for layout in LAYOUTS]
    layout, columns = max(judged, key=lambda one: sum(name in one[1] for name in NEEDED))
    if missing := [layout.names[name][0] for name in NEEDED if name not in columns]:
        raise NotABill(f"As {layout.name} it lacks: {', '.join(missing)}.", extra={"missing": missing})
    if len(set(header)) < len(header):
        raise NotABill("A column stands in it twice.")
    return layout, columns
