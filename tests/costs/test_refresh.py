"""AWS's price list into the price book: from a CSV file, a JSON file and GetProducts, the same each time."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from django.core.management import CommandError, call_command

from audit.actors import Actor
from audit.models import AuditLog
from costs import aws, refreshes, tasks
from costs.models import Price
from costs.pricelist import PriceListBroken
from costs.pricelist.files import opened
from costs.services import close_price
from forge.db.models import JobRun
from forge.operations.models import Operation
from tests.factories import ProviderAccountFactory, WorkSpaceFactory
from workspaces.aws import Unavailable

pytestmark = pytest.mark.django_db

FOLDER = Path(__file__).parent / "pricelists"
CSV, JSON = FOLDER / "AmazonWorkSpaces.csv", FOLDER / "AmazonWorkSpaces.json"
APPLICATIONS = FOLDER / "AmazonAppStream.csv", FOLDER / "AmazonAppStream.json"
NOW = datetime(2026, 3, 17, 10, 20, tzinfo=UTC)
NEXT = datetime(2026, 3, 17, 11, tzinfo=UTC)
LISTED = datetime(2026, 3, 1, tzinfo=UTC)
ACTOR = Actor.command("tests")
VERSION = "AWS price list AmazonWorkSpaces, version 20260310180411, file"
COMMON = {"organization": None, "region": "us-east-1", "currency": "USD", "operating_system": "WINDOWS"}


@pytest.fixture(autouse=True)
def _no_older_book():
    """The first price book was read later than this list was published."""
    Price.objects.filter(organization=None).update(as_of=date(2026, 2, 1))


def read(path=CSV, *regions, now=NOW, **options):
    return refreshes.refresh_from_file(path, regions=set(regions or ("us-east-1",)), actor=ACTOR, now=now, **options)


def altered(tmp_path, *changes, path=CSV):
    """The file with these texts replaced by others."""
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    other = tmp_path / path.name
    other.write_text(text)
    return other


def book():
    return list(Price.objects.order_by("id").values())


def in_force(at, **kind):
    return Price.objects.in_force(at).get(**(COMMON | kind))


def short(entries):
    return [(entry["bundle_type"], entry["operating_system"], entry["running_mode"]) for entry in entries]


def told(row):
    """Everything of a row but where it stands."""
    names = ("bundle", "license", "operatingsystem", "runningmode", "storage", "regioncode", "resourcetype")
    says = [row.says(name) for name in names]
    return row.sku, row.family, row.unit, row.amount, row.currency, row.term, row.effective_at, row.last, *says


def test_what_changed_begins_with_the_next_hour_and_what_stood_is_confirmed():
    report = read()
    # The first book has no storage beyond the bundle's: the list's 0.10 makes every figure another one.
    assert short(report.changed) == [
        ("GRAPHICS_G4DN", "WINDOWS", "ALWAYS_ON"), ("POWER", "WINDOWS", "ALWAYS_ON"), ("POWER", "WINDOWS", "AUTO_STOP"),
        ("STANDARD", "LINUX", "ALWAYS_ON"), ("STANDARD", "LINUX", "AUTO_STOP"), ("STANDARD", "WINDOWS", "ALWAYS_ON"),
        ("STANDARD", "WINDOWS", "AUTO_STOP"),
    ]  # fmt: skip
    old = in_force(NOW, bundle_type="STANDARD", running_mode="AUTO_STOP")
    new = in_force(NEXT, bundle_type="STANDARD", running_mode="AUTO_STOP")
    assert (old.valid_to, new.valid_from, new.valid_to) == (NEXT, NEXT, None)
    assert (new.monthly_amount, new.hourly_amount) == (Decimal("9.75"), Decimal("0.3"))
    assert (new.storage_gb_month_amount, new.included_storage_gb) == (Decimal("0.1"), 130)
    assert (new.source, new.as_of) == (VERSION, date(2026, 3, 10))
    linux = in_force(NEXT, bundle_type="STANDARD", running_mode="AUTO_STOP", operating_system="LINUX")
    assert linux.hourly_amount == Decimal("0.26")
    entries = AuditLog.objects.values_list("action_type", "resource_id")
    assert {("PRICE_CLOSE", str(old.pk)), ("PRICE_CREATE", str(new.pk))} <= set(entries)
    assert len(entries) == 14
    before = book()
    again = read(now=NOW + timedelta(hours=2))
    assert (again.new, again.changed, again.unchanged, again.confirmed) == ([], [], 7, 0)
    assert book() == before
    assert len(AuditLog.objects.all()) == 14


def test_again_within_the_hour_in_which_prices_wait_to_begin_nothing_changes():
    read()
    before = book()
    assert read().unchanged == 7
    assert book() == before


def test_a_later_list_with_the_same_figures_is_a_reading(tmp_path):
    read()
    later = altered(tmp_path, ("2026-03-10T18:04:11Z", "2026-03-20T10:00:00Z"), ("20260310180411", "20260320100000"))
    now = datetime(2026, 3, 21, 9, 30, tzinfo=UTC)
    report = read(later, now=now)
    assert (report.unchanged, report.confirmed, report.changed) == (7, 7, [])
    price = in_force(now, bundle_type="POWER", running_mode="AUTO_STOP")
    assert (price.as_of, price.source) == (date(2026, 3, 20), VERSION.replace("20260310180411", "20260320100000"))
    assert AuditLog.objects.filter(action_type="PRICE_CONFIRM").count() == 7
    older = read(now=now)
    assert {left["reason"] for left in older.left_out} >= {"the book was read later, on 2026-03-20"}


def test_a_list_of_next_month_begins_when_it_says(tmp_path):
    read()
    ahead = altered(tmp_path, ('"2026-03-01"', '"2026-04-01"'), ("35.0000000000", "36.0000000000"))
    now = NOW + timedelta(days=1)
    (changed,) = [entry for entry in read(ahead, now=now).changed if entry["from"]["monthly"] == "35.000000"]
    assert changed["valid_from"] == "2026-04-01T00:00:00Z"
    april = datetime(2026, 4, 1, tzinfo=UTC)
    kind = {"bundle_type": "STANDARD", "running_mode": "ALWAYS_ON"}
    assert [in_force(at, **kind).monthly_amount for at in (april - timedelta(hours=1), april)] == [35, 36]
    before = book()
    assert read(ahead, now=now).changed == []
    assert book() == before
    assert "another price begins at 2026-04-01T00:00:00Z" in {left["reason"] for left in read(now=now).left_out}


def test_a_region_without_prices_gets_them_since_awss_own_date():
    report = read(CSV, "eu-west-1")
    assert short(report.new) == [("STANDARD", "WINDOWS", "ALWAYS_ON"), ("STANDARD", "WINDOWS", "AUTO_STOP")]
    price = in_force(LISTED, region="eu-west-1", bundle_type="STANDARD", running_mode="AUTO_STOP")
    assert (price.monthly_amount, price.hourly_amount, price.valid_from) == (11, Decimal("0.32"), LISTED)
    assert price.storage_gb_month_amount is None  # the list of that region does not say
    assert not Price.objects.filter(region="us-east-1", source=VERSION).exists()
    assert not Operation.objects.exists()


def test_a_price_that_had_ended_goes_on_where_it_ended_and_estimates_are_rerated():
    kind = {"bundle_type": "STANDARD", "running_mode": "AUTO_STOP"}
    ended = close_price(actor=ACTOR, price_id=in_force(NOW, **kind).pk, now=NOW - timedelta(days=5))
    WorkSpaceFactory(operating_system="WINDOWS", history=[(NOW - timedelta(days=2), "AVAILABLE")])
    read()
    assert in_force(NOW, **kind).valid_from == ended.valid_to
    operation = Operation.objects.get()
    assert (operation.kind, operation.spec["reason"].endswith(VERSION)) == ("costs.rerate", True)


def test_what_is_not_beyond_doubt_is_told_and_left():
    assert {left["reason"]: left["rows"] for left in read().left_out} == {
        "a figure of 0": 1,
        "a licence of one's own; no machine says that it has one": 2,
        "bundle Standard Plus": 1,
        "bundle Value": 1,
        "no figure by the hour: the price is not whole": 1,
        "operating system Red Hat Enterprise Linux, licence Included": 1,
        "other volumes than the bundle comes with": 1,
        "product family WorkSpaces Core": 1,
        "resource type Software": 1,
        "running mode Pool": 1,
        "several figures for the same": 1,
    }
    assert not Price.objects.filter(bundle_type="PERFORMANCE", source=VERSION).exists()


def test_storage_at_two_prices_is_told_and_what_stood_stays(tmp_path):
    report = read(altered(tmp_path, ('"0.1000000000","USD","Enterprise Applications"', '"0.1200000000","USD","Core"')))
    assert [entry["to"]["storage_gb_month"] for entry in report.changed] == [None] * 2  # not known, as before
    doubled = CSV.read_text().splitlines()
    doubled[-4] = doubled[-4].replace("0.1000000000", "0.1300000000")
    (tmp_path / "two.csv").write_text("\n".join(doubled))
    left_out = read(tmp_path / "two.csv", dry_run=True).left_out
    (doubts,) = [left for left in left_out if left["reason"].startswith("several")]
    assert any("storage in us-east-1" in place for place in doubts["first"])


def test_json_and_csv_of_the_same_list_say_the_same():
    with opened(CSV) as one, opened(JSON) as other:
        assert (one.version, one.published_at) == (other.version, other.published_at)
        assert [told(row) for row in one.rows] == [told(row) for row in other.rows]
    dry = read(JSON, dry_run=True)
    assert dry.changed == read(CSV, dry_run=True).changed


def test_a_dry_run_tells_the_same_and_writes_nothing():
    before = book()
    dry = read(dry_run=True)
    assert book() == before
    assert not AuditLog.objects.exists()
    wet = read()
    assert (dry.changed, dry.left_out) == (wet.changed, wet.left_out)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"35.0000000000"', '"35,00"', "line 7: '35,00' is no amount"),
        ('"2026-03-01","0","Inf","Month","35', '"March","0","Inf","Month","35', "line 7: 'March' is no date"),
        ('"AW-HW-2","",', '"AW-HW-2",', r"line 7: 29 values under 30 columns"),
        ('"AW-HW-2","",', '"AW-HW-2","""', "line 7: ',' expected after"),
        (
            '"AmazonWorkSpaces"\n',
            '"AmazonEC2"\n',
            "this is the list of AmazonEC2, not of AmazonWorkSpaces or AmazonAppStream",
        ),
        ('"PricePerUnit"', '"Price"', "line 6: there is no column priceperunit"),
        ('"2026-03-10T18:04:11Z"', '"soon"', "Publication Date: 'soon' is no date"),
    ],
)
def test_a_damaged_csv_is_refused_with_its_line_and_changes_nothing(tmp_path, old, new, words):
    text = CSV.read_text()
    assert old in text
    broken = tmp_path / "list.csv"
    broken.write_text(text.replace(old, new, 1))
    before = book()
    with pytest.raises(PriceListBroken, match=words):
        read(broken)
    assert book() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"offerCode": "AmazonWorkSpaces"', '"offerCode": "AmazonEC2"', "offerCode: this is the list of AmazonEC2"),
        ('"products": {', '"products": [', "line 8: Expecting"),
        ('"priceDimensions"', '"prices"', "product 8QF9FB4JU4AVYMA6: a product or term is not as AWS has them"),
    ],
)
def test_a_damaged_json_is_refused(tmp_path, old, new, words):
    text = JSON.read_text()
    assert old in text
    broken = tmp_path / "list.json"
    broken.write_text(text.replace(old, new, 1))
    with pytest.raises(PriceListBroken, match=words):
        read(broken)


