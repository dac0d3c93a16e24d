"""A superuser who gives the log another name, so that nothing outside contradicts what he made of it."""

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from audit import actions
from audit.actors import Actor
from audit.models import AuditLog
from audit.sealing import incarnations
from audit.sealing.sealer import SealRefused, seal
from audit.sealing.signing import SigningKey
from audit.services import record
from audit.verification.seals import verify_seals
from audit.verifier.notes import Checkpoint
from tests.audit.support import OTHER_SIGNING_KEY, SIGNING_KEY, leave
from tests.audit.test_incarnations import restore
from tests.audit.test_seals import ORIGIN, outside_of, whole

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

_BEGIN = """
    INSERT INTO audit_auditcheckpoint (id, incarnation, origin, tree_size, root_hash, sealed_at, note)
    SELECT 2, %s, %s, tree_size, root_hash, clock_timestamp(), %s FROM audit_auditcheckpoint WHERE id = 1
"""


@pytest.fixture
def rewritten(outside, superuser):
    """Nine sealed and published entries, of which the last four are others now; returns the first checkpoint's root."""
    leave(5, lane=0)
    seal()
    leave(4, lane=0)
    seal()
    restore(superuser, 5)
    leave(4, lane=0, description="Did nothing")
    return bytes(superuser("SELECT root_hash FROM audit_auditcheckpoint").fetchone()[0])


def append_an_entry(root, **context):
    told = {"reason": "disk lost", "incarnation": 2, "tree_size": 5, "root": root.hex(), "contradiction": "x"}
    with transaction.atomic():
        record(
            actor=Actor.command("audit_seal"), action=actions.AUDIT_NEW_INCARNATION, description="x",
            context=told | context,
        )  # fmt: skip


def assert_not_signed(outside):
    with pytest.raises(SealRefused):
        seal()
    assert outside_of(outside, f"{ORIGIN}/2") == []
    assert "bad_checkpoint" in {one.kind for one in verify_seals(against=outside).findings}


@pytest.mark.parametrize("note", [None, "x"], ids=["unsigned", "as if signed"])
def test_a_rewritten_history_under_a_name_of_its_own_is_not_signed(rewritten, outside, superuser, note):
    superuser(_BEGIN, 2, f"{ORIGIN}/2", note)
    assert_not_signed(outside)


@pytest.mark.parametrize("origin", [f"{ORIGIN}/2", "forge.test/other"])
def test_nor_is_one_that_has_another_name_alone(rewritten, outside, superuser, origin):
    superuser("UPDATE audit_auditcheckpoint SET origin = %s", origin)
    with pytest.raises(SealRefused, match="no sink knows it by that name"):
        seal()
    assert verify_seals(against=outside).findings != []


def test_nor_is_one_under_the_greatest_number_of_all(rewritten, outside, superuser):
    superuser(_BEGIN, 2**31 - 2, f"{ORIGIN}/{2**31 - 2}", None)
    assert_not_signed(outside)


def test_an_entry_that_begins_it_is_not_enough_without_the_signature(rewritten, outside, superuser):
    stranger = SigningKey.load(OTHER_SIGNING_KEY)
    append_an_entry(rewritten)
    append_an_entry(rewritten, note="x")
    append_an_entry(rewritten, note=stranger.sign(Checkpoint(f"{ORIGIN}/2", 5, rewritten)))
    true = SigningKey.load(SIGNING_KEY)
    append_an_entry(rewritten, note=true.sign(Checkpoint(ORIGIN, 5, rewritten)))  # the published note of that size
    superuser(_BEGIN, 2, f"{ORIGIN}/2", None)
    assert_not_signed(outside)


def test_the_signature_of_one_incarnation_begins_no_other_tree(rewritten, outside, superuser):
    restore(superuser, 5)
    incarnations.begin(actor=Actor.command("audit_seal"), reason="disk lost")
    assert AuditLog.objects.get(action_type="AUDIT_NEW_INCARNATION").context["note"].startswith(f"{ORIGIN}/2\n5\n")
    assert seal().is_signed
    whole()
    superuser("UPDATE audit_auditcheckpoint SET incarnation = 3, origin = origin || '/3' WHERE incarnation = 2")
    with pytest.raises(SealRefused, match="incarnation 3"):
        seal()
    assert "bad_checkpoint" in {one.kind for one in verify_seals(against=outside).findings}


def test_a_new_incarnation_needs_the_key(rewritten, settings):
    settings.FORGE_AUDIT_VERIFIER_KEYS = [str(SigningKey.load(SIGNING_KEY).verifier(ORIGIN))]
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    with pytest.raises(CommandError, match="FORGE_AUDIT_SIGNING_KEY is not set"):
        call_command("audit_seal", "--new-incarnation", "--reason", "disk lost")
    assert not AuditLog.objects.filter(action_type="AUDIT_NEW_INCARNATION").exists()
