"""What a bill leaves when a later one names a machine no more: what is right by then, not what was right before."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from costs.bills import importing, restoring, services
from costs.bills.models import Bill, BilledMachine, BillLine
from costs.bills.services import BillUnderWay
from costs.metering import meter
from costs.models import CostRecord, CostRevision, MeterMark
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.budgets.threads import together
from tests.costs.bills.sheets import APRIL, LAUNCHED, MARCH, as_csv, fee, line
from tests.costs.books import own_price, rerated
from tests.costs.meters import assert_sums_agree, reach, total
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
LATER = datetime(2026, 4, 3, tzinfo=UTC)


def as_metered(machine):
    """The lines of a bill that says of each hour what our own records say."""
    records = CostRecord.objects.filter(workspace=machine, period_start__lt=APRIL)
    return [line(machine, record.total_cost, at=record.period_start) for record in records]


def figures(*machines):
    names = ("period_start", "basis", "price_id", "running_seconds", "billed_hours", "compute_cost", "total_cost")
    rows = [CostRecord.objects.filter(workspace=machine).order_by("period_start") for machine in machines]
    return [list(records.values_list(*names)) for records in rows]


@pytest.fixture
def drop(give, tmp_path):
    """`drop()` imports a bill of March that names none of the fleet."""
    return lambda: give(as_csv(tmp_path / "none.csv", [line("ws-nobody", "1")]))


def test_hours_that_a_bill_confirmed_to_the_millionth_are_still_known_as_metered(fleet, give, drop, tmp_path):
    (machine,) = fleet(1)
    metered, before = total(machine), figures(machine)
    give(as_csv(tmp_path / "1.csv", as_metered(machine)))
    assert set(CostRecord.objects.values_list("basis", flat=True)) == {"BILLED"}
    give(as_csv(tmp_path / "2.csv", [fee(machine, "100")]))
    third = give(as_csv(tmp_path / "3.csv", [fee(machine, "90")]))
    assert third["drift"][0]["metered_cost"] == metered
    drop()
    assert figures(machine) == before
    assert_sums_agree()


def test_hours_that_were_estimated_are_so_again_where_the_bill_said_the_same(
    fleet, give, drop, account, tmp_path, settings
):
    settings.FORGE_PRICE_STALE_DAYS = 90
    own_price(account.organization, MARCH, as_of=date(2025, 1, 1))
    (machine,) = fleet(1)
    before = figures(machine)
    assert {row[1] for row in before[0]} == {"ESTIMATED"}
    give(as_csv(tmp_path / "1.csv", as_metered(machine)))
    drop()
    assert figures(machine) == before
    assert_sums_agree()


def test_a_price_corrected_meanwhile_holds_for_what_is_metered_again(fleet, give, drop, account, tmp_path):
    own_price(account.organization, MARCH)
    (machine,) = fleet(1)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100")]))
    made = own_price(account.organization, MARCH, hourly_amount=Decimal("0.40"), now=LATER)
    rerated(now=LATER)
    assert total(machine) == 100
    drop()
    assert set(CostRecord.objects.values_list("price_id", flat=True)) == {made.pk}
    assert total(machine) == Decimal("4.629032")  # 10 h at 0.40, and 48 of 744 hours of 9.75
    assert_sums_agree()


def test_a_late_end_holds_for_what_is_metered_again(fleet, give, drop, tmp_path):
    machine, twin = fleet(2)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100")]))
    for one in (machine, twin):  # known late, of the month that was billed
        reach(one, LAUNCHED + timedelta(hours=20, minutes=10), "TERMINATED")
    meter(now=LATER)
    assert total(machine) == 100
    drop()
    meter(now=LATER + timedelta(hours=1))
    assert figures(machine) == figures(twin)
    assert_sums_agree()


def test_a_dry_run_of_a_bill_that_was_cut_off_takes_nothing_of_it_away(fleet, give, tmp_path, monkeypatch):
    (machine,) = fleet(1)
    path = as_csv(tmp_path / "1.csv", [fee(machine, "100")])

    def cut_off(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(importing, "restore_next", cut_off)
        with pytest.raises(KeyboardInterrupt):
            give(path)
    with pytest.raises(BillUnderWay):
        give(path, dry_run=True)
    assert Bill.objects.get().state == "BOOKING"
    assert BilledMachine.objects.get().billed_cost == 100
    assert give(path)["drift"][0]["billed_cost"] == 100


def test_late_states_of_a_machine_that_has_ended_after_the_month_hold_for_what_is_metered_again(
    fleet, give, drop, tmp_path
):
    machine, twin = fleet(2, stopped=APRIL - timedelta(hours=5))
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100")]))
    for one in (machine, twin):  # it had run on until the second of April, as is known only now, and has ended since
        WorkSpace.objects.filter(pk=one.pk).update(state="AVAILABLE")
        reach(WorkSpace.objects.get(pk=one.pk), APRIL - timedelta(hours=3), "AVAILABLE")
        meter(now=LATER)
        reach(WorkSpace.objects.get(pk=one.pk), APRIL + timedelta(hours=30.5), "TERMINATED")
    meter(now=LATER)
    marks = list(MeterMark.objects.order_by("workspace_id").values("workspace_id", "next_due_at", "dirty_from"))
    drop()
    meter(now=LATER + timedelta(hours=1))
    assert figures(machine) == figures(twin)
    assert list(MeterMark.objects.order_by("workspace_id").values("workspace_id", "next_due_at", "dirty_from")) == marks
    assert not CostRevision.objects.filter(period_start__gte=APRIL).exists()  # owed once, not again and taken back
    assert_sums_agree()


def test_drift_of_a_bill_that_takes_another_s_place_is_from_the_corrected_price(fleet, give, account, tmp_path):
    own_price(account.organization, MARCH)
    machine, other = fleet(2)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100"), fee(other, "100")]))
    own_price(account.organization, MARCH, hourly_amount=Decimal("0.40"), now=LATER)
    rerated(now=LATER)
    second = give(as_csv(tmp_path / "2.csv", [fee(machine, "90"), fee(other, "90")]))
    assert second["drift"][0]["metered_cost"] == 2 * Decimal("4.629032")
    assert {total(one) for one in (machine, other)} == {90}
    assert_sums_agree()
    again = give(as_csv(tmp_path / "3.csv", [fee(machine, "80"), fee(other, "80")]))
    assert again["drift"][0]["metered_cost"] == 2 * Decimal("4.629032")


def test_an_import_that_is_cut_off_while_it_puts_back_comes_to_the_same(fleet, give, account, tmp_path, monkeypatch):
    own_price(account.organization, MARCH)
    machine, gone = fleet(2)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100"), fee(gone, "100")]))
    own_price(account.organization, MARCH, hourly_amount=Decimal("0.40"), now=LATER)
    rerated(now=LATER)
    path = as_csv(tmp_path / "2.csv", [fee(machine, "90")])

    def cut_off(*_):
        raise KeyboardInterrupt

    for name in ("_catch_up", "_rerate"):
        with monkeypatch.context() as patched:
            patched.setattr(restoring, name, cut_off)
            with pytest.raises(KeyboardInterrupt):
                give(path)
    given = give(path)
    assert given["drift"][0]["metered_cost"] == Decimal("4.629032")
    assert (total(machine), total(gone)) == (90, Decimal("4.629032"))
    assert_sums_agree()


def test_what_a_command_has_left_goes_on_as_an_operation_and_lets_an_upload_in(
    fleet, give, account, tmp_path, monkeypatch
):
    machine, gone = fleet(2)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100"), fee(gone, "100")]))
    own_price(account.organization, MARCH, hourly_amount=Decimal("0.40"), now=LATER)
    rerated(now=LATER)

    def cut_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_rerate", cut_off)
        with pytest.raises(KeyboardInterrupt):
            give(as_csv(tmp_path / "2.csv", [fee(machine, "90")]))
    left = Bill.objects.get(state="BOOKING")
    assert services.hand_over(now=left.updated_at + timedelta(minutes=59)) == 0
    now = left.updated_at + timedelta(minutes=61)
    assert sum(together(lambda _: services.hand_over(now=now), range(4))) == 1
    operation = Operation.objects.get(kind="costs.import_bill")
    assert not operation.cancellable
    while run_one(now=now):
        pass
    operation.refresh_from_db()
    left.refresh_from_db()
    assert (operation.status, left.state) == ("succeeded", "BOOKED"), operation.error
    assert (total(machine), total(gone)) == (90, Decimal("4.629032"))
    assert services.hand_over(now=now + timedelta(days=1)) == 0
    assert_sums_agree()


def test_what_a_command_has_left_without_its_lines_fails_and_says_so(fleet, give, tmp_path, monkeypatch):
    (machine,) = fleet(1)

    def cut_off(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(importing, "book_next", cut_off)
        with pytest.raises(KeyboardInterrupt):
            give(as_csv(tmp_path / "1.csv", [fee(machine, "100")]))
    BillLine.objects.all().delete()
    left = Bill.objects.get()
    now = left.updated_at + timedelta(hours=2)
    services.hand_over(now=now)
    while run_one(now=now):
        pass
    left.refresh_from_db()
    assert left.state == "FAILED"
    assert "give it again" in left.error


def test_a_late_end_that_was_put_back_is_not_owed_again_by_the_next_bills(fleet, give, drop, tmp_path):
    machine, twin = fleet(2)
    give(as_csv(tmp_path / "1.csv", [fee(machine, "100")]))
    for one in (machine, twin):
        reach(one, LAUNCHED + timedelta(hours=20, minutes=10), "TERMINATED")
    drop()
    for number in range(1, 4):
        meter(now=LATER + timedelta(hours=number))
        assert figures(machine) == figures(twin)
        give(as_csv(tmp_path / f"nobody{number}.csv", [line(f"ws-nobody{number}", "1")]))
    assert_sums_agree()
