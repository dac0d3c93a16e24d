"""Reports in the console: a form that hands out the file, the list of those issued, and subscriptions."""

import pytest
from django.test import Client
from django.utils import timezone

from costs.models import IssuedReport, ReportSubscription
from forge.db.months import add_months, month_of
from tests import world as worlds
from tests.costs.showback.support import spend
from tests.factories import TeamFactory

pytestmark = pytest.mark.django_db
ISSUED = "/admin/costs/issuedreport/"
SUBSCRIPTIONS = "/admin/costs/reportsubscription/"
LAST = add_months(month_of(timezone.now()), -1)


def browser(user):
    client = Client()
    client.force_login(user)
    return client


def test_the_form_hands_out_the_file_and_the_list_shows_what_was_issued():
    world = worlds.build()
    spend(world, "1234.5", day=LAST)
    lead = browser(world.lead)
    assert f"{LAST:%B %Y}" in lead.get(f"{ISSUED}add/").content.decode()
    wanted = {"kind": "SHOWBACK", "by": "user", "month": f"{LAST:%Y-%m}", "format": "csv", "team": ""}
    answer = lead.post(f"{ISSUED}add/", wanted)
    assert answer["Content-Disposition"].startswith(f'attachment; filename="showback-user-{world.team.slug}-')
    assert b'"total","","","1234.50"' in b"".join(answer.streaming_content)
    issued = IssuedReport.objects.get()
    assert issued.team == world.team
    page = lead.get(ISSUED).content.decode()
    assert "1,234.50 USD" in page
    assert "final" in page
    assert issued.sha256 in lead.get(f"{ISSUED}{issued.pk}/change/").content.decode()

    refused = lead.post(f"{ISSUED}add/", wanted | {"kind": "CHARGEBACK"})
    assert "a chargeback is by project or cost center" in refused.content.decode()
    foreign = TeamFactory(organization=world.organization)
    refused = lead.post(f"{ISSUED}add/", wanted | {"team": str(foreign.pk)})
    assert refused.status_code == 200
    assert IssuedReport.objects.count() == 1
    assert browser(world.auditor).get(f"{ISSUED}add/").status_code == 403


def test_people_subscribe_by_a_form_and_end_it_by_a_button():
    world = worlds.build()
    finance = browser(world.finance)
    assert finance.post(f"{SUBSCRIPTIONS}add/", {"kind": "SHOWBACK", "by": "team", "team": ""}).status_code == 302
    made = ReportSubscription.objects.get()
    assert (made.user, made.team) == (world.finance, None)
    page = finance.get(SUBSCRIPTIONS).content.decode()
    assert "the whole organization" in page
    assert browser(world.lead).post(f"{SUBSCRIPTIONS}{made.pk}/do/end/").status_code == 302
    assert ReportSubscription.objects.exists()
    assert finance.post(f"{SUBSCRIPTIONS}{made.pk}/do/end/").status_code == 302
    assert not ReportSubscription.objects.exists()
