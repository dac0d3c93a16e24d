"""`/api/v1/audit/proofs/` and `/checkpoints/`: a holder of a receipt can check it with what the answer carries."""

import pytest

from audit.models import AuditCheckpoint, AuditLog
from audit.sealing import keys
from audit.sealing.sealer import seal
from audit.verifier import proofs
from audit.verifier.notes import VerifierKey, read_checkpoint
from forge.accounts.models import Membership
from tests.audit.support import leave, leave_one, person
from tests.audit.test_api import client_of, leave_for, member
from tests.factories import OrganizationFactory, TeamFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

Role = Membership.Role
CHECKPOINTS = "/api/v1/audit/checkpoints/"


def address(receipt):
    return f"/api/v1/audit/proofs/{receipt}/"


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def admin():
    return member(OrganizationFactory(), Role.ADMIN)


def check(body, receipt):
    """What an outsider does with the answer: nothing but the standard library, our verifier and the public key."""
    known = [VerifierKey.parse(text) for text in body["verifier_keys"]]
    checkpoint = read_checkpoint(body["checkpoint"]["note"], known)
    leaf = proofs.leaf_hash(receipt.log_hash)
    assert leaf.hex() == body["leaf_hash"]
    assert (checkpoint.size, checkpoint.root.hex()) == (body["tree_size"], body["root_hash"])
    path = [bytes.fromhex(text) for text in body["hashes"]]
    proofs.verify_inclusion(leaf=leaf, index=body["leaf_index"], size=checkpoint.size, path=path, root=checkpoint.root)


def test_every_receipt_has_a_proof_that_an_outsider_can_check(outside, admin):
    receipts = leave(23, actor=person(organization_id=admin.organization_id))
    seal()
    receipts += leave(4, actor=person(organization_id=admin.organization_id))
    seal()
    client = client_of(admin)
    for receipt in receipts:
        answer = client.get(address(receipt))
        assert answer.status_code == 200, answer.json()
        body = answer.json()
        assert (body["receipt"], body["entry_id"], body["tree_size"]) == (str(receipt), receipt.entry_id, 27)
        assert {one["sink"] for one in body["checkpoint"]["publications"]} == {f"directory:{outside}", "log:"}
        check(body, receipt)


def test_the_proof_of_a_later_incarnation_names_its_keys(outside, admin, settings):
    leave_one(actor=person(organization_id=admin.organization_id))
    seal()
    settings.FORGE_AUDIT_VERIFIER_KEYS = [str(keys.verifier_keys()[0])]
    receipt = leave_one(actor=person(organization_id=admin.organization_id))
    seal()
    check(client_of(admin).get(address(receipt)).json(), receipt)


@pytest.mark.parametrize("before", ["sealed", "signed"])
def test_before_it_is_under_a_signed_checkpoint_it_is_404_to_be_asked_again(outside, admin, settings, before):
    leave_one()
    seal()
    receipt = leave_one(actor=person(organization_id=admin.organization_id))
    if before == "signed":
        settings.FORGE_AUDIT_SIGNING_KEY = ""
        seal()
    answer = client_of(admin).get(address(receipt))
    assert answer.status_code == 404
    problem = answer.json()
    assert (problem["code"], problem["retryable"]) == ("not_sealed_yet", True)
    assert answer.headers["Retry-After"] == "5"


def test_a_receipt_that_the_log_does_not_hold_is_404_and_says_what_that_means(outside, admin, superuser):
    receipt = leave_one(actor=person(organization_id=admin.organization_id))
    seal()
    client = client_of(admin)
    other = str(receipt)[:-1] + ("0" if str(receipt)[-1] != "0" else "1")
    assert client.get(address(other)).json()["code"] == "unknown_receipt"
    superuser("DELETE FROM audit_auditlog WHERE id = %s", receipt.entry_id)
    assert client.get(address(receipt)).json()["code"] == "unknown_receipt"
    for text in ("nonsense", "0-1", f"{receipt}0"):
        assert client.get(address(text)).json()["code"] == "not_found"


def test_each_role_proves_what_it_may_see(outside):
    organization = OrganizationFactory()
    team = TeamFactory(organization=organization)
    engineer, lead = member(organization, Role.ENGINEER, team), member(organization, Role.TEAM_LEAD, team)
    others = [member(organization, Role.FINANCE), member(organization, Role.ENGINEER, TeamFactory())]
    foreigner = member(OrganizationFactory(), Role.ADMIN)
    receipt = leave_for(engineer)
    seal()
    for user in (engineer, lead, member(organization, Role.AUDITOR), UserFactory(organization=None)):
        assert client_of(user).get(address(receipt)).status_code == 200
    for user in (*others, foreigner):
        assert client_of(user).get(address(receipt)).json()["code"] == "not_found"
    denied = AuditLog.objects.filter(action_type="ACCESS_DENIED", result="DENIED")
    assert denied.count() == 3


def test_checkpoints_are_listed_newest_first_once_signed(outside, admin, settings):
    for _ in range(3):
        leave(2)
        seal()
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    leave(2)
    seal()
    body = client_of(admin).get(CHECKPOINTS).json()
    assert [row["tree_size"] for row in body["results"]] == [6, 4, 2]
    newest = body["results"][0]
    assert newest["note"] == AuditCheckpoint.objects.get(id=3).note
    assert len(newest["publications"]) == 2
    assert [
        row["id"] for row in client_of(admin).get(f"{CHECKPOINTS}?tree_size__gte=4&page_size=1").json()["results"]
    ] == [3]
    assert client_of(admin).get(f"{CHECKPOINTS}1").json()["tree_size"] == 2
    assert client_of(admin).get(f"{CHECKPOINTS}4/").status_code == 404
    assert client_of(admin).get(f"{CHECKPOINTS}nonsense/").status_code == 404
