"""`/api/v1/audit/verify/`: who sees verifications, who has one made, and what becomes of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLog, AuditVerification
from audit.sealing.sealer import seal
from audit.verification import operation as verification
from audit.verification import runs
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.audit.attacker import Attacker
from tests.audit.support import client_of, leave
from tests.audit.test_verification import run_command
from tests.factories import MembershipFactory, OrganizationFactory, TeamFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

URL = "/api/v1/audit/verify/"


def member(role, organization):
    team = TeamFactory(organization=organization) if role in ("team_lead", "engineer", "contractor") else None
    user = UserFactory(organization=organization, credentials_expire_at=timezone.now() + timedelta(days=9))
    return MembershipFactory(user=user, organization=organization, team=team, role=role).user


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def auditor(organization):
    return member("auditor", organization)


@pytest.fixture
def log(outside):
    leave(6, lane=0)
    seal()


@pytest.fixture(autouse=True)
def _only_the_log(monkeypatch):
    """People of these tests come from factories, which leave no entries: what is asked is what the log says."""
    monkeypatch.setattr(runs, "verify_events", lambda **_: runs.Events())


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_who_oversees_the_log_has_it_verified_and_sees_the_result(log, organization, role):
    client = client_of(member(role, organization))
    answer = client.post(URL, {}, headers={"idempotency-key": "k"})
    assert answer.status_code == 202, answer.json()
    assert answer["Location"] == f"/api/v1/operations/{answer.json()['id']}/"
    assert answer["Audit-Receipt"]

    assert run_one()

    operation = client.get(answer["Location"]).json()
    assert (operation["status"], operation["result"]["outcome"]) == ("succeeded", "INTACT")
    shown = client.get(f"{URL}{operation['result']['id']}/").json()
    assert (shown["scope"], shown["outcome"], shown["checkpoint"], shown["tree_size"]) == ("FULL", "INTACT", 1, 6)
    assert shown["first"] is None
    entries = AuditLog.objects.filter(correlation_id=operation["correlation_id"]).order_by("timestamp", "id")
    assert [(entry.action_type, entry.result) for entry in entries] == [
        ("AUDIT_VERIFY_REQUEST", "SUCCESS"),
        ("AUDIT_VERIFY", "SUCCESS"),
    ]
    assert {entry.organization_id for entry in entries} == {organization.id}


@pytest.mark.parametrize("role", ["finance", "team_lead", "engineer", "contractor"])
def test_others_neither_ask_for_one_nor_see_any(log, organization, role):
    run_command()
    client = client_of(member(role, organization))
    assert client.get(URL).json()["results"] == []
    assert client.get(f"{URL}{AuditVerification.objects.get().id}/").status_code == 404
    answer = client.post(URL, {})
    assert (answer.status_code, answer.json()["code"]) == (403, "may_not_verify")
    assert not Operation.objects.exists()
    denied = AuditLog.objects.get(action_type="AUDIT_VERIFY_REQUEST")
    assert (denied.result, denied.organization_id) == ("DENIED", organization.id)


def test_operators_see_all_and_are_sent_to_the_command(log):
    run_command()
    client = client_of(UserFactory(organization=None))
    assert len(client.get(URL).json()["results"]) == 1
    assert (
        client.post(URL, {}).json()["suggested_action"] == "Operators of the installation run manage.py audit_verify."
    )


@pytest.mark.parametrize("body", [{"scope": "MONTH"}, {"scope": 7}, {"jobs": 4}])
def test_what_cannot_be_asked_for_is_a_400_that_names_it(log, auditor, body):
    answer = client_of(auditor).post(URL, body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] in body
    assert not Operation.objects.exists()


def test_one_at_a_time_for_all_and_another_organizations_is_not_named(log, auditor):
    first = client_of(auditor).post(URL, {}).json()
    again = client_of(auditor).post(URL, {})
    assert (again.status_code, again.json()["code"]) == (409, "verification_under_way")
    assert again.json()["operation"] == first["id"]
    elsewhere = client_of(member("admin", OrganizationFactory())).post(URL, {})
    assert elsewhere.status_code == 409
    assert "operation" not in elsewhere.json()


def test_tampering_is_the_result_of_an_operation_that_succeeded(log, auditor, superuser):
    Attacker(superuser).edit(0, 4, recompute=False)
    client = client_of(auditor)
    address = client.post(URL, {"scope": "FULL"})["Location"]
    run_one()
    operation = client.get(address).json()
    assert (operation["status"], operation["result"]["outcome"]) == ("succeeded", "TAMPERED")
    shown = client.get(f"{URL}{operation['result']['id']}/").json()
    assert (shown["first"]["kind"], shown["first"]["lane"], shown["first"]["lane_seq"]) == ("bad_row", 0, 4)
    assert "detail" not in shown["first"]  # words may name rows of any organization
    operator = client_of(UserFactory(organization=None))
    assert "does not hold" in operator.get(f"{URL}{operation['result']['id']}/").json()["first"]["detail"]


def test_what_cannot_be_decided_fails_the_operation_and_is_kept(log, auditor):
    client = client_of(auditor)
    address = client.post(URL, {"scope": "SINCE"})["Location"]
    run_one()
    operation = client.get(address).json()
    assert (operation["status"], operation["error"]["code"]) == ("failed", "undecided")
    kept = AuditVerification.objects.get()
    assert (kept.outcome, kept.scope) == ("UNDECIDED", "SINCE")
    assert client.post(f"{address}retry/").status_code == 202


def test_a_cancelled_one_never_runs_and_leaves_its_entry(log, auditor):
    client = client_of(auditor)
    address = client.post(URL, {})["Location"]
    assert client.post(f"{address}cancel/").json()["status"] == "cancelled"
    assert not run_one()
    outcomes = AuditLog.objects.filter(action_type="AUDIT_VERIFY_REQUEST").values_list("context__outcome", flat=True)
    assert sorted(outcomes) == ["asked", "cancelled"]
    assert not AuditVerification.objects.exists()


def test_one_that_lost_its_lease_writes_nothing(log, auditor, monkeypatch):
    client_of(auditor).post(URL, {})
    verify_all = runs.verify_all

    def taken_over(run, **arguments):
        Operation.objects.update(fencing_token=99)
        return verify_all(run, **arguments)

    monkeypatch.setattr(verification.runs, "verify_all", taken_over)
    assert run_one()
    assert not AuditVerification.objects.exists()
    assert not AuditLog.objects.filter(action_type="AUDIT_VERIFY").exists()


def test_the_lease_is_renewed_while_one_statement_takes_long(log, auditor, settings, monkeypatch):
    settings.FORGE_OPERATION_LEASE_SECONDS = 1
    operation = client_of(auditor).post(URL, {}).json()
    renewals = []
    heartbeat = verification.Claim.heartbeat
    seen = verification.threading.Event()

    def renewed(claim):
        heartbeat(claim)
        renewals.append(claim.operation.lease_expires_at)
        if len(renewals) == 2:
            seen.set()

    monkeypatch.setattr(verification.Claim, "heartbeat", renewed)
    monkeypatch.setattr(verification.runs, "verify_all", lambda run, **arguments: seen.wait(30))
    assert run_one()
    assert Operation.objects.get(id=operation["id"]).status == "succeeded"
    assert renewals[0] < renewals[1]


def test_the_list_is_newest_first(log, auditor):
    for _ in range(3):
        run_command()
    client = client_of(auditor)
    answer = client.get(URL)
    assert [row["id"] for row in answer.json()["results"]] == sorted(
        AuditVerification.objects.values_list("id", flat=True), reverse=True
    )


def test_asking_twice_with_one_key_is_one_operation(log, auditor):
    client = client_of(auditor)
    answers = [client.post(URL, {}, headers={"idempotency-key": "same"}) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Operation.objects.count() == 1
