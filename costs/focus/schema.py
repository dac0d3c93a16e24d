"""The columns of FOCUS files with their types in Parquet."""

from __future__ import annotations

import pyarrow as pa

from costs.focus.columns import COLUMNS, INSTANT, MONEY, TEXT

_TYPES = {MONEY: pa.decimal128(18, 6), INSTANT: pa.timestamp("us", tz="UTC"), TEXT: pa.string()}

SCHEMA = pa.schema([(name, _TYPES[kind]) for name, (kind, _) in COLUMNS.items()])
