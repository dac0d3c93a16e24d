"""Advice over the API and in the console: who sees it, what may be decided, and sums that agree with the list."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from costs.models import Advice, AdviceSaving
from forge.db.ids import uuid7
from tests import factories
from tests import world as worlds
from tests.audit.walk.marks import browser
from tests.costs.advice.support import DAY, stopped, told
from tests.workspaces.support import client_of, problem
from workspaces.models import WorkSpace

pytestmark = pytest.mark.django_db

ADVICE = "/api/v1/costs/advice/"


@pytest.fixture
def advised(world):
    """Advice for machines of the engineer, the lead and the admin, and one of another organization."""
    now = timezone.now()
    elsewhere = worlds.build()
    rows = [stopped(world, now=now, owner=owner) for owner in (world.engineer, world.lead, world.admin)]
    foreign = stopped(elsewhere, now=now)
    out = StringIO()
    call_command("advise_costs", "--json", stdout=out)
    assert '"opened": 4' in out.getvalue()
    by_machine = {one.workspace_id: one for one in Advice.objects.all()}
    return [by_machine[row.id] for row in rows], by_machine[foreign.id]


def beside(advice, kind, changes, saving):
    """Another piece of advice on the same machine."""
    return Advice.objects.create(
        id=uuid7(), organization=advice.organization, workspace=advice.workspace, kind=kind, action="MODIFY",
        changes=changes, saving_amount=saving, currency="USD", price_ids=[], confidence="LOW",
        confirmed_at=timezone.now(),
    )  # fmt: skip


def sums(user, query=""):
    return client_of(user).get(f"{ADVICE}summary/{query}").json()


def test_everybody_sees_the_advice_on_what_costs_they_see(world, advised):
    (own, leads, admins), foreign = advised
    WorkSpace.objects.filter(pk=admins.workspace_id).update(team=factories.TeamFactory(organization=world.organization))
    seen = {}
    for name in ("engineer", "lead", "contractor", "finance", "auditor", "admin"):
        listed = client_of(getattr(world, name)).get(ADVICE).json()["results"]
        seen[name] = {one["id"] for one in listed}
    ids = [str(one.pk) for one in (own, leads, admins)]
    assert seen["engineer"] == seen["lead"] == set(ids[:2])
    assert seen["finance"] == seen["auditor"] == seen["admin"] == set(ids)
    assert seen["contractor"] == set()
    client = client_of(world.admin)
    for path in ("", "accept/", "dismiss/", "snooze/"):
        asked = {"reason": "no", "until": (timezone.now() + DAY).isoformat()} if path else {}
        call = client.post if path else client.get
        problem(call(f"{ADVICE}{foreign.pk}/{path}", asked, format="json"), 404, "not_found")
    foreign.refresh_from_db()
    assert foreign.status == "OPEN"


def test_a_list_of_advice_says_what_it_follows_from(world, advised):
    client = client_of(world.finance)
    page = client.get(f"{ADVICE}?kind=IDLE&status=OPEN").json()["results"]
    assert len(page) == 3
    one = next(row for row in page if row["owner"] == world.engineer.email)
    assert (one["saving_amount"], one["currency"], one["basis"]) == ("9.750000", "USD", "ESTIMATED")
    assert (one["action"], one["confidence"], one["evidence"]["unused_days"]) == ("TERMINATE", "HIGH", 41)
    detail = client.get(f"{ADVICE}{one['id']}/").json()
    assert detail["savings"] == []
    problem(client.get(f"{ADVICE}?colour=red"), 400, "unknown_parameter")


def test_open_and_realised_sums_agree_with_the_list(world, advised):
    (own, leads, admins), foreign = advised
    beside(own, "RIGHT_SIZE", {"bundle_type": "POWER"}, -9)
    beside(own, "RUNNING_MODE", {"running_mode": "ALWAYS_ON"}, 3)
    for number, advice in enumerate((admins, foreign), 1):
        Advice.objects.filter(pk=advice.pk).update(
            status="ACCEPTED", reason="Accepted.", decided_at=timezone.now(), operation_id=uuid7(),
            effective_at=timezone.now(),
        )  # fmt: skip
        for month in (1, 2):
            AdviceSaving.objects.create(
                advice=advice, organization=advice.organization, month=f"2026-0{month}-01", through=timezone.now(),
                would_have_cost=7, booked_cost=month + number, saved_amount=7 - month - number, basis="METERED",
            )  # fmt: skip
    found = sums(world.finance)
    assert found["open"] == [
        {"kind": "IDLE", "currency": "USD", "advice": 2, "saving_amount": "19.500000", "extra_amount": "0.000000"},
        {"kind": "RIGHT_SIZE", "currency": "USD", "advice": 1, "saving_amount": "0.000000", "extra_amount": "9.000000"},
        {
            "kind": "RUNNING_MODE",
            "currency": "USD",
            "advice": 1,
            "saving_amount": "3.000000",
            "extra_amount": "0.000000",
        },
    ]
    assert found["at_once"] == [{"currency": "USD", "saving_amount": "19.500000"}]
    listed = client_of(world.finance).get(f"{ADVICE}?status=OPEN").json()["results"]
    net = sum(Decimal(one["saving_amount"]) for one in listed)
    assert net == sum(Decimal(one["saving_amount"]) - Decimal(one["extra_amount"]) for one in found["open"])
    assert [(one["kind"], one["advice"], one["saved_amount"]) for one in found["realised"]] == [("IDLE", 1, "9.000000")]
    detail = client_of(world.finance).get(f"{ADVICE}{admins.pk}/").json()
    assert [one["saved_amount"] for one in detail["savings"]] == ["5.000000", "4.000000"]
    assert sums(world.contractor) == {"open": [], "at_once": [], "realised": []}
    assert sums(world.finance, f"?user={world.lead.email}")["open"][0]["saving_amount"] == "9.750000"
    assert leads.pk


def test_decisions_over_the_api(world, advised):
    (own, leads, admins), _ = advised
    client = client_of(world.engineer)
    answer = client.post(f"{ADVICE}{own.pk}/accept/")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], answer["Location"]) == ("ACCEPTED", f"/api/v1/operations/{body['operation']}/")
    again = client.post(f"{ADVICE}{own.pk}/accept/")
    assert again.status_code == 202, again.content
    assert again.json()["operation"] == body["operation"]
    problem(client.post(f"{ADVICE}{leads.pk}/accept/"), 403, "may_not_control_machine")
    lead = client_of(world.lead)
    problem(lead.post(f"{ADVICE}{leads.pk}/dismiss/", {"reason": " "}, format="json"), 400, "invalid")
    later = timezone.now() + 9 * DAY
    snoozed = lead.post(f"{ADVICE}{leads.pk}/snooze/", {"reason": "x", "until": later.isoformat()}, format="json")
    assert (snoozed.status_code, snoozed.json()["status"]) == (200, "SNOOZED")
    past = {"reason": "x", "until": (timezone.now() - timedelta(minutes=1)).isoformat()}
    problem(lead.post(f"{ADVICE}{leads.pk}/snooze/", past, format="json"), 422, "snooze_in_past")
    dismissed = lead.post(f"{ADVICE}{admins.pk}/dismiss/", {"reason": "it is a spare"}, format="json").json()
    assert (dismissed["status"], dismissed["reason"]) == ("DISMISSED", "it is a spare")
    problem(lead.post(f"{ADVICE}{admins.pk}/accept/"), 409, "advice_decided")
    assert told(admins) == [("ADVICE_OPEN", "COMMAND"), ("ADVICE_DISMISS", "USER"), ("ADVICE_ACCEPT", "USER")]


def test_the_console_shows_advice_and_decides_by_the_same_services(world, advised):
    (own, leads, _), _ = advised
    client = browser(world.lead)
    page = client.get(reverse("admin:costs_advice_changelist")).content.decode()
    assert page.count("Terminate") >= 2
    detail = client.get(reverse("admin:costs_advice_change", args=(own.pk,))).content.decode()
    assert "unused days: 41" in detail
    address = reverse("admin:costs_advice_button", args=(own.pk, "end"))
    assert "The machine&#x27;s data are lost." in client.get(address).content.decode()
    client.post(address, {"typed_confirmation": "another"})
    own.refresh_from_db()
    assert own.status == "OPEN"
    client.post(address, {"typed_confirmation": own.workspace.name})
    own.refresh_from_db()
    assert own.status == "ACCEPTED"
    client.post(reverse("admin:costs_advice_button", args=(leads.pk, "snooze")), {"days": "9", "reason": "a reason"})
    leads.refresh_from_db()
    assert (leads.status, leads.reason) == ("SNOOZED", "a reason")
