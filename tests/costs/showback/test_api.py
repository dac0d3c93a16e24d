"""Reports and subscriptions over HTTP: whose they are, what is kept of them, what is refused."""

import hashlib
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.models import AuditLog
from costs.models import DailyCost, IssuedReport, ReportSubscription
from forge.db.months import add_months, month_of
from tests import world as worlds
from tests.costs.showback.support import pages_of, spend
from tests.factories import MembershipFactory, TeamFactory
from tests.workspaces.support import client_of, entries, problem

pytestmark = pytest.mark.django_db
REPORTS = "/api/v1/costs/reports/"
ISSUED = "/api/v1/costs/issued-reports/"
SUBSCRIPTIONS = "/api/v1/costs/report-subscriptions/"
LAST = add_months(month_of(timezone.now()), -1)


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def ask(client, **parameters):
    wanted = {"month": f"{LAST:%Y-%m}", "by": "team", "format": "csv"} | parameters
    return client.get(REPORTS, {name: value for name, value in wanted.items() if value is not None})


def content_of(answer):
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def test_a_report_leaves_a_row_and_an_entry_that_name_its_bytes(world):
    spend(world, "12.345", day=LAST)
    client = client_of(world.finance)
    answer = ask(client, format="pdf", by="user")
    content = content_of(answer)
    issued = IssuedReport.objects.get()
    assert issued.sha256 == hashlib.sha256(content).hexdigest()
    assert (issued.size, issued.amount, issued.total_cost) == (len(content), Decimal("12.35"), Decimal("12.345"))
    assert (issued.issued_by_id, issued.is_scheduled, issued.is_provisional) == (world.finance.id, False, False)
    assert answer["Content-Disposition"] == f'attachment; filename="showback-user-{LAST:%Y-%m}.pdf"'
    assert "12.35" in pages_of(content)[1]
    entry = entries(client).get()
    assert (entry.action_type, entry.result, entry.resource_id) == ("COST_EXPORT", "SUCCESS", str(issued.id))
    assert entry.full_changes["after"] == {"amount": "12.35", "sha256": issued.sha256}
    assert (entry.full_context["format"], entry.full_context["month"]) == ("pdf", f"{LAST:%Y-%m}")

    shown = client.get(f"{ISSUED}{issued.id}/").json()
    assert (shown["sha256"], shown["amount"], shown["by"]) == (issued.sha256, "12.35", "user")
    listed = client.get(f"{ISSUED}?month={LAST}&kind=SHOWBACK")
    assert [row["id"] for row in listed.json()["results"]] == [str(issued.id)]
    for change in (lambda rows: rows.update(amount=1), lambda rows: rows.delete()):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change(IssuedReport.objects.filter(pk=issued.pk))


def test_a_report_made_again_after_a_correction_says_so_and_by_how_much(world):
    client = client_of(world.admin)
    cost = spend(world, 100, day=LAST)
    first = ask(client, format="json").getvalue()
    assert b'"status":"FINAL"' in first
    assert b'"corrects":null' in first
    DailyCost.objects.filter(pk=cost.pk).update(compute_cost=Decimal("90.5"), total_cost=Decimal("90.5"))
    for _ in range(2):  # the second one says it too: it is no other amount that it corrects
        document = ask(client, format="json")
        content = content_of(document)
        assert b'"status":"CORRECTED"' in content
        assert b'"total_cost":"100.00","difference":"-9.50"' in content
    rows = content_of(ask(client)).decode().splitlines()
    assert [row.split(",")[:4] for row in rows[-2:]] == [
        ['"previous"', f'"{IssuedReport.objects.earliest("id").issued_at:%Y-%m-%dT%H:%M:%S.%f}Z"', '""', '"100.00"'],
        ['"difference"', '""', '""', '"-9.50"'],
    ]
    page = pages_of(content_of(ask(client, format="pdf", by="project", kind="CHARGEBACK")))[0]
    assert "CORRECTED" in page
    assert "said 100.00; the difference is -9.50 USD" in page
    assert b'"status":"FINAL"' in content_of(ask(client, format="json", team=world.team.slug))  # another scope
    assert b'"status":"PROVISIONAL"' in content_of(ask(client, format="json", month=f"{timezone.now():%Y-%m}"))


