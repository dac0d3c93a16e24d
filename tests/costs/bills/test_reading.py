"""A bill's file is read the same in every form that the provider writes, and what is none is told."""

from decimal import Decimal

import pyarrow as pa
import pytest

from costs.bills.formats import BillUnreadable, NotABill
from costs.bills.reading import BillFile
from tests.costs.bills.sheets import ACCOUNT, HEADER, LEGACY, MARCH, as_csv, as_gzip, as_parquet, fee, line

OURS = frozenset([ACCOUNT])
ROWS = [
    line("ws-000000001", "0.1700000000"),
    line("ws-000000001", "1.5E-7", usage="USE1-DataTransfer-Out-Bytes", quantity="2.25"),
    fee("ws-000000002", "7.25"),
    line("i-123", "4"),
    line("", "2", kind="Credit"),
    line("ws-000000001", "3", kind="Tax"),
    line("ws-000000009", "9", account="999999999999"),
]


def read(path, accounts=OURS):
    return list(BillFile(path).lines(accounts))


@pytest.mark.parametrize("header", [HEADER, LEGACY])
@pytest.mark.parametrize("write", [as_csv, as_gzip])
def test_csv_and_gzipped_csv_in_both_spellings(tmp_path, write, header):
    check(read(write(tmp_path / "bill", ROWS, header)))


@pytest.mark.parametrize("floats", [True, False])
def test_parquet_with_amounts_as_floating_point_or_as_text(tmp_path, floats):
    check(read(as_parquet(tmp_path / "bill", ROWS, floats=floats)))


def check(batches):
    (lines,) = batches
    assert (lines.count, lines.others, lines.elsewhere) == (7, 2, 1)
    assert (lines.others_amount, lines.tax_amount) == (6, 3)
    assert (lines.months, lines.currencies, lines.accounts) == ({MARCH.date()}, {"USD"}, {ACCOUNT})
    rows = lines.machine.to_pylist()
    assert [row["resource"] for row in rows] == ["ws-000000001", "ws-000000001", "ws-000000002"]
    assert [row["amount"] for row in rows] == [Decimal("0.17"), Decimal("0.00000015"), Decimal("7.25")]
    assert [row["part"] for row in rows] == [0, 2, 0]
    assert [row["quantity"] for row in rows] == [0, Decimal("2.25"), 0]
    assert {row["starts"] for row in rows} == {MARCH}


def test_values_with_line_ends_and_quotes_are_read_as_they_are(tmp_path):
    rows = [[*line("ws-000000001", "1"), 'a "note"\nin two lines'], [*line("ws-000000002", "2"), ""]]
    (lines,) = read(as_csv(tmp_path / "bill", rows, (*HEADER, "product_note")))
    assert lines.machine["amount"].to_pylist() == [1, 2]


def test_many_lines_come_in_batches(tmp_path, scale):
    count = scale(1_000_000, 70_000)
    path = as_csv(tmp_path / "bill", (line(f"ws-{number:09d}", "1") for number in range(count)))
    before = pa.total_allocated_bytes()
    batches = seen = most = 0
    for lines in BillFile(path).lines(OURS):
        batches, seen = batches + 1, seen + lines.machine.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert (batches > 2, seen) == (True, count)
    assert most < 128 * 1024 * 1024


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [(4, "a lot", "An amount"), (4, "", "no amount"), (4, "1,000", "An amount"), (2, "yesterday", "no instant"),
     (2, "", "start of a line"), (7, "", "billing period"), (3, "2026-13-01T00:00:00Z", "no instant")],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_told(tmp_path, field, value, fault):
    row = line("ws-000000001", "1")
    row[field] = value
    with pytest.raises(BillUnreadable, match=fault):
        read(as_csv(tmp_path / "bill", [line("ws-000000002", "1"), row]))


def test_files_that_are_none_are_told(tmp_path):
    without = [row[1:] for row in ROWS]
    with pytest.raises(NotABill, match="line_item_resource_id"):
        BillFile(as_csv(tmp_path / "1", without, HEADER[1:]))
    with pytest.raises(NotABill, match="twice"):
        BillFile(as_csv(tmp_path / "2", [[*row, "1"] for row in ROWS], (*HEADER, HEADER[0])))
    cut = as_gzip(tmp_path / "3", [line(f"ws-{n:09d}", "1", usage=f"{n * 7919 % 999983}") for n in range(30_000)])
    cut.write_bytes(cut.read_bytes()[:-2000])
    with pytest.raises(BillUnreadable):
        read(cut)
    uneven = as_csv(tmp_path / "4", [line("ws-000000001", "1"), ["too", "few"]])
    with pytest.raises(BillUnreadable):
        read(uneven)
