"""What a bill does to records, sums, machines and budgets."""

from datetime import timedelta
from decimal import Decimal

import pytest

from costs.bills.formats import BillRefused
from costs.bills.models import Bill, BilledMachine, BillGap, BillLine
from costs.metering import meter
from costs.models import CostRecord, CostRevision, DailyCost
from tests.costs import spending
from tests.costs.bills.sheets import LAUNCHED, MARCH, as_csv, fee, line
from tests.costs.meters import assert_sums_agree, total
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def hours(machine):
    return {
        record.period_start: record
        for record in CostRecord.objects.filter(workspace=machine, period_start__lt=MARCH + timedelta(days=31))
    }


def test_a_machine_s_month_becomes_what_the_bill_says_to_the_millionth(fleet, give, tmp_path):
    (machine,) = fleet(1)
    lines = [line(machine, "0.1712345678", at=LAUNCHED + timedelta(hours=n)) for n in range(10)]
    given = give(as_csv(tmp_path / "b.csv", [*lines, fee(machine, "7.25")]))

    assert total(machine) == Decimal("8.962346")  # ten times 0.1712345678 + 7.25, rounded once
    assert set(CostRecord.objects.values_list("basis", flat=True)) == {"BILLED"}
    assert_sums_agree()
    assert given["state"] == "BOOKED"
    assert not BillLine.objects.exists()


def test_an_hour_s_line_stands_in_its_hour_and_a_month_s_is_spread_over_the_machine_s_hours(fleet, give, tmp_path):
    (machine,) = fleet(1)
    give(as_csv(tmp_path / "b.csv", [line(machine, "3", at=LAUNCHED + timedelta(hours=4)), fee(machine, "7.2")]))
    records = hours(machine)
    assert len(records) == 48
    assert records[LAUNCHED + timedelta(hours=4)].compute_cost == Decimal("3.15")
    assert records[LAUNCHED + timedelta(hours=5)].compute_cost == Decimal("0.15")


def test_parts_of_a_machine_s_cost_come_from_the_usage_type(fleet, give, tmp_path):
    (machine,) = fleet(1)
    lines = [
        line(machine, "1", at=LAUNCHED),
        line(machine, "2", at=LAUNCHED, usage="USE1-AW-UserVolume"),
        line(machine, "4", at=LAUNCHED, usage="USE1-DataTransfer-Out-Bytes", quantity="2.5"),
    ]
    give(as_csv(tmp_path / "b.csv", lines))
    record = hours(machine)[LAUNCHED]
    assert (record.compute_cost, record.storage_cost, record.data_transfer_cost) == (1, 2, 4)
    assert record.data_transfer_gb == Decimal("2.5")
    assert record.total_cost == 7


def test_credits_lower_all_charges_of_the_month_and_tax_is_told_but_not_booked(fleet, give, tmp_path):
    (machine,) = fleet(1)
    lines = [
        line(machine, "6", at=LAUNCHED), line(machine, "2", at=LAUNCHED, usage="AW-UserVolume"),
        line(machine, "-4", kind="Credit", hours=744), line(machine, "1.5", kind="Tax"),
    ]  # fmt: skip
    given = give(as_csv(tmp_path / "b.csv", lines))
    record = hours(machine)[LAUNCHED]
    assert (record.compute_cost, record.storage_cost) == (3, 1)
    assert (given["tax_amount"], given["machine_amount"]) == (Decimal("1.5"), 4)


def test_credits_beyond_the_charges_are_a_gap(fleet, give, tmp_path):
    (machine,) = fleet(1)
    give(as_csv(tmp_path / "b.csv", [line(machine, "6", at=LAUNCHED), line(machine, "-10", kind="Refund")]))
    assert total(machine) == 0
    gap = BillGap.objects.get()
    assert (gap.reason, gap.amount, gap.lines) == ("CREDIT", -4, 1)
    assert_sums_agree()


def test_a_line_whose_hour_has_no_record_is_spread_over_the_month(fleet, give, tmp_path):
    (machine,) = fleet(1)
    give(as_csv(tmp_path / "b.csv", [line(machine, "7.2", at=MARCH)]))  # it was launched on the 30th
    assert {record.total_cost for record in hours(machine).values()} == {Decimal("0.15")}


def test_what_was_metered_is_kept_and_budgets_get_the_difference(fleet, give, tmp_path):
    (machine,) = fleet(1)
    before, billed_before = total(machine), sum(DailyCost.objects.values_list("billed_hours", flat=True))
    spending.collected.clear()
    give(as_csv(tmp_path / "b.csv", [fee(machine, "100")]))
    assert sum(amount for _, _, amount in spending.collected) == 100 - before
    kept = CostRevision.objects.filter(workspace=machine)
    assert kept.count() == 48
    assert sum(one.old_total_cost for one in kept) == before
    assert {(one.old_basis, one.new_basis) for one in kept} == {("METERED", "BILLED")}
    assert WorkSpace.objects.get(pk=machine.pk).cost_to_date == 100
    assert set(DailyCost.objects.values_list("basis", flat=True)) == {"BILLED"}
    assert sum(DailyCost.objects.values_list("billed_hours", flat=True)) == billed_before


