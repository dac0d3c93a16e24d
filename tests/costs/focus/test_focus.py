"""Our FOCUS files conform to the specification, and importing one gives the same money."""

import csv
import threading
from datetime import date, datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from psycopg.pq import TransactionStatus

from audit.actors import Actor
from audit.models import AuditLog
from costs.focus import rows, services
from costs.focus.writing import FORMATS
from costs.models import CostRecord, DailyCost, Price
from tests.costs.bills.sheets import LAUNCHED, as_csv, fee, line
from tests.costs.focus.validator import faults, rows_of, specification
from tests.costs.meters import assert_sums_agree
from workspaces.models import WorkSpace

DAYS = (date(2026, 3, 1), date(2026, 5, 1))

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def mixed(fleet):
    """Machines of both running modes and several bundles, one with storage beyond what is included, one with tags."""
    fleet(1, prefix="a", tags={"cost-center": "r-100", "x": 'ä, "q"'})
    fleet(1, prefix="b", bundle_type="POWER", running_mode="ALWAYS_ON")
    Price.objects.filter(bundle_type="PERFORMANCE").update(storage_gb_month_amount=Decimal("0.1"))
    fleet(1, prefix="c", bundle_type="PERFORMANCE", user_volume_gb=500, name="=HYPERLINK(1)")


def export(account, path, form):
    call_command(
        "export_focus", f"--organization={account.organization.slug}", "--month=2026-03", f"--to={path}",
        f"--format={form}",
    )  # fmt: skip
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_the_export_conforms_to_the_specification_and_holds_every_record(mixed, account, tmp_path, form):
    path = export(account, tmp_path / "out", form)
    assert faults(path) == []
    header, rows = rows_of(path)
    assert set(specification()) <= set(header)
    within = CostRecord.objects.filter(period_start__lt=LAUNCHED.replace(month=4, day=1))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == sum(record.total_cost for record in within)
    assert {(row["x_MachineId"], row["ChargePeriodStart"]) for row in rows} == {
        (str(record.workspace_id), f"{record.period_start:%Y-%m-%dT%H:%M:%SZ}") for record in within
    }
    assert {"Running hours", "Machine fee", "Storage"} == {row["SkuMeter"] for row in rows}
    names = {row["ResourceName"] for row in rows}
    assert ("'=HYPERLINK(1)" if form == "focus-csv" else "=HYPERLINK(1)") in names


