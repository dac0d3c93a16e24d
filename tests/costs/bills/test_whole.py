"""Whose machines a bill may change, and what becomes of one that is cut off anywhere."""

from datetime import timedelta
from decimal import Decimal

import pytest

from audit.actors import Actor
from audit.models import AuditLog
from costs.bills import booking, importing, services, staging
from costs.bills.formats import BillRefused
from costs.bills.models import Bill, BilledMachine, BillGap, BillLine
from costs.metering import meter
from costs.models import CostRecord, MeterMark
from forge.db.models import ArchivedMonth
from tests import factories
from tests.costs.bills.fixtures import NOW
from tests.costs.bills.sheets import ACCOUNT, APRIL, LAUNCHED, MARCH, as_csv, fee, instant, line
from tests.costs.meters import assert_sums_agree, total
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_machines_of_another_organization_in_the_same_account_are_counted_and_left(fleet, give, account, tmp_path):
    (ours,) = fleet(1, prefix="a")
    other = factories.ProviderAccountFactory(account=account.account, region="us-west-2")
    theirs = factories.WorkSpaceFactory(
        organization=other.organization, provider_account=other, provider_id="ws-theirs", region="us-east-1",
        history=[(LAUNCHED, "PENDING"), (LAUNCHED, "AVAILABLE")],
    )  # fmt: skip
    meter(now=APRIL)
    before = total(theirs)
    elsewhere = line("ws-far", "3", account="999999999999")
    given = give(as_csv(tmp_path / "b.csv", [fee(ours, "10"), fee(theirs, "20"), elsewhere]))
    assert (given["elsewhere_lines"], given["machine_lines"]) == (2, 1)
    assert (total(ours), total(theirs)) == (10, before)
    assert not BillGap.objects.exists()
    assert not CostRecord.objects.filter(workspace=theirs, basis="BILLED").exists()


def test_a_machine_that_is_not_metered_to_the_month_s_end_waits_as_a_gap(fleet, give, account, tmp_path):
    (ready,) = fleet(1)
    late = factories.WorkSpaceFactory(
        organization=account.organization, provider_account=account, provider_id="ws-late",
        history=[(LAUNCHED, "PENDING"), (LAUNCHED, "AVAILABLE")],
    )  # fmt: skip
    unused = factories.WorkSpaceFactory(
        organization=account.organization, provider_account=account, provider_id="ws-unused",
        history=[(LAUNCHED, "PENDING"), (LAUNCHED, "FAILED")],
    )  # fmt: skip
    meter_one(unused)
    give(as_csv(tmp_path / "b.csv", [fee(ready, "10"), fee(late, "20"), fee(unused, "5")]))
    assert set(BillGap.objects.values_list("resource", "reason", "amount")) == {
        ("ws-late", "NOT_METERED", 20), ("ws-unused", "NO_RECORDS", 5),
    }  # fmt: skip
    assert total(ready) == 10


def meter_one(machine):
    machine.__class__.objects.filter(pk=machine.pk).update(launched_at=None)
    MeterMark.objects.filter(workspace=machine).update(next_due_at=None, dirty_from=None)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([fee("ws-1", "1", account="999999999999")], "bill_of_nobody"),
        ([fee("ws-1", "1"), fee("ws-1", "1", month=APRIL)], "bill_of_several_months"),
        ([fee("ws-1", "1", month=APRIL, at=APRIL)], "bill_not_closed"),
        ([fee("ws-1", "1", currency="EUR")], "bill_in_other_currency"),
        ([fee("ws-1", "1", month=MARCH.replace(year=2019), at=MARCH)], "bill_too_old"),
        ([line("ws-1", "1")] * 11, "bill_too_long"),
    ],
)
def test_a_bill_that_cannot_be_booked_is_refused_and_leaves_no_line(give, account, tmp_path, settings, rows, code):
    settings.FORGE_BILL_MOST_LINES = 10
    ArchivedMonth.objects.create(
        table="costs_costrecord", month=MARCH.replace(year=2019).date(), partition="p", detached_at=MARCH
    )
    with pytest.raises(BillRefused) as refused:
        give(as_csv(tmp_path / "b.csv", rows))
    assert refused.value.code == code
    assert (Bill.objects.get().state, BillLine.objects.count()) == ("FAILED", 0)


CUTS = [
    (staging, "_copy", 0), (staging, "_count", 0), (booking, "change", 1), (booking, "lock_scopes", 1),
    (booking, "_execute", 2), (services, "finish", 0), (services, "record", 0),
]  # fmt: skip
"""Where an import is cut off: the function, and at which of its calls."""


