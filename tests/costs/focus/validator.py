"""Holds a FOCUS file, CSV or Parquet, against the specification's columns and rules; knows nothing of the exporter."""

import csv
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

FOLDER = Path(__file__).parent
NUMBER = re.compile(r"-?\d+(\.\d+)?(E-?\d+)?")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
CURRENCY = re.compile(r"[A-Z]{3}")
UNIT_PRICES = {
    "ContractedUnitPrice": "ContractedCost",
    "ListUnitPrice": "ListCost",
    "PricingCurrencyContractedUnitPrice": None,
    "PricingCurrencyListUnitPrice": None,
}


def specification():
    with (FOLDER / "columns.csv").open(newline="") as file:
        return {row["column"]: row for row in csv.DictReader(file)}


@cache
def _parents():
    with (FOLDER / "service_categories.csv").open(newline="") as file:
        return {row["subcategory"]: row["category"] for row in csv.DictReader(file)}


def rows_of(path):
    """The header and the rows as text, None for null, as a reader without knowledge of the columns' types has them."""
    if path.read_bytes()[:4] == b"PAR1":
        table = pq.read_table(path)
        return table.column_names, [{name: _as_text(value) for name, value in row.items()} for row in table.to_pylist()]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        return reader.fieldnames, [{name: value or None for name, value in row.items()} for row in reader]


def _as_text(value):
    match value:
        case datetime():
            assert value.utcoffset() is not None, "an instant without a zone"
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case Decimal():
            return format(value, "f")
    return value


def faults(path):
    """What the file does wrong, each said once with the first line that does; [] = it conforms."""
    spec = specification()
    header, rows = rows_of(path)
    found = dict.fromkeys(_of_header(header, spec), 0)
    skus = {}
    for number, row in enumerate(rows, start=2):
        for text in [*_of_columns(row, spec), *_of_row(row), *_of_sku(row, skus)]:
            found.setdefault(text, number)
    return [f"line {number}: {text}" for text, number in found.items()]


def _of_header(header, spec):
    known = [name for name in header if name in spec]
    custom = [name for name in header if name not in spec]
    for name, row in spec.items():
        if row["level"] == "Mandatory" and name not in header:
            yield f"{name} is missing"
    for name in custom:
        if not name.startswith("x_"):
            yield f"{name} is neither a column of FOCUS nor begins with x_"
    for name in header:
        if not re.fullmatch(r"(x_)?[A-Z][A-Za-z0-9]{0,49}", name):
            yield f"{name} is not in Pascal case"
    if header != [*known, *custom]:
        yield "custom columns stand among those of FOCUS"
    if len(set(header)) < len(header):
        yield "a column stands twice"


def _of_columns(row, spec):
    for name, rule in spec.items():
        if name not in row:
            continue
        value = row[name]
        if value is None:
            if _must_not_be_null(rule["null"], row):
                yield f"{name} is null"
            continue
        if _must_be_null(rule["null"], row):
            yield f"{name} is not null"
        if not value.strip():
            yield f"{name} is blank"
        yield from _of_value(name, rule, value)


def _of_value(name, rule, value):
    match rule["type"]:
        case "Decimal" if not NUMBER.fullmatch(value):
            yield f"{name} is no number: {value}"
        case "Date/Time" if not INSTANT.fullmatch(value):
            yield f"{name} is no instant: {value}"
        case "Currency" if not CURRENCY.fullmatch(value):
            yield f"{name} is no currency: {value}"
        case "JSON":
            yield from _of_json(name, value)
    allowed = rule["allowed"]
    if allowed and not allowed.startswith("(") and value not in allowed.split("|"):
        yield f"{name} is none of the allowed values: {value}"


def _of_json(name, value):
    pairs = []
    try:
        parsed = json.loads(value, object_pairs_hook=lambda found: pairs.append(found) or dict(found))
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        yield f"{name} is no JSON object"
        return
    if any(isinstance(one, dict | list) for one in parsed.values()):
        yield f"{name} holds more than scalars"
    if any(len({key for key, _ in found}) < len(found) for found in pairs):
        yield f"{name} has a key twice"


def _must_not_be_null(rule, row):
    category, corrects = row.get("ChargeCategory"), row.get("ChargeClass") == "Correction"
    match rule.rsplit(" ", 1):
        case ["never"]:
            return True
        case ["pricing"]:
            return category in ("Usage", "Purchase") and not corrects
        case ["consumption"]:
            return category == "Usage" and not corrects and row.get("CommitmentDiscountStatus") != "Unused"
        case ["with", other]:
            return row.get(other) is not None
        case ["of usage with", other]:
            return row.get(other) is not None and category == "Usage"
    return False


def _must_be_null(rule, row):
    category = row.get("ChargeCategory")
    match rule.rsplit(" ", 1):
        case ["pricing"]:
            return category == "Tax"
        case ["consumption"]:
            return category != "Usage" or row.get("CommitmentDiscountStatus") == "Unused"
        case ["with" | "only with" | "of usage with", other]:
            return row.get(other) is None
    return False


def _of_row(row):
    quantity = _number(row, "PricingQuantity")
    for name, cost in UNIT_PRICES.items():
        price = _number(row, name)
        if price is None:
            continue
        if price < 0:
            yield f"{name} is negative"
        if cost and quantity is not None and row.get("ChargeClass") is None and price * quantity != _number(row, cost):
            yield f"{name} times PricingQuantity is not {cost}"
    if row.get("ChargeCategory") == "Purchase" and row.get("ChargeFrequency") == "Usage-Based":
        yield "a purchase is Usage-Based"
    for name in ("BillingPeriod", "ChargePeriod"):
        if row[f"{name}Start"] >= row[f"{name}End"]:
            yield f"{name} ends before it starts"
    if row["ChargePeriodStart"] < row["BillingPeriodStart"] or row["ChargePeriodEnd"] > row["BillingPeriodEnd"]:
        yield "the charge period lies beyond the billing period"
    if row.get("ResourceName") is not None and row["ResourceName"] == row.get("ResourceId"):
        yield "ResourceName is ResourceId"
    parents = _parents()
    if row["ServiceCategory"] not in parents.values():
        yield f"ServiceCategory is none of the allowed values: {row['ServiceCategory']}"
    if "ServiceSubcategory" in row and parents.get(row["ServiceSubcategory"]) != row["ServiceCategory"]:
        yield f"{row['ServiceSubcategory']} does not belong to {row['ServiceCategory']}"


def _of_sku(row, skus):
    price, sku = row.get("SkuPriceId"), row.get("SkuId")
    if price is not None and skus.setdefault(price, sku) != sku:
        yield "a SkuPriceId has two SkuIds"


def _number(row, name):
    return None if row.get(name) is None or not NUMBER.fullmatch(row[name]) else Decimal(row[name])
