"""Bills over the API: given, looked at, and costs taken out as a FOCUS file."""

import gzip
from datetime import UTC

import pytest
from django.utils import timezone

from audit.models import AuditLog
from costs.bills.models import Bill
from costs.models import CostRecord
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests import factories, query_counts
from tests import world as worlds
from tests.audit.walk.marks import client_of
from tests.costs.bills.sheets import fee, text
from tests.costs.focus.validator import faults, rows_of
from tests.costs.meters import total

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
BILLS = "/api/v1/costs/bills/"


@pytest.fixture
def world(account):
    """People of the account's organization."""
    team = factories.TeamFactory(organization=account.organization)
    made = {}
    for name, role, of in [
        ("finance", "finance", None), ("auditor", "auditor", None), ("admin", "admin", None),
        ("lead", "team_lead", team), ("engineer", "engineer", team),
    ]:  # fmt: skip
        user = factories.UserFactory(organization=account.organization)
        factories.MembershipFactory(user=user, organization=account.organization, team=of, role=role)
        made[name] = user
    return made


def give(user, body, *, media_type="text/csv", query=""):
    return client_of(user, "API").post(f"{BILLS}{query}", body, content_type=media_type)


def book(answer):
    run_one(answer.json()["operation_id"])
    return Operation.objects.get(pk=answer.json()["operation_id"])


def test_a_bill_is_given_booked_by_its_operation_and_looked_at(fleet, world, account):
    machines = fleet(3)
    body = text([*(fee(machine, "10") for machine in machines[:2]), fee("ws-none", "2")])
    answer = give(world["finance"], body, query="?name=march.csv")
    assert answer.status_code == 202, answer.content
    assert (answer.json()["state"], answer.json()["name"]) == ("READING", "march.csv")
    assert answer["Location"] == f"/api/v1/operations/{answer.json()['operation_id']}/"
    assert book(answer).status == "succeeded"

    client = client_of(world["auditor"], "API")
    shown = query_counts.hold("bill-detail", lambda: client.get(f"{BILLS}{answer.json()['id']}/")).json()
    assert (shown["state"], shown["month"], shown["lines"]) == ("BOOKED", "2026-03-01", 3)
    assert (shown["drift"][0]["machines"], shown["drift"][0]["billed_cost"]) == (2, "20.000000")
    assert shown["not_billed"]["machines"] == 1
    assert shown["gaps"] == [{"reason": "UNKNOWN", "resources": 1, "lines": 1, "amount": "2.000000"}]
    assert total(machines[0]) == 10

    of_bill = f"bill={shown['id']}"
    address = f"/api/v1/costs/billed-machines/?{of_bill}&page_size=2"
    page = client.get(address).json()
    assert len(page["results"]) == 2
    assert len(client.get(page["next"]).json()["results"]) == 1
    (absent,) = client.get(f"/api/v1/costs/billed-machines/?{of_bill}&billed_cost__isnull=true").json()["results"]
    assert (absent["workspace"], absent["drift"]) == (str(machines[2].pk), None)
    (gap,) = client.get(f"/api/v1/costs/bill-gaps/?{of_bill}").json()["results"]
    assert (gap["resource"], gap["reason"], gap["amount"]) == ("ws-none", "UNKNOWN", "2.000000")
    assert len(client.get(BILLS).json()["results"]) == 1
    entries = AuditLog.objects.filter(resource_id=shown["id"]).order_by("id").values_list("action_type", "result")
    assert list(entries) == [("BILL_UPLOAD", "SUCCESS"), ("BILL_IMPORT", "SUCCESS")]