def test_finance_and_admins_have_all_leads_their_teams_and_nobody_else_any(world):
    other = TeamFactory(organization=world.organization)
    spend(world, 7, day=LAST)
    spend(world, 20, day=LAST, team=other)
    for who, total in ((world.finance, "27.00"), (world.admin, "27.00"), (world.lead, "7.00")):
        assert f'"total","","","{total}"'.encode() in content_of(ask(client_of(who)))
    assert b'"total","","","20.00"' in content_of(ask(client_of(world.finance), team=other.slug))
    assert IssuedReport.objects.filter(team=world.team).count() == 1

    lead = client_of(world.lead)
    problem(ask(lead, team=other.slug), 403, "may_not_export_costs")
    assert entries(lead).last().result == "DENIED"
    for who in (world.auditor, world.engineer, world.contractor):
        problem(ask(client_of(who)), 403, "may_not_export_costs")
    assert client_of(world.engineer).get(ISSUED).json()["results"] == []
    assert [row["team"] for row in lead.get(ISSUED).json()["results"]] == [world.team.slug]
    assert len(client_of(world.auditor).get(ISSUED).json()["results"]) == 4
    stranger = client_of(worlds.build().admin)
    assert b'"total","","","0.00"' in content_of(ask(stranger))
    problem(stranger.get(f"{ISSUED}{IssuedReport.objects.earliest('id').id}/"), 404, "not_found")
    MembershipFactory(user=world.lead, team=other, role="team_lead")
    assert problem(ask(client_of(world.lead)), 400, "team_required")["teams"] == sorted([world.team.slug, other.slug])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"month": "2026-13"}, "invalid_parameter"),
        ({"month": None}, "invalid_parameter"),
        ({"month": f"{add_months(LAST, 2):%Y-%m}"}, "month_out_of_range"),
        ({"month": "0001-01"}, "month_out_of_range"),
        ({"by": "blueprint"}, "invalid_parameter"),
        ({"format": "xlsx"}, "invalid_parameter"),
        ({"kind": "CHARGEBACK"}, "not_chargeable"),
        ({"team": "nowhere"}, "invalid_parameter"),
        ({"teams": "x"}, "unknown_parameter"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name_and_leaves_no_row(world, changes, code):
    client = client_of(world.finance)
    problem(ask(client, **changes), 400, code)
    assert not IssuedReport.objects.exists()
    assert not AuditLog.objects.filter(action_type="COST_EXPORT", result="SUCCESS").exists()


def test_people_subscribe_to_what_they_may_have_and_end_it(world):
    lead = client_of(world.lead)
    made = lead.post(SUBSCRIPTIONS, {"by": "user"})
    assert made.status_code == 201, made.content
    row = made.json()
    assert (row["team"], row["kind"], row["by"]) == (world.team.slug, "SHOWBACK", "user")
    problem(lead.post(SUBSCRIPTIONS, {"by": "user"}), 409, "already_subscribed")
    problem(lead.post(SUBSCRIPTIONS, {"by": "user", "kind": "CHARGEBACK"}), 400, "not_chargeable")
    problem(lead.post(SUBSCRIPTIONS, {"by": "user", "team": "nowhere"}), 422, "unknown_team")
    finance = client_of(world.finance)
    assert finance.post(SUBSCRIPTIONS, {"by": "cost_center", "kind": "CHARGEBACK"}).json()["team"] is None
    for who in (world.auditor, world.engineer):
        problem(client_of(who).post(SUBSCRIPTIONS, {"by": "team"}), 403, "may_not_export_costs")
    assert [one["id"] for one in lead.get(SUBSCRIPTIONS).json()["results"]] == [row["id"]]
    admin = client_of(world.admin)
    listed = admin.get(SUBSCRIPTIONS)
    assert len(listed.json()["results"]) == 2

    problem(finance.delete(f"{SUBSCRIPTIONS}{row['id']}/"), 404, "not_found")
    problem(client_of(world.auditor).delete(f"{SUBSCRIPTIONS}{row['id']}/"), 403, "may_not_export_costs")
    assert lead.delete(f"{SUBSCRIPTIONS}{row['id']}/").status_code == 204
    left = ReportSubscription.objects.get()
    assert admin.delete(f"{SUBSCRIPTIONS}{left.id}/").status_code == 204
    assert [entry.action_type for entry in entries(lead) if entry.result == "SUCCESS"] == [
        "REPORT_SUBSCRIBE",
        "REPORT_UNSUBSCRIBE",
    ]