@pytest.mark.parametrize("form", FORMATS)
def test_its_import_back_gives_the_same_totals_to_the_record(mixed, account, give, tmp_path, form):
    figures = ("workspace_id", "period_start", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost")
    before = list(CostRecord.objects.order_by("workspace_id", "period_start").values_list(*figures))
    days = {(row.day, row.bundle_type): row.total_cost for row in DailyCost.objects.all()}
    given = give(export(account, tmp_path / "out", form))
    assert (given["format"], given["gaps"], given["not_billed"]["machines"]) == ("FOCUS", [], 0)
    assert {row["drift"] for row in given["drift"]} == {0}
    assert list(CostRecord.objects.order_by("workspace_id", "period_start").values_list(*figures)) == before
    assert {(row.day, row.bundle_type): row.total_cost for row in DailyCost.objects.all()} == days
    assert CostRecord.objects.filter(basis="BILLED", period_start__month=3).count() == 3 * 48
    assert_sums_agree()


def test_billed_records_are_exported_and_imported_as_they_are(fleet, account, give, tmp_path):
    one, two = fleet(2)
    lines = [fee(one, "10"), line(one, "3", at=LAUNCHED, usage="USE1-DataTransfer-Out-Bytes", quantity="2.5")]
    give(as_csv(tmp_path / "bill.csv", [*lines, fee(two, "5")]))
    before = list(CostRecord.objects.order_by("id").values_list())
    path = export(account, tmp_path / "out", "focus-csv")
    assert faults(path) == []
    assert give(path)["changed_records"] == 0
    assert list(CostRecord.objects.order_by("id").values_list()) == before
    assert WorkSpace.objects.get(pk=one.pk).cost_to_date == 13


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("BilledCost", "", "BilledCost is null"),
        ("BilledCost", "1,5", "BilledCost is no number"),
        ("BilledCost", "+1", "BilledCost is no number"),
        ("ChargePeriodStart", "2026-03-30 00:00:00", "ChargePeriodStart is no instant"),
        ("BillingCurrency", "Dollar", "BillingCurrency is no currency"),
        ("ChargeCategory", "Fee", "ChargeCategory is none of the allowed values"),
        ("ChargeCategory", "Tax", "PricingQuantity is not null"),
        ("ContractedUnitPrice", "7", "ContractedUnitPrice times PricingQuantity is not ContractedCost"),
        ("ConsumedQuantity", "", "ConsumedUnit is not null"),
        ("RegionName", "", "RegionName is null"),
        ("ServiceSubcategory", "Containers in space", "does not belong to Compute"),
        ("Tags", '{"a": {"b": 1}}', "Tags holds more than scalars"),
        ("Tags", '{"a": 1, "a": 2}', "Tags has a key twice"),
        ("ChargePeriodEnd", "2026-05-01T00:00:00Z", "the charge period lies beyond the billing period"),
        ("ResourceName", "ws-a000000000", "ResourceName is ResourceId"),
    ],
)
def test_the_validator_finds_what_is_wrong(conforming, tmp_path, column, value, fault):
    header, rows = rows_of(conforming)
    rows[0][column] = value
    with (tmp_path / "bad.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    assert any(fault in text for text in faults(tmp_path / "bad.csv"))


@pytest.fixture(scope="module")
def conforming(tmp_path_factory):
    """A row that conforms, written here by hand."""
    given = {
        "BilledCost": "1.50", "BillingAccountId": "1", "BillingAccountName": "one", "BillingAccountType": "Account",
        "BillingCurrency": "USD", "BillingPeriodEnd": "2026-04-01T00:00:00Z",
        "BillingPeriodStart": "2026-03-01T00:00:00Z", "ChargeCategory": "Usage", "ChargeClass": "",
        "ChargeDescription": "an hour", "ChargeFrequency": "Usage-Based", "ChargePeriodEnd": "2026-03-30T01:00:00Z",
        "ChargePeriodStart": "2026-03-30T00:00:00Z", "ConsumedQuantity": "1", "ConsumedUnit": "Hours",
        "ContractedCost": "1.50", "ContractedUnitPrice": "1.5", "EffectiveCost": "1.50",
        "InvoiceIssuerName": "somebody", "ListCost": "1.50", "ListUnitPrice": "1.5", "PricingCategory": "Standard",
        "PricingQuantity": "1", "PricingUnit": "Hours", "ProviderName": "somebody", "PublisherName": "somebody",
        "RegionId": "r", "RegionName": "R", "ResourceId": "ws-a000000000", "ResourceName": "name",
        "ResourceType": "WorkSpace", "ServiceCategory": "Compute", "ServiceName": "desktops",
        "ServiceSubcategory": "End User Computing", "SkuId": "s", "SkuMeter": "m", "SkuPriceId": "p", "Tags": "{}",
        "x_Ours": "1",
    }  # fmt: skip
    path = tmp_path_factory.mktemp("focus") / "good.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(given))
        writer.writeheader()
        writer.writerow(given)
    assert faults(path) == []
    return path


def asked(account, form, **filters):
    """The export of the organization's records in DAYS as it is sent."""
    _, file = services.export(
        actor=Actor.command("export_focus").in_organization(account.organization_id),
        records=services.of_days(CostRecord.objects.filter(organization=account.organization, **filters), *DAYS),
        form=form,
        start=DAYS[0],
        end=DAYS[1],
        filters=filters,
    )
    return file


def costs_in(path):
    """(machine, hour) → cost, of the rows of a file."""
    costs = {}
    for row in rows_of(path)[1]:
        key = (row["x_MachineId"], datetime.fromisoformat(row["ChargePeriodStart"]))
        costs[key] = costs.get(key, 0) + Decimal(row["BilledCost"])
    return costs


@pytest.mark.parametrize("filters", [{}, {"basis": "METERED"}])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_of_one_instant_whatever_is_booked_while_it_is_read(
    fleet, account, give, tmp_path, monkeypatch, form, filters
):
    """A bill that is booked between two pages is in all of the file's figures or, as here, in none."""
    machines = fleet(2, prefix="a")
    before = {(str(one.workspace_id), one.period_start): one.total_cost for one in CostRecord.objects.all()}
    bill = as_csv(tmp_path / "bill.csv", [fee(machine, "100") for machine in machines])
    monkeypatch.setattr(rows, "PAGE", 7)
    honest, pages = rows._rows, []

    def book():
        give(bill)
        fleet(1, prefix="b")  # meters another machine of the same hours
        connections.close_all()

    def read(*args):
        pages.append(honest(*args))
        if len(pages) == 2:
            elsewhere = threading.Thread(target=book)
            elsewhere.start()
            elsewhere.join()
        return pages[-1]

    monkeypatch.setattr(rows, "_rows", read)
    with asked(account, form, **filters) as file:
        (tmp_path / "out").write_bytes(b"".join(file))
    assert CostRecord.objects.filter(basis="BILLED").count() == 2 * 48
    assert CostRecord.objects.count() == 3 * 48 + len(before) - 2 * 48
    assert len(pages) == len(before) // 7 + 1 > 3
    assert faults(tmp_path / "out") == []
    assert costs_in(tmp_path / "out") == before
    (entry,) = AuditLog.objects.filter(action_type="COST_EXPORT")
    assert entry.context["count"] == len(before)


def test_no_transaction_is_open_while_a_file_is_sent_and_nothing_stays_of_it(fleet, account, monkeypatch):
    fleet(1)
    monkeypatch.setattr(rows, "PAGE", 7)
    file = asked(account, "focus-csv")
    assert not connection.in_atomic_block
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE
    with CaptureQueriesContext(connection) as queries:
        assert len(b"".join(file)) == file.size > 0
    assert len(queries) == 0
    file.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(file))


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_takes_too_much_room_is_refused_and_leaves_no_entry(fleet, account, monkeypatch, form):
    fleet(1)
    monkeypatch.setattr(services, "SPOOLED", 100)
    with pytest.raises(services.ExportTooLarge):
        asked(account, form)
    assert not AuditLog.objects.filter(action_type="COST_EXPORT").exists()


def test_a_file_whose_entry_cannot_be_written_is_not_sent(fleet, account, monkeypatch):
    fleet(1)
    made = []
    honest = services.spooled
    monkeypatch.setattr(services, "spooled", lambda *args, **options: made.append(honest(*args, **options)) or made[0])

    def broken(**facts):
        raise ConnectionError("no audit log")

    monkeypatch.setattr(services, "record", broken)
    with pytest.raises(ConnectionError):
        asked(account, "focus-csv")
    with pytest.raises(ValueError, match="closed"):
        next(iter(made[0]))


def test_a_file_that_is_there_is_not_written_over(account, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(CommandError, match="exists"):
        export(account, tmp_path / "out", "focus-csv")
    assert (tmp_path / "out").read_text() == "precious"
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_month_without_records_is_a_file_of_its_header(account, tmp_path):
    for form in FORMATS:
        header, rows = rows_of(export(account, tmp_path / form, form))
        assert len(header) == len(specification()) + 10
        assert rows == []
