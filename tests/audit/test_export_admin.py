"""Exports from the console: exactly the list that is shown, for those who may, and the files that were asked for."""

import re
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from audit import searches
from audit.actors import Actor
from audit.exports import services
from audit.models import AuditExport, AuditLog
from forge.accounts.models import Membership
from forge.operations import runner
from tests.audit.support import leave, person
from tests.audit.test_admin import LIST, console_of, leave_here
from tests.audit.test_exports import content, fill, ids_in, member
from tests.factories import OrganizationFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("without_whitenoise")]
Role = Membership.Role


@pytest.fixture
def organization():
    return OrganizationFactory()


def links(page) -> list[str]:
    found = re.findall(rf'href="({re.escape(LIST)}export/[^"]*)"', page.content.decode())
    return [unescape(address) for address in found]


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_the_links_export_exactly_what_the_list_shows(organization):
    leave_here(organization)
    denied = [leave_here(organization, result="DENIED", resource_id=str(n)).entry_id for n in range(60)]
    console = console_of(organization, Role.AUDITOR)
    page = console.get(
        LIST, {"result__exact": "DENIED", "month": f"{timezone.now():%Y-%m}", "p": "2", "q": "Did thing"}
    )
    csv, ndjson = links(page)
    for address, form in ((csv, "csv"), (ndjson, "ndjson")):
        assert f"export/{form}/" in address
        assert ids_in(content(console.get(address)), form) == denied
    told = AuditLog.objects.filter(action_type="AUDIT_EXPORT")
    assert [(entry.result, entry.interface, entry.context["count"]) for entry in told] == 2 * [("SUCCESS", "ADMIN", 60)]


@pytest.mark.parametrize(("role", "status"), [(Role.ADMIN, 200), (Role.TEAM_LEAD, 403), (Role.FINANCE, 403)])
def test_only_those_who_may_export_see_the_links_and_get_the_file(organization, role, status):
    console = console_of(organization, role)
    page = console.get(LIST)
    assert bool(links(page)) == (status == 200)
    response = console.get(f"{LIST}export/csv/")
    assert response.status_code == status
    result = "SUCCESS" if status == 200 else "DENIED"
    assert [entry.result for entry in AuditLog.objects.filter(action_type="AUDIT_EXPORT")] == [result]


def test_too_much_for_one_answer_becomes_a_message(organization, settings):
    settings.FORGE_EXPORT_STREAM_ENTRIES = 2
    leave(3, actor=person(organization_id=organization.id))
    console = console_of(organization, Role.ADMIN)
    response = console.get(f"{LIST}export/csv/?q=thing")
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?q=thing")
    assert "/api/v1/audit/exports/" in said(response)
    (told,) = AuditLog.objects.filter(action_type="AUDIT_EXPORT")
    assert told.result == "DENIED"


@pytest.mark.parametrize("query", ["colour=red", "month=2026-13", "month=x", "timestamp__gte=x"])
def test_a_filter_that_cannot_be_meant_exports_nothing(organization, query):
    console = console_of(organization, Role.ADMIN)
    assert console.get(f"{LIST}export/csv/?{query}").status_code == (400 if query == "colour=red" else 302)
    assert console.get(f"{LIST}export/xml/").status_code == 404
    assert not AuditLog.objects.filter(action_type="AUDIT_EXPORT").exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "stopped MACHINE"}, True),
        ({"q": "started machine"}, False),
        ({"q": "Ann@example.com"}, True),
        ({"q": "bob@example.com"}, False),
        ({"month": "now"}, True),
        ({"month": "2019-02"}, False),
    ],
)
def test_words_emails_and_months_find_entries(organization, query, found):
    leave_here(organization, description="Stopped a machine: the one looked for")
    query = {name: f"{timezone.now():%Y-%m}" if value == "now" else value for name, value in query.items()}
    page = console_of(organization, Role.ADMIN).get(LIST, query).content.decode()
    assert ("the one looked for" in page) == found


def test_an_entry_shows_before_and_after_and_leads_to_what_belongs_to_it(organization):
    receipt = leave_here(
        organization, changes={"before": {"state": "<b>PENDING</b>"}, "after": {"state": "AVAILABLE", "ip": None}}
    )
    entry = AuditLog.objects.get(id=receipt.entry_id)
    page = console_of(organization, Role.ADMIN).get(f"{LIST}{entry.id}/change/").content.decode()
    row = "<th scope='row'>state</th><td>&quot;&lt;b&gt;PENDING&lt;/b&gt;&quot;</td><td>&quot;AVAILABLE&quot;</td>"
    assert row in page
    assert "<th scope='row'>ip</th><td></td><td>null</td>" in page
    assert f"{LIST}?correlation_id__exact={entry.correlation_id}" in page


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_search_that_reads_too_much_becomes_a_message(organization, superuser_connection, monkeypatch):
    fill(superuser_connection, organization.id, 20_000)
    console = console_of(organization, Role.ADMIN)
    monkeypatch.setattr(searches, "SEARCH_SECONDS", 0.002)
    for address in (LIST, f"{LIST}export/csv/"):
        response = console.get(address, {"q": "nowhere to be found"})
        assert response.status_code == 302
        assert "Narrow the time" in said(response)


@pytest.mark.django_db(transaction=True)
def test_the_files_are_listed_with_their_download(organization):
    leave_here(organization)
    actor = Actor.of_user(member(organization, Role.AUDITOR))
    ready, written = (
        services.ask(actor=actor, organization_id=organization.id, form="csv", filters={}, now=timezone.now())[0]
        for _ in range(2)
    )
    runner.run_one(ready.operation_id)
    console = console_of(organization, Role.AUDITOR)
    page = console.get("/admin/audit/auditexport/").content.decode()
    assert f"/api/v1/audit/exports/{ready.id}/download" in page
    assert str(written.id) in page
    assert f"/api/v1/audit/exports/{written.id}/download" not in page
    assert console.get(f"/admin/audit/auditexport/{ready.id}/change/").status_code == 200
    assert (
        console_of(OrganizationFactory(), Role.ADMIN).get(f"/admin/audit/auditexport/{ready.id}/change/").status_code
        == 302
    )
    assert console_of(organization, Role.TEAM_LEAD).get("/admin/audit/auditexport/").status_code == 403
    assert AuditExport.objects.count() == 2
