"""`/api/v1/audit/exports/`: a file that an operation writes, whoever is killed, and that is kept for some days."""

import hashlib
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.exports import handler, rows, services
from audit.models import AuditExport, AuditExportPart, AuditLog
from forge.accounts.models import Membership
from forge.operations import runner
from forge.operations.claims import LeaseLost, take
from forge.operations.models import Operation
from tests.audit.support import client_of, leave, leave_one, person
from tests.audit.test_exports import content, ids_in, member
from tests.factories import OrganizationFactory, UserFactory

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("without_whitenoise"),
]

EXPORTS = "/api/v1/audit/exports/"
Role = Membership.Role


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def auditor(organization):
    return client_of(member(organization, Role.AUDITOR))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 5)
    monkeypatch.setattr(handler, "PART_BYTES", 1)


def ask(client, form="ndjson", headers=None, **filters):
    body = {"format": form, "filters": {"resource_type": "Thing"} | filters}
    response = client.post(EXPORTS, body, headers=headers or {})
    assert response.status_code == 202, response.json()
    return response


def carry_out(limit=100):
    while runner.run_one() and (limit := limit - 1):
        pass


def told(**conditions):
    found = AuditLog.objects.filter(action_type__startswith="AUDIT_EXPORT", **conditions).order_by("timestamp", "id")
    return [(entry.action_type, entry.result) for entry in found]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_is_asked_for_written_and_downloaded(organization, auditor, small_parts, form):
    mine = [receipt.entry_id for receipt in leave(23, lane=3, actor=person(organization_id=organization.id))]
    leave(3)  # another organization's
    response = ask(auditor, form)
    body = response.json()
    assert response["Location"] == f"/api/v1/operations/{body['operation']}/"
    assert (body["state"], body["download"]) == ("WRITING", None)
    leave(4, lane=3, actor=person(organization_id=organization.id))  # later than it was asked for
    assert auditor.get(f"{EXPORTS}{body['id']}/download/").json()["code"] == "export_not_ready"

    carry_out()
    operation = auditor.get(response["Location"]).json()
    assert (operation["status"], operation["progress"], operation["result"]["count"]) == ("succeeded", 100, 23)
    body = auditor.get(f"{EXPORTS}{body['id']}/").json()
    assert (body["state"], body["count"], body["download"]) == ("READY", 23, operation["result"]["download"])

    answer = auditor.get(body["download"])
    assert answer["Content-Disposition"].endswith(f'.{form}"')
    file = content(answer)
    assert ids_in(file, form) == mine
    assert hashlib.sha256(file).hexdigest() == body["sha256"] == operation["result"]["sha256"]
    assert int(answer["Content-Length"]) == len(file) == body["size"]
    assert AuditExportPart.objects.count() == 6  # 23 entries by 5, and the last line
    assert told() == [
        ("AUDIT_EXPORT_REQUEST", "SUCCESS"),
        ("AUDIT_EXPORT", "SUCCESS"),
        ("AUDIT_EXPORT_DOWNLOAD", "SUCCESS"),
    ]
    assert AuditLog.objects.get(action_type="AUDIT_EXPORT").context["sha256"] == body["sha256"]


def test_nothing_found_is_a_whole_file_too(auditor):
    export = ask(auditor, "csv", q="no such words").json()
    carry_out()
    assert ids_in(content(auditor.get(f"{EXPORTS}{export['id']}/download")), "csv") == []