def test_a_huge_json_is_refused_with_the_advice_to_take_the_csv(monkeypatch):
    monkeypatch.setattr("costs.pricelist.files.MOST_JSON", 100)
    with pytest.raises(PriceListBroken, match="take AWS's CSV of the same list"):
        read(JSON)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "list.csv").write_bytes(b'"FormatVersion","v1.0"\n' + bytes(range(128, 160)))
    with pytest.raises(PriceListBroken, match="not UTF-8"):
        read(tmp_path / "list.csv")


# -- WorkSpaces Applications -------------------------------------------------------------------------------------------


def applications(at, region="us-east-1"):
    return Price.objects.in_force(at).filter(service_type="WORKSPACES_APPLICATIONS", region=region)


def test_prices_of_applications_are_the_instances_hour_and_with_windows_the_users_fee():
    report = read(APPLICATIONS[0])
    assert len(report.new) == 4
    wanted = ("bundle_type", "operating_system", "running_mode", "monthly_amount", "hourly_amount")
    assert sorted(applications(NOW).values_list(*wanted)) == [
        ("GRAPHICS_G4DN", "WINDOWS", "AUTO_STOP", Decimal("4.19"), Decimal("1.28")),
        ("PERFORMANCE", "WINDOWS", "AUTO_STOP", Decimal("4.19"), Decimal("0.2")),
        ("STANDARD", "LINUX", "AUTO_STOP", Decimal(0), Decimal("0.085")),
        ("STANDARD", "WINDOWS", "AUTO_STOP", Decimal("4.19"), Decimal("0.1")),
    ]
    assert set(applications(NOW).values_list("valid_from", "storage_gb_month_amount", "included_storage_gb")) == {
        (LISTED, 0, 0)
    }
    assert {left["reason"]: left["rows"] for left in report.left_out} == {
        "a figure of 0": 1,
        "instance function ElasticFleet": 1,
        "instance function ImageBuilder": 1,
        "instance function MultiSessionFleet": 1,
        "instance type stream.standard.small, as large as no bundle": 1,
        "operating system Windows BYOL": 1,
        "product family Image Fees": 1,
        "product family Stopped Instance": 1,
        "several figures for the same": 1,
        "user fee Win-User-Multi-Session": 1,
    }
    again = read(APPLICATIONS[1])
    assert (again.new, again.changed, again.unchanged) == ([], [], 4)
    assert Price.objects.filter(service_type="WORKSPACES_PERSONAL").exclude(as_of=date(2026, 2, 1)).count() == 0


