"""The columns of our FOCUS 1.2 files, in their order: all 57 of the specification, then ours with the prefix `x_`.

Each with its type (costs.focus.schema has Parquet's) and the SQL that makes it from a page of records
(costs.focus.rows): `r` the record, `w` the machine, `a` the provider account, `part` the part of the record's cost
that the row is for. A NULL column is one for which Forge has nothing to say: no commitment discounts, reservations,
availability zones, or invoices.
"""

from __future__ import annotations

from collections.abc import Mapping

MONEY, INSTANT, TEXT = "money", "instant", "text"

_PROVIDER = "CASE WHEN a.kind = 'AWS' THEN 'Amazon Web Services' ELSE 'AWS simulator' END"
_MONTH = "date_trunc('month', r.period_start AT TIME ZONE 'UTC')"
_SKU = "concat_ws('/', w.service_type, r.bundle_type, w.operating_system, r.running_mode, part.code)"
_RESOURCE = "coalesce(nullif(w.provider_id, ''), w.id::text)"
_UNIT_PRICE = "part.unit_price"


def _at(expression: str) -> str:
    """An instant without a zone, in UTC, as FOCUS writes it."""
    return f'to_char({expression}, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')'


def _free(expression: str) -> str:
    """Text that people chose; `%(safe)s` = so that no spreadsheet takes it for a formula."""
    return (
        f"CASE WHEN %(safe)s AND {expression} ~ '^[[:space:]]*[-=+@\\uFF1D\\uFF0B\\uFF0D\\uFF20]'"
        f" THEN '''' || {expression} ELSE {expression} END"
    )


COLUMNS: Mapping[str, tuple[str, str]] = {
    "AvailabilityZone": (TEXT, "NULL"),
    "BilledCost": (MONEY, "part.cost"),
    "BillingAccountId": (TEXT, "a.account"),
    "BillingAccountName": (TEXT, _free("a.name")),
    "BillingAccountType": (TEXT, "'Account'"),
    "BillingCurrency": (TEXT, "r.currency"),
    "BillingPeriodEnd": (INSTANT, _at(f"{_MONTH} + interval '1 month'")),
    "BillingPeriodStart": (INSTANT, _at(_MONTH)),
    "CapacityReservationId": (TEXT, "NULL"),
    "CapacityReservationStatus": (TEXT, "NULL"),
    "ChargeCategory": (TEXT, "'Usage'"),
    "ChargeClass": (TEXT, "NULL"),
    "ChargeDescription": (
        TEXT,
        "concat_ws(' ', r.bundle_type, w.operating_system, r.running_mode, 'in', r.region || ':', part.meter)",
    ),
    "ChargeFrequency": (TEXT, "part.frequency"),
    "ChargePeriodEnd": (INSTANT, _at("r.period_end AT TIME ZONE 'UTC'")),
    "ChargePeriodStart": (INSTANT, _at("r.period_start AT TIME ZONE 'UTC'")),
    "CommitmentDiscountCategory": (TEXT, "NULL"),
    "CommitmentDiscountId": (TEXT, "NULL"),
    "CommitmentDiscountName": (TEXT, "NULL"),
    "CommitmentDiscountQuantity": (MONEY, "NULL"),
    "CommitmentDiscountStatus": (TEXT, "NULL"),
    "CommitmentDiscountType": (TEXT, "NULL"),
    "CommitmentDiscountUnit": (TEXT, "NULL"),
    "ConsumedQuantity": (MONEY, "part.consumed"),
    "ConsumedUnit": (TEXT, "part.consumed_unit"),
    "ContractedCost": (MONEY, "part.cost"),
    "ContractedUnitPrice": (MONEY, _UNIT_PRICE),
    "EffectiveCost": (MONEY, "part.cost"),
    "InvoiceId": (TEXT, "NULL"),
    "InvoiceIssuerName": (TEXT, _PROVIDER),
    "ListCost": (MONEY, "part.cost"),
    "ListUnitPrice": (MONEY, _UNIT_PRICE),
    "PricingCategory": (TEXT, "'Standard'"),
    "PricingCurrency": (TEXT, "r.currency"),
    "PricingCurrencyContractedUnitPrice": (MONEY, _UNIT_PRICE),
    "PricingCurrencyEffectiveCost": (MONEY, "part.cost"),
    "PricingCurrencyListUnitPrice": (MONEY, _UNIT_PRICE),
    "PricingQuantity": (MONEY, "part.quantity"),
    "PricingUnit": (TEXT, "'Hours'"),
    "ProviderName": (TEXT, _PROVIDER),
    "PublisherName": (TEXT, _PROVIDER),
    "RegionId": (TEXT, "r.region"),
    "RegionName": (TEXT, "r.region"),
    "ResourceId": (TEXT, _RESOURCE),
    "ResourceName": (TEXT, _free("w.name")),
    "ResourceType": (TEXT, "CASE WHEN w.service_type = 'WORKSPACES_PERSONAL' THEN 'WorkSpace' ELSE 'User' END"),
    "ServiceCategory": (TEXT, "'Compute'"),
    "ServiceName": (
        TEXT,
        "concat('Amazon WorkSpaces', CASE WHEN w.service_type <> 'WORKSPACES_PERSONAL' THEN ' Applications' END)",
    ),
    "ServiceSubcategory": (TEXT, "'End User Computing'"),
    "SkuId": (TEXT, _SKU),
    "SkuMeter": (TEXT, "part.meter"),
    "SkuPriceDetails": (TEXT, "NULL"),
    "SkuPriceId": (TEXT, "concat_ws('/', r.price_id, part.code)"),
    "SubAccountId": (TEXT, "a.account"),
    "SubAccountName": (TEXT, _free("a.name")),
    "SubAccountType": (TEXT, "'Account'"),
    "Tags": (TEXT, "nullif(r.tags::text, '{}')"),
    "x_Basis": (TEXT, "r.basis"),
    "x_Blueprint": (TEXT, "r.blueprint_id::text"),
    "x_BundleType": (TEXT, "r.bundle_type"),
    "x_CostCenter": (TEXT, _free("nullif(r.cost_center, '')")),
    "x_MachineId": (TEXT, "w.id::text"),
    "x_OperatingSystem": (TEXT, "w.operating_system"),
    "x_Owner": (TEXT, _free("u.email")),
    "x_Project": (TEXT, "p.slug"),
    "x_RunningMode": (TEXT, "r.running_mode"),
    "x_Team": (TEXT, "t.slug"),
}
