"""Files of exports hold personal values too: what is erased from the log is not handed out from a file."""

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.erasure import erasing, people
from audit.exports import handler, rows
from audit.exports.services import purge_exports
from audit.models import AuditExport, AuditExportPart
from forge.operations import runner
from tests.audit.support import ANN, client_of, leave, person
from tests.audit.test_export_operations import EXPORTS, ask, carry_out, told
from tests.audit.test_exports import content, member
from tests.factories import OrganizationFactory

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("without_whitenoise"),
]


def erase():
    return erasing.erase(people.find(str(ANN), using="owner"), actor=Actor.command("audit_erase"), reason="ticket 7")


@pytest.fixture
def auditors():
    """Clients of two organizations; Ann has left entries in the first."""
    one, other = OrganizationFactory(), OrganizationFactory()
    leave(7, actor=person(organization_id=one.id))
    return client_of(member(one, "auditor")), client_of(member(other, "auditor"))


def test_a_file_from_before_the_erasure_is_not_handed_out_and_is_purged(auditors):
    own, others = auditors
    files = [ask(client).json()["id"] for client in auditors]
    carry_out()
    assert content(own.get(f"{EXPORTS}{files[0]}/download/"))

    erase()

    assert own.get(f"{EXPORTS}{files[0]}/download/").json()["code"] == "export_gone"
    assert content(others.get(f"{EXPORTS}{files[1]}/download/"))
    assert purge_exports(now=timezone.now()) == {"purged": 1}
    assert {str(part.export_id) for part in AuditExportPart.objects.all()} == {files[1]}


def test_a_file_that_was_being_written_meanwhile_is_given_up(auditors, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 3)
    monkeypatch.setattr(handler, "PART_BYTES", 1)
    monkeypatch.setattr(handler, "STRETCH_SECONDS", 0)
    answer = ask(auditors[0])
    assert runner.run_one()
    assert b"ann@example.com" in AuditExportPart.objects.get().plain

    erase()
    carry_out()

    operation = auditors[0].get(answer["Location"]).json()
    assert (operation["status"], operation["error"]["code"]) == ("failed", "entries_erased")
    assert not AuditExportPart.objects.exists()
    assert AuditExport.objects.get(finished_at=None).purged_at is not None
    assert told()[-1] == ("AUDIT_EXPORT", "FAILURE")


def test_a_file_that_was_asked_for_after_it_is_whole(auditors):
    erase()
    answer = ask(auditors[0])
    carry_out()
    assert auditors[0].get(answer["Location"]).json()["status"] == "succeeded"