def test_the_same_file_again_is_the_same_bill_and_another_waits_its_turn(fleet, world):
    (machine,) = fleet(1)
    first = give(world["finance"], text([fee(machine, "10")]))
    again = give(world["admin"], text([fee(machine, "10")]))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = give(world["finance"], text([fee(machine, "11")]))
    assert (other.status_code, other.json()["code"]) == (409, "bill_under_way")
    book(first)
    assert give(world["finance"], text([fee(machine, "11")])).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"a,b\n1,2\n", 422, "not_a_bill"),
        (b"\x1f\x8bnot gzip at all", 422, "bill_unreadable"),
        (b"PAR1 nor this PAR1", 422, "bill_unreadable"),
        (b"\x00\xff\xfe", 422, "not_a_bill"),
        (b"\ra line that begins nowhere", 422, "not_a_bill"),
        (b"two\rlines, old style", 422, "not_a_bill"),
        (b'"' + b"x" * 200_000, 422, "bill_unreadable"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:12] + b"\xff" * 20, 422, "bill_unreadable"),
    ],
)
def test_what_is_no_bill_is_refused_and_leaves_nothing(world, body, status, code):
    answer = give(world["finance"], body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Bill.objects.exists()


def test_a_file_beyond_the_limit_is_refused_while_it_comes(world, settings):
    settings.FORGE_BILL_UPLOAD_MB = 1
    answer = give(world["finance"], text([fee("ws-1", "1")]) + b"," * 1024 * 1024)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_who_may_give_and_see_bills(fleet, world, account):
    (machine,) = fleet(1)
    for name in ("auditor", "lead", "engineer"):
        answer = give(world[name], text([fee(machine, "1")]))
        assert (answer.status_code, answer.json()["code"]) == (403, "may_not_import_bills"), name
    bill = give(world["finance"], text([fee(machine, "1")])).json()["id"]
    for name, status in [("finance", 200), ("auditor", 200), ("admin", 200), ("lead", 404), ("engineer", 404)]:
        assert client_of(world[name], "API").get(f"{BILLS}{bill}/").status_code == status, name
    stranger = worlds.build().finance
    assert client_of(stranger, "API").get(f"{BILLS}{bill}/").status_code == 404
    assert client_of(stranger, "API").get(BILLS).json()["results"] == []


def test_a_bad_bill_fails_with_its_reason_and_nothing_is_booked(fleet, world):
    (machine,) = fleet(1)
    answer = give(world["finance"], text([fee(machine, "10"), fee(machine, "not a number")]))
    operation = book(answer)
    assert (operation.status, operation.error["code"]) == ("failed", "bill_unreadable")
    bill = Bill.objects.get()
    assert (bill.state, bill.parts.count()) == ("FAILED", 0)
    assert not CostRecord.objects.filter(basis="BILLED").exists()
    assert give(world["finance"], text([fee(machine, "10")])).status_code == 202  # the way is free


def test_an_import_is_called_off_before_it_books(fleet, world):
    (machine,) = fleet(1)
    answer = give(world["finance"], text([fee(machine, "10")]))
    cancel = client_of(world["finance"], "API").post(f"{answer['Location']}cancel/")
    assert cancel.status_code == 200, cancel.content
    assert Bill.objects.get().state == "FAILED"
    assert not CostRecord.objects.filter(basis="BILLED").exists()


def test_an_export_is_streamed_audited_and_conforms(fleet, world, account, tmp_path):
    fleet(2)
    client = client_of(world["finance"], "API")
    for form, name in (("focus-csv", "csv"), ("focus-parquet", "parquet")):
        answer = client.get(f"/api/v1/costs/export/?format={form}&start=2026-03-01&end=2026-04-01")
        assert answer.status_code == 200, answer.content
        assert answer["Content-Disposition"] == f'attachment; filename="costs-2026-03-01-2026-04-01-focus.{name}"'
        (tmp_path / name).write_bytes(b"".join(answer.streaming_content))
        assert faults(tmp_path / name) == []
        assert len({row["ChargePeriodStart"] for row in rows_of(tmp_path / name)[1]}) == 48
    entries = AuditLog.objects.filter(action_type="COST_EXPORT")
    assert {(entry.context["format"], entry.context["count"]) for entry in entries} == {
        ("focus-csv", 96), ("focus-parquet", 96)
    }  # fmt: skip


def test_who_may_export_what(fleet, world, account, tmp_path):
    team = world["lead"].memberships.get().team
    (ours,) = fleet(1, prefix="a", team=team)
    fleet(1, prefix="b")
    address = "/api/v1/costs/export/?format=focus-csv&start=2026-03-01&end=2026-04-01"
    answer = client_of(world["lead"], "API").get(address)
    (tmp_path / "lead").write_bytes(b"".join(answer.streaming_content))
    assert {row["x_MachineId"] for row in rows_of(tmp_path / "lead")[1]} == {str(ours.pk)}
    for name in ("auditor", "engineer"):
        refused = client_of(world[name], "API").get(address)
        assert (refused.status_code, refused.json()["code"]) == (403, "may_not_export_costs")


def test_an_export_that_cannot_be_is_refused(world, fleet, settings):
    fleet(1)
    client = client_of(world["finance"], "API")
    for query, code in [
        ("", "invalid_parameter"), ("format=pdf", "invalid_parameter"),
        ("format=focus-csv&sort=1", "unknown_parameter"),
        ("format=focus-csv&start=2020-01-01&end=2026-01-01", "invalid_parameter"),
    ]:  # fmt: skip
        answer = client.get(f"/api/v1/costs/export/?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, code), query
    settings.FORGE_COST_EXPORT_RECORDS = 10
    answer = client.get("/api/v1/costs/export/?format=focus-csv&start=2026-03-01&end=2026-04-01")
    assert (answer.status_code, answer.json()["code"]) == (422, "export_too_large")
    assert not AuditLog.objects.filter(action_type="COST_EXPORT", result="SUCCESS").exists()


def test_this_month_is_refused_by_the_operation(world, account):
    month = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    answer = give(world["finance"], text([fee("ws-1", "1", month=month, at=month)]))
    assert book(answer).error["code"] == "bill_not_closed"
