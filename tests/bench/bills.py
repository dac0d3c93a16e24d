"""`cur_import_vs_copy`: a month's bill from the file to billed records, over COPY of the same file.

The file is a payer's CUR as it is: of its lines only some are of machines, a line per machine and running hour and one
for its monthly fee; the others are of other services. Ours reads it, finds the machines, turns every record of their
month into what the bill says, keeps what they were, and moves daily sums, machines and budgets. Two versions of the
month take turns, so that each import changes all records again.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

from django.db import connection

from audit.actors import Actor
from costs.bills.importing import import_file
from costs.bills.models import Bill
from costs.metering import meter
from forge.accounts.models import Organization
from forge.db.ids import uuid7
from tests.bench import fleet as fleets
from tests.bench.bare import bill as bare
from tests.bench.fleet import Fleet
from tests.bench.measure import Benchmark, Run, Sides, UnequalWork, of_size
from tests.bench.rows import timed
from workspaces.models import WorkSpace

MACHINES = {"tiny": 5, "quick": 40, "full": 1_000}
OTHERS = {"tiny": 1_000, "quick": 73_560, "full": 1_839_000}
"""Lines of other services: with those of the machines 80,000 and 2,000,000."""
HOURS = 160
"""Running hours of a machine in the month: a line each."""
ACCOUNT = "123456789012"

COLUMNS = (
    "identity_line_item_id", "identity_time_interval", "bill_invoice_id", "bill_billing_entity", "bill_bill_type",
    "bill_payer_account_id", "bill_billing_period_start_date", "bill_billing_period_end_date",
    "line_item_usage_account_id", "line_item_line_item_type", "line_item_usage_start_date", "line_item_usage_end_date",
    "line_item_product_code", "line_item_usage_type", "line_item_operation", "line_item_availability_zone",
    "line_item_resource_id", "line_item_usage_amount", "line_item_currency_code", "line_item_unblended_rate",
    "line_item_unblended_cost", "line_item_blended_rate", "line_item_blended_cost", "line_item_line_item_description",
    "line_item_tax_type", "product_product_name", "product_location", "product_region", "product_sku",
    "product_servicecode", "product_servicename", "pricing_lease_contract_length", "pricing_purchase_option",
    "pricing_public_on_demand_cost", "pricing_public_on_demand_rate", "pricing_term", "pricing_unit",
    "reservation_reservation_a_r_n", "savings_plan_savings_plan_a_r_n", "resource_tags_user_cost_center",
)  # fmt: skip

_TOTALS = """
    SELECT (SELECT sum(total_cost) FROM costs_costrecord), (SELECT sum(total_cost) FROM costs_dailycost),
           (SELECT sum(cost_to_date) FROM workspaces_workspace),
           (SELECT sum(spent) FROM budgets_budget WHERE scope = 'TEAM'),
           (SELECT sum(spent) FROM budgets_budget WHERE scope = 'ORGANIZATION')