def test_a_region_whose_user_fee_is_not_told_has_prices_of_linux_alone():
    report = read(APPLICATIONS[0], "eu-central-1")
    assert list(applications(NOW, "eu-central-1").values_list("operating_system", "hourly_amount")) == [
        ("LINUX", Decimal("0.0935"))
    ]
    assert [left["reason"] for left in report.left_out] == ["no figure by the user: the price is not whole"]


# -- Over the API -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pricing(monkeypatch):
    """A Stubber over boto3's own client: what is asked and answered is held against botocore's shapes."""
    client = boto3.session.Session(region_name="us-east-1").client(
        "pricing", aws_access_key_id="a", aws_secret_access_key="s"
    )
    monkeypatch.setattr(aws, "_client", lambda: client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def answers(stub, *, region="us-east-1", pages=2, applications=False):
    """GetProducts answers the list of WorkSpaces Personal, and then that of Applications, or nothing there."""
    _answer(stub, "AmazonWorkSpaces", region, pages)
    if applications:
        _answer(stub, "AmazonAppStream", region, pages)
    else:
        stub.add_response(
            "get_products", {"FormatVersion": "aws_v1", "PriceList": []}, asked("AmazonAppStream", region)
        )


def asked(service, region):
    return {
        "ServiceCode": service,
        "FormatVersion": "aws_v1",
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
    }


def _answer(stub, service, region, pages):
    document = json.loads((FOLDER / f"{service}.json").read_text())
    items = [
        json.dumps(
            {
                "product": {name: product[name] for name in ("productFamily", "attributes", "sku")},
                "serviceCode": service,
                "terms": {"OnDemand": document["terms"]["OnDemand"][sku]},
                "version": document["version"],
                "publicationDate": document["publicationDate"],
            }
        )
        for sku, product in document["products"].items()
        if product["attributes"]["regionCode"] == region
    ]
    size = -(-len(items) // pages)
    for page in range(pages):
        answer = {"FormatVersion": "aws_v1", "PriceList": items[page * size : (page + 1) * size]}
        if page < pages - 1:
            answer["NextToken"] = f"page {page + 1}"
        stub.add_response(
            "get_products", answer, asked(service, region) | ({"NextToken": f"page {page}"} if page else {})
        )


def test_getproducts_says_what_the_file_says(pricing):
    answers(pricing)
    report = refreshes.refresh_from_aws(regions={"us-east-1"}, actor=ACTOR, now=NOW, dry_run=True)
    file = read(dry_run=True)
    assert report.changed == file.changed
    assert [(left["reason"], left["rows"]) for left in report.left_out] == [
        (left["reason"], left["rows"]) for left in file.left_out
    ]


def test_both_lists_are_read_over_the_api(pricing):
    answers(pricing, applications=True)
    report = refreshes.refresh_from_aws(regions={"us-east-1"}, actor=ACTOR, now=NOW)
    assert (len(report.changed), len(report.new)) == (7, 4)
    assert (
        applications(NOW)
        .get(bundle_type="STANDARD", operating_system="WINDOWS")
        .source.startswith("AWS price list AmazonAppStream, GetProducts")
    )


def test_when_aws_does_not_answer_nothing_changes(pricing):
    pricing.add_client_error("get_products", "ThrottlingException", http_status_code=400)
    before = book()
    with pytest.raises(Exception, match="Throttling"):
        refreshes.refresh_from_aws(regions={"us-east-1"}, actor=ACTOR, now=NOW)
    assert book() == before


def test_the_command_reads_the_regions_of_accounts_in_aws_and_tells_as_json(pricing, capsys):
    ProviderAccountFactory(kind="AWS", region="us-east-1")
    ProviderAccountFactory(kind="SIMULATOR", region="eu-west-1")
    answers(pricing)
    call_command("refresh_prices", "--dry-run", "--json")
    assert len(json.loads(capsys.readouterr().out)["changed"]) == 7
    answers(pricing, pages=1)
    call_command("refresh_prices", "--dry-run")
    shown = capsys.readouterr().out
    assert "us-east-1 STANDARD LINUX AUTO_STOP USD: 9.750000 a month, 0.300000 an hour" in shown
    assert "left out      1 rows: several figures for the same" in shown


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(CommandError, match="name a --region"):
        call_command("refresh_prices")
    with pytest.raises(CommandError, match="No such file"):
        call_command("refresh_prices", "--file", str(tmp_path / "none.csv"), "--region", "us-east-1")
    with pytest.raises(CommandError, match="The list has nothing of mars-1"):
        call_command("refresh_prices", "--file", str(CSV), "--region", "mars-1")

    def away(service, region):
        raise Unavailable("EndpointConnectionError", "nobody there")

    monkeypatch.setattr(aws, "price_rows", away)
    with pytest.raises(CommandError, match="nobody there"):
        call_command("refresh_prices", "--region", "us-east-1")


def test_the_job_runs_where_it_is_switched_on_and_once_a_day(pricing, settings, monkeypatch):
    ProviderAccountFactory(kind="AWS", region="us-east-1")
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW)
    assert tasks.refresh_prices() is None
    settings.FORGE_REFRESH_PRICES = True
    answers(pricing)
    assert tasks.refresh_prices()["changed"] == 7
    assert tasks.refresh_prices() is None
    assert JobRun.objects.get(job="refresh_prices").outcome == "SUCCEEDED"
    assert AuditLog.objects.filter(actor_kind="JOB").count() == 14
