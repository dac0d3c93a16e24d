"""A bill's file, a batch of lines at a time, whatever its size: CSV, gzipped CSV or Parquet, CUR or FOCUS.

Only the columns that count are decoded. A batch is sorted out where it is read, by columns and not by rows, so that of
an account's millions of lines only those that name a machine go on to the database.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from costs.bills import formats
from costs.bills.formats import BillUnreadable, Layout, layout_of

BLOCK_BYTES = 4 * 1024 * 1024
BATCH_LINES = 64 * 1024
HEADER_BYTES = 1024 * 1024
"""A header is not longer than this."""

AMOUNT = pa.decimal128(38, 18)
"""More places than a bill has: AWS gives up to ten."""
FLOAT_AMOUNT = pa.decimal128(38, 10)
"""What a bill in binary floating point means: ten places, as the same bill in text has."""

_NO_AMOUNT = Decimal(0)


@dataclass
class Lines:
    """A batch sorted out: `machine` lines to book, and what the others come to.

    `machine` has the columns resource, account, starts, ends, part, amount, quantity. `others` name no machine,
    `elsewhere` stand on accounts that are not the organization's. Amounts are as in the file.
    """

    count: int
    machine: pa.Table
    others: int
    others_amount: Decimal
    elsewhere: int
    tax_amount: Decimal
    accounts: set[str]
    months: set[date]
    currencies: set[str]


class BillFile:
    """A file that was recognized; raises BillUnreadable and NotABill as soon as it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            start = file.read(4)
        self._is_parquet = start == b"PAR1"
        self._is_gzip = start[:2] == b"\x1f\x8b"
        self.layout: Layout
        self.layout, self._columns = layout_of(self._header())

    @property
    def names_machines(self) -> bool:
        """Whether lines may name a machine by our own id."""
        return "machine" in self._columns

    def lines(self, accounts: frozenset[str]) -> Iterator[Lines]:
        """The file's lines, in batches; `accounts` are the organization's. Raises BillUnreadable."""
        own = pa.array(sorted(accounts), pa.string())
        done = 0
        try:
            for batch in self._batches():
                lines = _sorted_out(batch, own)
                done += lines.count
                yield lines
        except (pa.ArrowException, EOFError, gzip.BadGzipFile, UnicodeDecodeError, OSError) as error:
            raise BillUnreadable(f"After line {done}: {_sentence(error)}") from error

    def _header(self) -> list[str]:
        try:
            if self._is_parquet:
                with pq.ParquetFile(self._path) as file:
                    return list(file.schema_arrow.names)
            with self._path.open("rb") as raw:
                unzipped = gzip.GzipFile(fileobj=raw) if self._is_gzip else raw
                text = unzipped.read(HEADER_BYTES).decode("utf-8-sig", errors="replace")  # the end may cut a letter
            return next(csv.reader(io.StringIO(text, newline="")), [])
        except (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error) as error:
            raise BillUnreadable(_sentence(error)) from error

    def _batches(self) -> Iterator[pa.Table]:
        """Batches under our own names; a column that the file has not is null."""
        wanted = list(self._columns.values())
        if self._is_parquet:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(batch_size=BATCH_LINES, columns=wanted):
                    yield self._named(pa.Table.from_batches([batch]))
            return
        compression = "gzip" if self._is_gzip else None
        with pa.input_stream(str(self._path), compression=compression) as stream:
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
            for batch in reader:
                yield self._named(pa.Table.from_batches([batch]))

    def _named(self, table: pa.Table) -> pa.Table:
        named = {ours: table.column(theirs) for ours, theirs in self._columns.items()}
        nothing = pa.nulls(table.num_rows, pa.string())
        return pa.table({**dict.fromkeys(formats.OPTIONAL, nothing), **named})