"""
_BILLED = "SELECT count(*), count(*) FILTER (WHERE basis = 'BILLED'), sum(total_cost) FROM costs_costrecord"


class Month:
    """A fleet's month, metered to its end, and two versions of its bill."""

    def __init__(self, fleet: Fleet, others: int, folder: Path) -> None:
        self.fleet, self.others = fleet, others
        self.end = (fleet.began_at + timedelta(days=32)).replace(day=1)
        self.now = self.end + timedelta(days=2)
        meter(now=self.end)
        self.organization = Organization.objects.get(pk=fleet.organization_id)
        self.amounts = {
            folder / "1.csv": (Decimal("0.1700000000"), Decimal("7.2500000000")),
            folder / "2.csv": (Decimal("0.1800000000"), Decimal("7.3000000000")),
        }
        for path, amounts in self.amounts.items():
            self._write(path, *amounts)
        self._turns = cycle(self.amounts)
        self.last: Path | None = None
        bare.make_table(COLUMNS)
        fleets.settle_down()

    @property
    def lines(self) -> int:
        return self.fleet.count * (HOURS + 1) + self.others

    def mine(self) -> Run:
        """Import the other version by the product."""
        self.last = path = next(self._turns)
        for bill in Bill.objects.all():  # what was imported once would be known, and change nothing
            Bill.objects.filter(pk=bill.pk).update(sha256=uuid7().hex * 2)
        actor = Actor.command("bench").in_organization(self.organization.id)

        def work() -> int:
            return import_file(actor=actor, organization=self.organization, path=path, now=self.now)["lines"]

        return _plain(timed(work))

    def bare(self) -> Run:
        """Copy the version that was imported last."""
        bare.empty()
        path = self.last or next(iter(self.amounts))
        return _plain(timed(lambda: bare.copy(path)))

    def verify(self) -> dict[str, Any]:
        """Every record is what the bill says, and all sums agree."""
        with connection.cursor() as cursor:
            cursor.execute(_TOTALS)
            totals = set(cursor.fetchone())
            cursor.execute(_BILLED)
            records, billed, total = cursor.fetchone()
        hourly, fee = self.amounts[self.last]  # type: ignore[index]
        expected = self.fleet.count * (HOURS * hourly + fee)
        if len(totals) > 1 or total != expected or records != billed:
            raise UnequalWork(f"{billed} of {records} records billed; is {total}, should be {expected}; {totals}")
        return {
            "machines": self.fleet.count,
            "records": records,
            "lines": self.lines,
            "machine_lines": self.fleet.count * (HOURS + 1),
        }

    def _write(self, path: Path, hourly: Decimal, fee: Decimal) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            machines = list(WorkSpace.objects.order_by("id").values_list("provider_id", flat=True))
            between = self.others // max(1, len(machines) * (HOURS + 1))
            written = 0
            for hour in range(HOURS):
                at = self.fleet.began_at + timedelta(hours=hour + 1)
                for name in machines:
                    writer.writerow(self._line(_arn(name), hourly, at, at + timedelta(hours=1), "AutoStop-Usage"))
                    writer.writerows(self._other(written + n) for n in range(between))
                    written += between
            for name in machines:
                writer.writerow(self._line(_arn(name), fee, self.fleet.began_at, self.end, "AutoStop-User"))
            writer.writerows(self._other(n) for n in range(written, self.others))

    def _other(self, number: int) -> list[Any]:
        at = self.fleet.began_at + timedelta(hours=number % 700)
        return self._line(
            f"i-{number % 5000:017x}", Decimal("0.0416"), at, at + timedelta(hours=1), "BoxUsage:t3.medium"
        )

    def _line(self, resource: str, cost: Decimal, start: datetime, end: datetime, usage: str) -> list[Any]:
        first, last = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (start, end))
        month, month_end = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (self.fleet.began_at, self.end))
        return [
            "qk3pzp7l5kz4f6q2mtz7m3v5xeo2qj6sgcb4kqy5n6xg7hq2ma", f"{first}/{last}", "1234567890", "AWS", "Anniversary",
            ACCOUNT, month, month_end, ACCOUNT, "Usage", first, last, "AmazonWorkSpaces", f"AW-HW-2-{usage}",
            "RunInstances", "us-east-1a", resource, "1.0000000000", "USD", cost, cost, cost, cost,
            "$ per hour-Hourly Plus-Standard-2vCPU,4GB Memory,80GB Root,50GB User", "", "Amazon WorkSpaces",
            "US East (N. Virginia)", "us-east-1", "ABCDEFGH12345678", "AmazonWorkSpaces", "Amazon WorkSpaces", "", "",
            cost, cost, "OnDemand", "Hour", "", "", "r-100",
        ]  # fmt: skip


def _plain(run: Run) -> Run:
    """Without the rows written: the sides write other tables, and what ours must have written is verified."""
    return Run(run.seconds, run.work)


def _arn(name: str) -> str:
    return f"arn:aws:workspaces:us-east-1:{ACCOUNT}:workspace/{name}"


@contextlib.contextmanager
def prepare(size: str) -> Iterator[Sides]:
    """A metered fleet and its bill, imported once."""
    with tempfile.TemporaryDirectory(prefix="bench-bill-") as folder:
        month = Month(fleets.build(of_size(size, MACHINES)), of_size(size, OTHERS), Path(folder))
        month.mine()
        yield Sides(mine=month.mine, bare=month.bare, verify=month.verify)


BENCHMARK = Benchmark(name="cur_import_vs_copy", goal=0.4, prepare=prepare, is_rate=True)