def test_drift_per_bundle_and_what_is_matched_neither_way(fleet, give, account, tmp_path):
    one, two = fleet(2)
    metered = total(one)
    given = give(
        as_csv(tmp_path / "b.csv", [fee(one, "10"), fee("ws-stranger1", "5"), line("i-1", "9"), line("", "1")])
    )
    (row,) = given["drift"]
    assert (row["bundle_type"], row["machines"], row["metered_cost"]) == ("STANDARD", 1, metered)
    assert (row["billed_cost"], row["drift"]) == (10, 10 - metered)
    assert row["drift_percent"] == round(100 * (10 - metered) / metered, 2)
    assert given["not_billed"] == {"machines": 1, "metered_cost": total(two)}
    assert [(gap["reason"], gap["lines"], gap["amount"]) for gap in given["gaps"]] == [("UNKNOWN", 1, 5)]
    assert (given["other_lines"], given["other_amount"]) == (2, 10)
    assert CostRecord.objects.filter(workspace=two, basis="METERED").exists()
    assert BilledMachine.objects.get(workspace=two).billed_cost is None


def test_the_same_file_again_changes_nothing(fleet, give, tmp_path):
    machines = fleet(2)
    path = as_csv(tmp_path / "b.csv", [fee(machine, "10") for machine in machines])
    first = give(path)
    before = list(CostRecord.objects.order_by("id").values_list()), CostRevision.objects.count()
    again = give(path)
    assert (again["is_known"], again["changed_records"], again["bill"]) == (True, 0, first["bill"])
    assert (list(CostRecord.objects.order_by("id").values_list()), CostRevision.objects.count()) == before
    assert Bill.objects.count() == 1


def test_a_newer_bill_of_the_month_replaces_the_older_and_drift_is_from_what_was_metered(fleet, give, tmp_path):
    one, two = fleet(2)
    metered = total(one), total(two)
    older = give(as_csv(tmp_path / "1.csv", [fee(one, "10"), fee(two, "20")]))
    newer = give(as_csv(tmp_path / "2.csv", [fee(one, "11.5")]))
    assert total(one) == Decimal("11.5")
    assert newer["drift"][0]["metered_cost"] == metered[0]
    assert total(two) == metered[1]  # named no more: metered again
    assert set(CostRecord.objects.filter(workspace=two).values_list("basis", flat=True)) == {"METERED"}
    assert newer["not_billed"]["machines"] == 1
    assert Bill.objects.get(pk=older["bill"]).replaced_at is not None
    assert_sums_agree()


def test_a_dry_run_tells_the_same_and_leaves_nothing(fleet, give, tmp_path):
    machines = fleet(3)
    path = as_csv(tmp_path / "b.csv", [*(fee(machine, "10") for machine in machines), fee("ws-none", "1")])
    before = list(CostRecord.objects.order_by("id").values_list()), list(DailyCost.objects.order_by("id").values_list())
    tried = give(path, dry_run=True)
    after = list(CostRecord.objects.order_by("id").values_list()), list(DailyCost.objects.order_by("id").values_list())
    assert before == after
    assert not Bill.objects.exists()
    assert not BillLine.objects.exists()
    done = give(path)
    for name in ("drift", "gaps", "changed_records", "lines", "machine_amount"):
        assert tried[name] == done[name], name


@pytest.mark.parametrize("amounts", [["1e12"], ["-1000000000000"], ["6e11", "6e11"]])
def test_a_bill_of_more_than_a_record_can_hold_is_refused_and_stands_in_nobodys_way(fleet, give, tmp_path, amounts):
    machines = fleet(2)
    before = [total(machine) for machine in machines]
    rows = [fee(machine, f"{Decimal(amount):f}") for machine, amount in zip(machines, amounts, strict=False)]
    with pytest.raises(BillRefused):
        give(as_csv(tmp_path / "b.csv", rows))
    assert Bill.objects.get().state == "FAILED"
    assert [total(machine) for machine in machines] == before
    assert give(as_csv(tmp_path / "c.csv", [fee(machines[0], "10")]))["state"] == "BOOKED"


def test_metering_does_not_touch_what_was_billed(fleet, give, tmp_path):
    (machine,) = fleet(1)
    give(as_csv(tmp_path / "b.csv", [fee(machine, "10")]))
    before = list(CostRecord.objects.filter(basis="BILLED").order_by("id").values_list())
    WorkSpace.objects.filter(pk=machine.pk).update(
        state="TERMINATED", state_since=MARCH.replace(day=31), terminated_at=MARCH.replace(day=31)
    )  # known late
    meter(now=MARCH + timedelta(days=33))
    assert list(CostRecord.objects.filter(basis="BILLED").order_by("id").values_list()) == before
    assert_sums_agree()