def test_a_download_is_the_persons_turn_until_it_is_sent_or_given_up(organization, auditor, small_parts, settings):
    leave(23, lane=3, actor=person(organization_id=organization.id))
    export = ask(auditor).json()
    carry_out()
    address = f"{EXPORTS}{export['id']}/download/"
    first = auditor.get(address)
    pieces = iter(first.streaming_content)
    assert next(pieces)
    again = auditor.get(address)
    assert (again.status_code, again.json()["code"]) == (429, "export_under_way")
    assert auditor.head(address).status_code == 200
    settings.FORGE_EXPORTS_AT_ONCE = 1
    colleague = client_of(member(organization, Role.ADMIN))
    assert colleague.get(address).json()["code"] == "exports_busy"
    first.close()
    unread = colleague.get(address)
    assert unread.status_code == 200
    unread.close()
    assert len(content(auditor.get(address))) == AuditExport.objects.get().size
    downloads = AuditLog.objects.filter(action_type="AUDIT_EXPORT_DOWNLOAD", result="SUCCESS")
    assert downloads.count() == 3


@pytest.mark.parametrize("role", [Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.FINANCE])
def test_others_neither_ask_nor_see_nor_download(organization, auditor, role):
    export = ask(auditor).json()
    carry_out()
    client = client_of(member(organization, role))
    assert client.post(EXPORTS, {"format": "csv"}).status_code == 403
    assert client.get(EXPORTS).json()["results"] == []
    assert client.get(f"{EXPORTS}{export['id']}/").status_code == 404
    assert client.get(f"{EXPORTS}{export['id']}/download/").status_code == 404
    assert told(result="DENIED") == [("AUDIT_EXPORT_REQUEST", "DENIED"), ("AUDIT_EXPORT_DOWNLOAD", "DENIED")]


def test_an_export_belongs_to_its_organization_and_its_operators(organization, auditor):
    export = ask(auditor).json()
    carry_out()
    stranger = client_of(member(OrganizationFactory(), Role.ADMIN))
    colleague = client_of(member(organization, Role.ADMIN))
    operator = client_of(UserFactory(organization=None))
    assert stranger.get(f"{EXPORTS}{export['id']}/download/").status_code == 404
    for client in (colleague, operator):
        assert content(client.get(f"{EXPORTS}{export['id']}/download/"))
    assert len(told(action_type="AUDIT_EXPORT_DOWNLOAD", organization_id=organization.id, result="SUCCESS")) == 2


def test_whoever_lost_the_role_downloads_no_more(organization):
    user = member(organization, Role.AUDITOR)
    export = ask(client_of(user)).json()
    carry_out()
    Membership.objects.filter(user=user).delete()
    assert client_of(user).get(f"{EXPORTS}{export['id']}/download/").status_code == 404


def test_an_operator_names_the_organization(organization):
    operator = client_of(UserFactory(organization=None))
    mine = leave_one(actor=person(organization_id=organization.id)).entry_id
    refused = operator.post(EXPORTS, {"format": "csv"})
    assert (refused.status_code, refused.json()["code"]) == (422, "organization_required")
    export = ask(operator, "csv", organization_id=str(organization.id)).json()
    carry_out()
    assert ids_in(content(operator.get(f"{EXPORTS}{export['id']}/download/")), "csv") == [mine]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/format"),
        ({"format": "xml"}, "/format"),
        ({"format": "csv", "filters": {"colour": "red"}}, "/filters/colour"),
        ({"format": "csv", "filters": {"result": "MAYBE"}}, "/filters/result"),
        ({"format": "csv", "filters": {"user_id": " "}}, "/filters/user_id"),
        ({"format": "csv", "filters": {"page_size": "5"}}, "/filters/page_size"),
        ({"format": "csv", "filters": ["x"]}, "/filters"),
        ({"format": "csv", "order": "x"}, "/order"),
    ],
)
def test_a_body_that_cannot_be_meant_is_400_and_asks_for_nothing(auditor, body, pointer):
    response = auditor.post(EXPORTS, body)
    assert response.status_code == 400
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert not AuditExport.objects.exists()
    assert told() == [("AUDIT_EXPORT_REQUEST", "FAILURE")]


