"""Bills as the tests write them: lines of CUR with what they do not say filled in, as CSV, gzipped CSV or Parquet."""

import csv
import gzip
import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
LAUNCHED = MARCH.replace(day=30)
"""When the machines of these tests were: 48 records of March."""
ACCOUNT = "123456789012"
HEADER = (
    "line_item_resource_id", "line_item_usage_account_id", "line_item_usage_start_date", "line_item_usage_end_date",
    "line_item_unblended_cost", "line_item_currency_code", "line_item_line_item_type", "bill_billing_period_start_date",
    "line_item_usage_type", "line_item_usage_amount",
)  # fmt: skip
LEGACY = (
    "lineItem/ResourceId", "lineItem/UsageAccountId", "lineItem/UsageStartDate", "lineItem/UsageEndDate",
    "lineItem/UnblendedCost", "lineItem/CurrencyCode", "lineItem/LineItemType", "bill/BillingPeriodStartDate",
    "lineItem/UsageType", "lineItem/UsageAmount",
)  # fmt: skip


def instant(at):
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def line(
    resource, amount, *, at=MARCH, hours=1, kind="Usage", usage="AW-HW-2-AutoStop-Usage", account=ACCOUNT, month=MARCH,
    currency="USD", quantity="1",
):  # fmt: skip
    """A line of a machine; `resource` is a WorkSpace's id or a machine, whose ARN stands in it then."""
    name = getattr(resource, "provider_id", resource)
    arn = f"arn:aws:workspaces:us-east-1:{account}:workspace/{name}" if name.startswith("ws-") else name
    end = at + timedelta(hours=hours)
    return [arn, account, instant(at), instant(end), str(amount), currency, kind, instant(month), usage, str(quantity)]


def fee(resource, amount, **facts):
    """A line for the whole of March."""
    return line(resource, amount, **{"hours": 744, "usage": "AW-HW-2-AutoStop-User", **facts})


def text(rows, header=HEADER):
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def as_csv(path, rows, header=HEADER):
    path.write_bytes(text(rows, header))
    return path


def as_gzip(path, rows, header=HEADER):
    path.write_bytes(gzip.compress(text(rows, header)))
    return path


def as_parquet(path, rows, header=HEADER, *, floats=False):
    """As AWS writes it: instants without a zone, amounts in binary floating point with `floats`."""
    columns = list(zip(*rows, strict=True))
    arrays = {}
    for name, values in zip(header, columns, strict=True):
        if name.endswith("_date"):
            arrays[name] = pa.array([datetime.fromisoformat(one).replace(tzinfo=None) for one in values])
        elif name.endswith(("_cost", "_amount")):
            arrays[name] = pa.array([float(one) for one in values]) if floats else pa.array(values)
        else:
            arrays[name] = pa.array([one or None for one in values])
    pq.write_table(pa.table(arrays), path)
    return path
