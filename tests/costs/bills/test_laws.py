"""Whatever a bill says, a machine's month is its sum to the millionth, and all sums agree; bills replace each other."""

import os
import tempfile
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs.models import CostRecord
from tests.costs.bills.sheets import LAUNCHED, MARCH, as_csv, line
from tests.costs.meters import assert_sums_agree
from tests.plugins.scale import count

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
EXAMPLES = count(300, 6, soak=os.environ.get("FORGE_SOAK", "0"))
MILLIONTH = Decimal("0.000001")

amounts = st.decimals(min_value=Decimal(-30), max_value=Decimal(90), places=10, allow_nan=False)
hourly = st.tuples(amounts, st.integers(0, 60), st.just(1))
longer = st.tuples(amounts, st.integers(0, 47), st.sampled_from([2, 24, 744]))
lines_of_machine = st.lists(
    st.tuples(st.one_of(hourly, longer), st.sampled_from(["AutoStop-Usage", "UserVolume", "DataTransfer-Out"])),
    min_size=1, max_size=12,
)  # fmt: skip


def test_sums_hold_for_any_lines_of_any_machines(fleet, give):
    machines = fleet(2)
    serial = numbers()

    @settings(max_examples=EXAMPLES)
    @given(st.lists(lines_of_machine, min_size=2, max_size=2))
    def check(lists):
        rows, expected, plain = [], [], []
        for machine, lines in zip(machines, lists, strict=True):
            for (amount, hour, hours), usage in lines:
                rows.append(line(machine, amount, at=LAUNCHED + timedelta(hours=hour), hours=hours, usage=usage))
            total = sum(amount for (amount, _, _), _ in lines)
            expected.append(max(Decimal(0), total).quantize(MILLIONTH, ROUND_HALF_UP))
            plain.append(all(amount >= 0 for (amount, _, _), _ in lines))
        with tempfile.TemporaryDirectory() as folder:
            told = [line("", "0", at=MARCH, usage=f"example {next(serial)}")]  # no two files are the same
            figures = give(as_csv(Path(folder) / "bill.csv", [*rows, *told]))
        for machine, total, lines, is_plain in zip(machines, expected, lists, plain, strict=True):
            records = {record.period_start: record for record in CostRecord.objects.filter(workspace=machine)}
            march = {hour: record for hour, record in records.items() if hour < MARCH + timedelta(days=31)}
            assert sum(record.total_cost for record in march.values()) == total
            assert {record.basis for record in march.values()} == {"BILLED"}
            if is_plain:
                check_hours(march, lines)
        assert sum(row["billed_cost"] for row in figures["drift"]) == sum(expected)
        assert_sums_agree()

    check()


def check_hours(records, lines):
    """An hour holds at least what lines of that hour say, but for the rounding of the running total."""
    for hour, record in records.items():
        own = sum(
            amount for (amount, start, hours), _ in lines if hours == 1 and LAUNCHED + timedelta(hours=start) == hour
        )
        assert record.total_cost >= own - 3 * MILLIONTH