def test_the_same_key_asks_once(auditor):
    first, again = (ask(auditor, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert AuditExport.objects.count() == Operation.objects.count() == 1
    assert told() == [("AUDIT_EXPORT_REQUEST", "SUCCESS")]


def test_a_request_whose_entry_cannot_be_written_asks_for_nothing(auditor, superuser_connection):
    superuser_connection.execute("ALTER FUNCTION audit_append RENAME TO audit_append_gone")
    try:
        assert auditor.post(EXPORTS, {"format": "csv"}).status_code == 503
    finally:
        superuser_connection.execute("ALTER FUNCTION audit_append_gone RENAME TO audit_append")
    assert not AuditExport.objects.exists()
    assert not Operation.objects.exists()


class Killed(BaseException):
    """What no handler catches, as a kill: nothing after it is done by this worker."""


@pytest.mark.parametrize("at", range(7))
def test_after_a_kill_before_any_write_the_next_worker_goes_on(organization, auditor, small_parts, monkeypatch, at):
    """At the n-th lock, which precedes each of six parts and the end; the next one comes when the lease is over."""
    mine = [receipt.entry_id for receipt in leave(23, actor=person(organization_id=organization.id))]
    export = ask(auditor).json()
    locks = []
    lock = handler.Claim.lock

    def killed(claim):
        locks.append(claim)
        if len(locks) == at + 1:
            raise Killed
        return lock(claim)

    with monkeypatch.context() as patched:
        patched.setattr(handler.Claim, "lock", killed)
        with pytest.raises(Killed):
            carry_out()
    assert AuditExportPart.objects.count() == at
    assert runner.run_one(now=timezone.now() + timedelta(minutes=5))
    assert Operation.objects.get().status == "succeeded"
    assert ids_in(content(auditor.get(f"{EXPORTS}{export['id']}/download/")), "ndjson") == mine
    assert told()[:2] == [("AUDIT_EXPORT_REQUEST", "SUCCESS"), ("AUDIT_EXPORT", "SUCCESS")]


def test_a_worker_that_slept_through_its_lease_writes_nothing_more(organization, auditor, small_parts):
    leave(12, actor=person(organization_id=organization.id))
    ask(auditor)
    slow = take()
    export = AuditExport.objects.get()
    handler.write_part(slow, export)
    assert runner.run_one(now=timezone.now() + timedelta(minutes=5))
    parts = list(AuditExportPart.objects.values_list("number", "content"))
    with pytest.raises(LeaseLost):
        handler.write_part(slow, export)
    assert list(AuditExportPart.objects.values_list("number", "content")) == parts


def test_two_workers_at_once_write_two_files_and_double_nothing(organization, auditor, small_parts):
    mine = [receipt.entry_id for receipt in leave(23, actor=person(organization_id=organization.id))]
    exports = [ask(auditor).json()["id"] for _ in range(2)]

    def work():
        try:
            carry_out()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for export in exports:
        assert ids_in(content(auditor.get(f"{EXPORTS}{export}/download/")), "ndjson") == mine
    assert told().count(("AUDIT_EXPORT", "SUCCESS")) == 2


def test_a_long_file_lets_other_operations_have_their_turn(organization, auditor, small_parts, monkeypatch):
    monkeypatch.setattr(handler, "STRETCH_SECONDS", 0.0)
    mine = [receipt.entry_id for receipt in leave(12, actor=person(organization_id=organization.id))]
    export = ask(auditor).json()
    assert runner.run_one()
    operation = Operation.objects.get()
    assert (operation.status, AuditExportPart.objects.count()) == ("waiting", 1)
    carry_out()
    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == ("succeeded", 1)
    assert ids_in(content(auditor.get(f"{EXPORTS}{export['id']}/download/")), "ndjson") == mine


def test_a_file_that_grows_past_the_limit_fails_and_leaves_no_content(organization, auditor, small_parts, settings):
    settings.FORGE_EXPORT_MOST_ENTRIES = 10
    leave(23, actor=person(organization_id=organization.id))
    export = ask(auditor).json()
    carry_out()
    operation = Operation.objects.get()
    assert (operation.status, operation.error["code"]) == ("failed", "export_too_large")
    assert not AuditExportPart.objects.exists()
    assert auditor.get(f"{EXPORTS}{export['id']}/").json()["state"] == "GONE"
    assert auditor.get(f"{EXPORTS}{export['id']}/download/").json()["code"] == "export_gone"
    assert told()[:2] == [("AUDIT_EXPORT_REQUEST", "SUCCESS"), ("AUDIT_EXPORT", "FAILURE")]
    assert auditor.post(f"/api/v1/operations/{operation.id}/retry/").json()["code"] == "export_is_over"


def test_an_export_is_called_off_with_its_content(organization, auditor, small_parts, monkeypatch):
    monkeypatch.setattr(handler, "STRETCH_SECONDS", 0.0)
    leave(23, actor=person(organization_id=organization.id))
    export = ask(auditor).json()
    assert runner.run_one()
    assert auditor.post(f"/api/v1/operations/{export['operation']}/cancel/").json()["status"] == "cancelled"
    assert not AuditExportPart.objects.exists()
    assert AuditExport.objects.get().filters == {}
    assert told() == [("AUDIT_EXPORT_REQUEST", "SUCCESS"), ("AUDIT_EXPORT", "FAILURE")]


def test_files_past_their_days_are_refused_and_purged_once(organization, auditor):
    export = ask(auditor, user_email="ann@example.com").json()
    ask(auditor)
    carry_out()
    now = timezone.now()
    kept = AuditExport.objects.exclude(id=export["id"])
    AuditExport.objects.filter(id=export["id"]).update(expires_at=now - timedelta(seconds=1))
    assert auditor.get(f"{EXPORTS}{export['id']}/download/").json()["code"] == "export_gone"
    shown = auditor.get(f"{EXPORTS}{export['id']}/").json()
    assert (shown["state"], shown["download"], shown["purged_at"]) == ("GONE", None, None)
    assert services.purge_exports(now=now) == {"purged": 1}
    assert services.purge_exports(now=now) == {"purged": 0}
    assert list(AuditExportPart.objects.values_list("export_id", flat=True).distinct()) == [kept.get().id]
    gone = AuditExport.objects.get(id=export["id"])
    assert (gone.state, gone.filters) == ("GONE", {})
    assert told(resource_id=export["id"], action_type="AUDIT_EXPORT_PURGE") == [("AUDIT_EXPORT_PURGE", "SUCCESS")]


def test_what_is_still_to_be_written_is_not_purged(auditor):
    ask(auditor)
    AuditExport.objects.update(expires_at=timezone.now())
    assert services.purge_exports(now=timezone.now()) == {"purged": 0}
    carry_out()
    assert AuditExport.objects.get().expires_at > timezone.now() + timedelta(days=6)


def test_two_purges_at_once_tell_of_each_file_once(organization, auditor):
    for _ in range(6):
        ask(auditor)
    carry_out()
    AuditExport.objects.update(expires_at=timezone.now())
    results = []

    def purge():
        try:
            results.append(services.purge_exports(now=timezone.now())["purged"])
        finally:
            connection.close()

    purges = [threading.Thread(target=purge) for _ in range(2)]
    for one in purges:
        one.start()
    for one in purges:
        one.join()
    assert sum(results) == 6
    assert told(action_type="AUDIT_EXPORT_PURGE") == 6 * [("AUDIT_EXPORT_PURGE", "SUCCESS")]


def test_a_purge_whose_entry_cannot_be_written_deletes_nothing(auditor, monkeypatch):
    ask(auditor)
    carry_out()
    AuditExport.objects.update(expires_at=timezone.now())

    def broken(entries):
        list(entries)
        raise services.ExportCut("no entry")

    monkeypatch.setattr(services, "record_many", broken)
    with pytest.raises(services.ExportCut):
        services.purge_exports(now=timezone.now())
    assert AuditExportPart.objects.count() == 1
    with transaction.atomic():
        assert AuditExport.objects.get().purged_at is None