def _sorted_out(batch: pa.Table, own: pa.Array) -> Lines:
    amount = _amounts(batch["amount"])
    account = pc.cast(batch["account"], pa.string())
    is_tax = pc.fill_null(pc.equal(pc.cast(batch["kind"], pa.string()), formats.TAX), False)
    is_own = pc.fill_null(pc.is_in(account, value_set=own), False)
    resource = _resources(batch)
    names_one = pc.and_(pc.is_valid(resource), pc.and_(is_own, pc.invert(is_tax)))
    others = pc.and_(is_own, pc.and_(pc.is_null(resource), pc.invert(is_tax)))
    machine = pa.table(
        {
            "resource": resource,
            "account": account,
            "starts": batch["starts"],
            "ends": batch["ends"],
            "usage": batch["usage"],
            "amount": amount,
            "quantity": batch["quantity"],
        }
    ).filter(names_one)
    currencies = pc.unique(batch["currency"].filter(names_one)).to_pylist()
    return Lines(
        count=batch.num_rows,
        machine=_typed(machine),
        others=pc.sum(others).as_py() or 0,
        others_amount=_sum(amount.filter(others)),
        elsewhere=batch.num_rows - (pc.sum(is_own).as_py() or 0),
        tax_amount=_sum(amount.filter(pc.and_(is_own, is_tax))),
        accounts=set(pc.unique(account.filter(is_own)).to_pylist()),
        months={_month(at) for at in _instants(pc.unique(batch["month"]), "the billing period").to_pylist()},
        currencies={str(currency) for currency in currencies},
    )


def _typed(machine: pa.Table) -> pa.Table:
    """The columns that the database takes: instants, the part that the usage type says, quantities of transfer."""
    usage = pc.fill_null(pc.cast(machine["usage"], pa.string()), "")
    is_transfer = pc.match_substring_regex(usage, formats.TRANSFER_PATTERN)
    is_storage = pc.match_substring_regex(usage, formats.STORAGE_PATTERN)
    part = pc.if_else(is_transfer, formats.TRANSFER, pc.if_else(is_storage, formats.STORAGE, formats.COMPUTE))
    quantity = pc.if_else(is_transfer, machine["quantity"], pa.scalar(None, machine["quantity"].type))
    return pa.table(
        {
            "resource": machine["resource"],
            "account": machine["account"],
            "starts": _instants(machine["starts"], "the start of a line"),
            "ends": _instants(machine["ends"], "the end of a line"),
            "part": part,
            "amount": machine["amount"],
            "quantity": pc.fill_null(_amounts(quantity, may_miss=True), _NO_AMOUNT),
        }
    )


def _resources(batch: pa.Table) -> pa.ChunkedArray:
    """The machine that each line names: our own id where the file has it, else a WorkSpace's, else null."""
    resource = pc.cast(batch["resource"], pa.string())
    likely = pc.fill_null(pc.match_substring(resource, "ws-"), False)  # cheaper than the pattern, and rarely true
    if pc.any(likely).as_py():
        found = pc.struct_field(pc.extract_regex(resource, formats.MACHINE_PATTERN), "id")
        resource = pc.if_else(pc.and_(likely, pc.not_equal(pc.fill_null(found, ""), "")), found, None)
    else:
        resource = pa.chunked_array([pa.nulls(batch.num_rows, pa.string())])
    return pc.coalesce(pc.cast(batch["machine"], pa.string()), resource)


def _amounts(column: Any, *, may_miss: bool = False) -> Any:
    if not may_miss and column.null_count:
        raise BillUnreadable("A line has no amount.")
    try:
        if pa.types.is_floating(column.type):
            if not pc.all(pc.is_finite(column), skip_nulls=True).as_py():
                raise BillUnreadable("An amount is not a number.")
            column = pc.cast(column, FLOAT_AMOUNT)
        amounts = pc.cast(column, AMOUNT)
        largest = pc.max(pc.abs(amounts)).as_py()
    except pa.ArrowException as error:
        raise BillUnreadable(f"An amount is not one: {_sentence(error)}") from error
    if largest is not None and largest >= formats.MOST:
        raise BillUnreadable(f"An amount is {formats.MOST} or more.")
    return amounts


def _instants(column: Any, what: str) -> Any:
    """As microseconds in UTC; text without a zone is UTC."""
    if column.null_count:
        raise BillUnreadable(f"A line does not say {what}.")
    wanted = pa.timestamp("us", tz="UTC")
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            return pc.assume_timezone(pc.cast(column, pa.timestamp("us")), "UTC")
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            has_zone = pc.match_substring_regex(column, r"(Z|[+-]\d\d:?\d\d)$")
            if not pc.all(has_zone).as_py():
                return pc.assume_timezone(pc.cast(column, pa.timestamp("us")), "UTC")
        return pc.cast(column, wanted)
    except pa.ArrowException as error:
        raise BillUnreadable(f"{what} is no instant: {_sentence(error)}") from error


def _month(at: datetime) -> date:
    return at.date().replace(day=1)


def _sum(amounts: Any) -> Decimal:
    return pc.sum(amounts).as_py() or _NO_AMOUNT


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