def test_an_import_that_is_cut_off_anywhere_goes_on_to_the_same_end(fleet, give, tmp_path, monkeypatch):
    machines = fleet(3)
    lines = [line(m, "0.1234567", at=LAUNCHED + timedelta(hours=n)) for m in machines for n in range(5)]
    path = as_csv(tmp_path / "b.csv", [*lines, *(fee(m, "7.25") for m in machines), fee("ws-none", "1")])
    monkeypatch.setattr(booking, "CHUNK", 1)
    for module, name, at in CUTS:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, cut_at(getattr(module, name), at))
            with pytest.raises(KeyboardInterrupt):
                give(path)
    give(path)
    bill = Bill.objects.get()
    assert (bill.state, bill.settled_lines, bill.machine_lines) == ("BOOKED", 19, 19)
    assert {total(machine) for machine in machines} == {Decimal("7.867284")}  # 5 times 0.1234567 and 7.25
    assert_sums_agree()


def cut_at(real, at):
    left = [at]

    def cut(*args, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(*args, **options)

    return cut


def test_staged_lines_that_are_lost_are_read_again(fleet, give, tmp_path, monkeypatch):
    machines = fleet(2)
    path = as_csv(tmp_path / "b.csv", [fee(machine, "10") for machine in machines])
    real, lost = staging.stage, []

    def stage(**options):
        real(**options)
        if not lost:  # as a crash of the server empties the table that is not logged
            lost.append(BillLine.objects.all().delete())

    monkeypatch.setattr(staging, "stage", stage)
    assert give(path)["state"] == "BOOKED"
    assert [total(machine) for machine in machines] == [10, 10]


def test_a_command_that_did_not_come_back_is_put_out_after_an_hour(fleet, give, account, tmp_path):
    (machine,) = fleet(1)
    left = Bill.objects.create(organization=account.organization, name="left", size=1, sha256="0" * 64)
    with pytest.raises(services.BillUnderWay):
        give(as_csv(tmp_path / "1.csv", [fee(machine, "10")]))
    Bill.objects.filter(pk=left.pk).update(updated_at=MARCH)
    assert give(as_csv(tmp_path / "1.csv", [fee(machine, "10")]))["state"] == "BOOKED"
    assert Bill.objects.get(pk=left.pk).error == "abandoned: Its command did not come back."


def test_what_a_command_left_half_booked_is_booked_by_the_next_one(fleet, give, tmp_path, monkeypatch):
    machines = fleet(2)
    monkeypatch.setattr(booking, "CHUNK", 1)
    with monkeypatch.context() as patched:
        patched.setattr(booking, "change", cut_at(booking.change, 1))
        with pytest.raises(KeyboardInterrupt):
            give(as_csv(tmp_path / "1.csv", [fee(machine, "10") for machine in machines]))
    left, other = Bill.objects.get(), as_csv(tmp_path / "2.csv", [fee(machines[0], "30")])
    with pytest.raises(services.BillUnderWay):
        give(other)
    Bill.objects.filter(pk=left.pk).update(updated_at=MARCH)
    assert give(other)["state"] == "BOOKED"
    left.refresh_from_db()
    assert (left.state, left.settled_lines, left.replaced_at is not None) == ("BOOKED", 2, True)
    assert BilledMachine.objects.filter(bill=left).count() == 2
    assert_sums_agree()


def test_what_a_command_left_and_a_crash_took_is_given_up(fleet, give, tmp_path, monkeypatch):
    (machine,) = fleet(1)
    with monkeypatch.context() as patched:
        patched.setattr(booking, "change", cut_at(booking.change, 0))
        with pytest.raises(KeyboardInterrupt):
            give(as_csv(tmp_path / "1.csv", [fee(machine, "10")]))
    left = Bill.objects.get()
    BillLine.objects.all().delete()
    Bill.objects.filter(pk=left.pk).update(updated_at=MARCH)
    assert give(as_csv(tmp_path / "2.csv", [fee(machine, "30")]))["state"] == "BOOKED"
    left.refresh_from_db()
    assert (left.state, left.error[:9], total(machine)) == ("FAILED", "abandoned", 30)


def test_two_commands_with_the_same_file_at_once_book_each_machine_once(fleet, give, tmp_path, monkeypatch):
    machines = fleet(2)
    path = as_csv(tmp_path / "b.csv", [fee(machine, "10") for machine in machines])
    monkeypatch.setattr(booking, "CHUNK", 1)
    real, begun = booking._known, []

    def known(bill, resources):
        found = real(bill, resources)
        if not begun:  # the other one is quicker with the first machine
            begun.append(True)
            cause = services.cause_of(bill, Actor.command("import_bill"))
            booking.book_next(bill=bill, cause=cause, now=NOW, fence=lambda: None, progress=booking.Progress())
        return found

    monkeypatch.setattr(booking, "_known", known)
    assert give(path)["state"] == "BOOKED"
    assert [total(machine) for machine in machines] == [10, 10]
    assert Bill.objects.get().settled_lines == 2


def test_a_command_that_another_one_overtook_ends_nothing_twice(fleet, give, tmp_path, monkeypatch):
    (machine,) = fleet(1)
    path = as_csv(tmp_path / "b.csv", [fee(machine, "10")])
    real, begun = importing.restore_next, []

    def restore_next(**options):
        if not begun:  # the other one, with the same file, comes to its end first
            begun.append(True)
            assert give(path)["state"] == "BOOKED"
        return real(**options)

    monkeypatch.setattr(importing, "restore_next", restore_next)
    with pytest.raises(services.BillUnderWay):
        give(path)
    assert total(machine) == 10
    assert AuditLog.objects.filter(action_type="BILL_IMPORT").count() == 1


def test_a_dry_run_that_was_cut_off_is_neither_joined_nor_booked(fleet, give, tmp_path, monkeypatch):
    (machine,) = fleet(1)
    path = as_csv(tmp_path / "b.csv", [fee(machine, "10")])
    before = total(machine)
    with monkeypatch.context() as patched:
        patched.setattr(booking, "change", cut_at(booking.change, 0))
        patched.setattr(staging, "forget", cut_at(staging.forget, 0))
        with pytest.raises(KeyboardInterrupt):
            give(path, dry_run=True)
    with pytest.raises(services.BillUnderWay):
        give(path)
    Bill.objects.update(updated_at=MARCH)
    give(as_csv(tmp_path / "c.csv", [fee("ws-none", "1")]))
    assert total(machine) == before
    assert set(Bill.objects.values_list("state", flat=True)) == {"FAILED", "BOOKED"}


def test_a_machine_that_is_named_by_both_ids_has_all_its_lines(fleet, give, tmp_path):
    by_both, by_ours = fleet(2)
    header = (*HEADER_OF_FOCUS, "x_MachineId")
    rows = [
        focus_line(by_both.provider_id, "10", ""), focus_line(by_both.provider_id, "5", str(by_both.pk)),
        focus_line("", "7", str(by_ours.pk)),
    ]  # fmt: skip
    given = give(as_csv(tmp_path / "focus.csv", rows, header))
    assert (given["gaps"], given["machine_lines"]) == ([], 3)
    assert (total(by_both), total(by_ours)) == (15, 7)


@pytest.fixture
def taken_over(fleet, account):
    """A machine that ran from LAUNCHED to STOPPED here, and on as another row's a day later; both rows, older first."""
    (before,) = fleet(1)
    ended, again = LAUNCHED + timedelta(hours=11), LAUNCHED + timedelta(days=1)
    WorkSpace.objects.filter(pk=before.pk).update(state="TERMINATED", terminated_at=ended)
    after = factories.WorkSpaceFactory(
        organization=account.organization, provider_account=account, provider_id=before.provider_id,
        history=[(again, "PENDING"), (again, "AVAILABLE"), (again + timedelta(hours=5), "STOPPED")],
    )  # fmt: skip
    meter(now=APRIL)
    return before, after


def test_a_line_of_a_machine_that_two_rows_have_had_is_that_row_s_of_its_time(taken_over, give, tmp_path):
    before, after = taken_over
    rows = [
        line(before, "2", at=LAUNCHED), line(before, "3", at=LAUNCHED + timedelta(hours=12)),
        line(before, "5", at=LAUNCHED + timedelta(days=1)), fee(before, "7"),
    ]  # fmt: skip
    given = give(as_csv(tmp_path / "b.csv", rows))
    assert (given["gaps"], given["machine_lines"]) == ([], 4)
    assert (total(before), total(after)) == (2 + 3 + Decimal("2.2"), 5 + Decimal("4.8"))  # 11 and 24 hours of the fee
    assert set(CostRecord.objects.filter(period_start__lt=APRIL).values_list("basis", flat=True)) == {"BILLED"}
    assert_sums_agree()
    give(as_csv(tmp_path / "again.csv", rows[:2]))
    assert (total(before), total(after)) == (5, 0)
    assert_sums_agree()
    give(as_csv(tmp_path / "none.csv", [line("ws-stranger", "1")]))
    assert set(CostRecord.objects.values_list("basis", flat=True)) == {"METERED"}


@pytest.mark.parametrize("mode", ["ALWAYS_ON", "AUTO_STOP"])
def test_a_month_s_fee_of_a_machine_that_was_adopted_anew_is_counted_once(give, account, tmp_path, mode):
    """The row that had ended owes the rest of its month until the bill says what the machine's month did cost."""
    facts = {"provider_account": account, "provider_id": "ws-000000007", "running_mode": mode}
    ended, again = MARCH + timedelta(days=9), MARCH + timedelta(days=10)
    before = factories.WorkSpaceFactory(
        organization=account.organization, history=[(MARCH, "PENDING"), (MARCH, "AVAILABLE"), (ended, "TERMINATED")],
        **facts,
    )  # fmt: skip
    after = factories.WorkSpaceFactory(
        organization=account.organization, history=[(again, "PENDING"), (again, "STOPPED")], launched_at=again, **facts
    )
    meter(now=APRIL)
    given = give(as_csv(tmp_path / "b.csv", [fee(before, "33"), line(before, "-3", hours=744, kind="Credit")]))
    assert (given["gaps"], given["not_billed"]["machines"]) == ([], 0)
    assert total(before) + total(after) == 30
    assert total(before) == round(Decimal(30) * 9 / 30, 6)  # 216 hours of 720
    assert_sums_agree()


def test_what_cannot_be_booked_of_two_rows_is_told_by_the_id_of_aws(taken_over, give, tmp_path):
    before, after = taken_over
    MeterMark.objects.filter(workspace=after).update(next_due_at=LAUNCHED)
    metered = total(before)
    give(as_csv(tmp_path / "b.csv", [line(before, "2", at=LAUNCHED), fee(before, "7")]))
    gap = BillGap.objects.get()
    assert (gap.resource, gap.reason, gap.lines, gap.amount) == (before.provider_id, "NOT_METERED", 2, 9)
    assert total(before) == metered


def test_a_line_that_says_which_of_two_rows_it_means_is_believed(taken_over, give, tmp_path):
    before, after = taken_over
    header = (*HEADER_OF_FOCUS, "x_MachineId")
    rows = [
        focus_line(before.provider_id, "10", ""), focus_line(before.provider_id, "5", str(before.pk)),
        focus_line("", "7", str(after.pk)),
    ]  # fmt: skip
    given = give(as_csv(tmp_path / "focus.csv", rows, header))
    assert (given["gaps"], given["machine_lines"]) == ([], 3)
    share = round(Decimal(10) * 11 / 35, 6)  # of the line that does not say it: 11 and 24 hours
    assert (total(before), total(after)) == (5 + share, 7 + 10 - share)


@pytest.mark.parametrize("ours_is_older", [True, False])
def test_a_machine_that_another_organization_had_before_or_after_is_ours_on_our_bill(
    fleet, give, account, tmp_path, ours_is_older
):
    elsewhere = factories.ProviderAccountFactory(account=account.account, region="us-west-2")
    ended = [(LAUNCHED, "PENDING"), (LAUNCHED, "AVAILABLE"), (LAUNCHED, "TERMINATED")]

    def theirs():
        factories.WorkSpaceFactory(
            organization=elsewhere.organization, provider_account=elsewhere, provider_id="ws-000000000", history=ended
        )

    if not ours_is_older:
        theirs()
    (ours,) = fleet(1)
    if ours_is_older:
        theirs()
    given = give(as_csv(tmp_path / "b.csv", [fee(ours, "10")]))
    assert (given["elsewhere_lines"], given["gaps"], total(ours)) == (0, [], 10)


HEADER_OF_FOCUS = (
    "ResourceId", "SubAccountId", "ChargePeriodStart", "ChargePeriodEnd", "BilledCost", "BillingCurrency",
    "ChargeCategory", "BillingPeriodStart",
)  # fmt: skip


def focus_line(resource, amount, own_id):
    start, end = instant(MARCH), instant(APRIL)
    return [resource, ACCOUNT, start, end, amount, "USD", "Usage", start, own_id]


@pytest.mark.soak
def test_a_hundred_thousand_lines_and_more(fleet, give, tmp_path, scale):
    machines = fleet(20)
    count = scale(400_000, 100_000)
    rows = (
        line(machines[n % 20], "0.0001", at=LAUNCHED + timedelta(hours=n % 48)) if n % 3 == 0 else line(f"i-{n}", "1")
        for n in range(count)
    )
    given = give(as_csv(tmp_path / "b.csv", rows))
    own = len(range(0, count, 3))
    assert (given["lines"], given["machine_lines"], given["other_lines"]) == (count, own, count - own)
    assert sum(total(machine) for machine in machines) == given["machine_amount"]
    assert_sums_agree()
