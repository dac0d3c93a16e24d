"""`audit_verify` with seals: one receipt, a directory of checkpoints, a month; what it exits with and says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError

from audit.sealing import keys
from audit.sealing.sealer import seal
from audit.sealing.signing import SigningKey
from audit.sealing.sinks import DirectorySink
from audit.verification import seals
from audit.verification.seals import verify_seals
from audit.verifier.notes import Checkpoint
from tests.audit.support import OTHER_SIGNING_KEY, SIGNING_KEY, leave, rechain
from tests.audit.test_verification import THIS_MONTH, run_command

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ORIGIN = "forge.test/audit"


@pytest.fixture
def receipts(outside):
    """Nine sealed entries of lane 0."""
    receipts = leave(9, lane=0)
    seal()
    return receipts


def kinds(**options):
    return {one.kind for one in verify_seals(**options).findings}


def test_a_sealed_receipt_is_intact(receipts):
    code, out = run_command("--receipt", str(receipts[4]))
    assert (code, out.strip()) == (0, f"intact: leaf 4 of 9 under the signed checkpoint of {ORIGIN}")
    code, out = run_command("--receipt", str(receipts[4]), "--json")
    assert json.loads(out) | {"findings": []} == {
        "status": "intact",
        "receipt": str(receipts[4]),
        "findings": [],
        "leaf_index": 4,
        "tree_size": 9,
        "origin": ORIGIN,
        "archived_month": None,
    }


def test_a_receipt_that_is_not_sealed_yet_or_has_no_key_to_check_with_cannot_be_decided(receipts, settings):
    (fresh,) = leave(1)
    code, out = run_command("--receipt", str(fresh))
    assert code == 2
    assert "cannot decide" in out
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    assert run_command("--receipt", str(receipts[0]), "--json")[0] == 2


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        ("DELETE FROM audit_auditlog WHERE id = 5", "receipt_without_row"),
        ("UPDATE audit_auditlog SET log_hash = sha256('x') WHERE id = 5", "receipt_differs"),
        ("UPDATE audit_auditlog SET result = 'DENIED' WHERE id = 5", "bad_row"),
        ("UPDATE audit_auditleaf SET hash = sha256('x') WHERE index = 4", "receipt_leaf"),
        ("UPDATE audit_auditleaf SET hash = sha256('x') WHERE index = 5", "receipt_unproved"),
        ("DELETE FROM audit_auditnode", "receipt_unproved"),
        ("UPDATE audit_auditcheckpoint SET root_hash = sha256('x')", "receipt_unproved"),
        ("UPDATE audit_auditcheckpoint SET note = replace(note, '9', '8')", "receipt_unproved"),
    ],
)
def test_a_receipt_whose_entry_is_not_what_it_was_names_its_place(receipts, superuser, attack, kind):
    superuser(attack)
    code, out = run_command("--receipt", str(receipts[4]), "--json")
    report = json.loads(out)
    assert (code, report["status"]) == (1, "tampered")
    assert [(one["kind"], one["lane"], one["lane_seq"]) for one in report["findings"]] == [(kind, 0, 5)]
    assert "lane 0" in run_command("--receipt", str(receipts[4]))[1]


def test_a_receipt_in_another_form_is_refused():
    with pytest.raises(CommandError, match="not a receipt"):
        run_command("--receipt", "nonsense")


def test_the_directory_is_compared_and_counted(receipts, outside):
    leave(2)
    seal()
    code, out = run_command("--against", str(outside))
    assert code == 0
    assert "2 compared outside" in out
    code, out = run_command("--against", str(outside), "--json")
    assert json.loads(out)["seals"] == {"leaves": 11, "checkpoints": 2, "signed": 2, "compared": 2, "notices": []}


def test_a_directory_that_ends_early_is_no_fault_and_is_told(receipts, outside, settings):
    settings.FORGE_AUDIT_SINKS = [f"directory:{outside.parent}"]
    leave(2)
    seal()
    code, out = run_command("--against", str(outside))
    assert code == 0
    assert f"The last 2 sealed entries are not in {outside}." in out


def test_what_is_sealed_and_published_meanwhile_is_not_ahead(receipts, outside, monkeypatch):
    def go_on(bounds):
        leave(5, lane=1)
        seal()
        yield from check_tree(bounds)

    check_tree = seals._check_tree
    monkeypatch.setattr(seals, "_check_tree", go_on)
    found = verify_seals(against=outside)
    assert (found.findings, found.leaves, found.compared) == ([], 9, 2)


@pytest.mark.parametrize("what", ["missing", "empty", "no key", "another log"])
def test_a_directory_that_cannot_be_compared_with_cannot_be_decided(receipts, outside, settings, what):
    folder = outside
    if what == "missing":
        folder = outside / "nowhere"
    elif what == "empty":
        folder = Path(outside.parent / "empty")
        folder.mkdir()
    elif what == "no key":
        settings.FORGE_AUDIT_SIGNING_KEY = ""
    else:
        folder = Path(outside.parent / "other")
        folder.mkdir()
        (folder / "x.txt").write_text("not a checkpoint")
    code, out = run_command("--against", str(folder), "--json")
    assert code == 2
    assert json.loads(out)["status"] == "undecided"


def test_a_note_of_an_unknown_key_or_a_torn_one_is_a_finding(receipts, outside):
    sink = DirectorySink(outside)
    forged = Checkpoint(ORIGIN, 4, bytes(32))
    sink.publish(forged, SigningKey.load(OTHER_SIGNING_KEY).sign(forged))
    assert kinds(against=outside) == {"outside_note"}
    sink.path_of(ORIGIN, 4).write_text("forge.test/audit\n4\n")
    assert kinds(against=outside) == {"outside_note"}


def test_checkpoints_of_an_unknown_incarnation_mean_an_old_database(receipts, outside):
    later = Checkpoint(f"{ORIGIN}/2", 4, bytes(32))
    DirectorySink(outside).publish(later, SigningKey.load(SIGNING_KEY).sign(later))
    assert kinds(against=outside) == {"outside_ahead"}


def test_one_month_is_held_against_its_leaves(receipts, superuser):
    superuser("UPDATE audit_auditleaf SET hash = sha256('x') WHERE index = 4")
    found, root = verify_seals(month=THIS_MONTH).findings
    assert (found.kind, found.lane, found.lane_seq) == ("other_leaf", 0, 5)
    assert root.kind == "bad_root"  # the signed one is not that of the leaves any more
    assert run_command("--month", f"{THIS_MONTH:%Y-%m}")[0] == 1


def test_a_row_slipped_in_among_sealed_ones_without_a_leaf_is_named(receipts, superuser):
    superuser("DELETE FROM audit_auditleaf WHERE index = 4")
    found = verify_seals().findings
    assert ("no_leaf", 0, 5) in {(one.kind, one.lane, one.lane_seq) for one in found}


def test_sealing_that_stands_still_is_a_finding_where_a_key_says_that_the_log_is_sealed(outside, superuser, settings):
    leave(3, lane=0)
    rechain(superuser, 0, [datetime.now(UTC) - timedelta(minutes=11)] * 3)
    assert kinds() == {"not_sealed"}
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    assert kinds() == set()


def test_a_checkpoint_that_was_never_signed_is_a_finding_after_a_while(receipts, superuser):
    superuser("UPDATE audit_auditcheckpoint SET note = NULL")
    assert kinds() == set()
    superuser("UPDATE audit_auditcheckpoint SET sealed_at = sealed_at - interval '11 minutes'")
    assert "unsigned_checkpoint" in kinds()


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        ("UPDATE audit_auditcheckpoint SET note = replace(note, '9', '8')", "bad_signature"),
        ("UPDATE audit_auditcheckpoint SET tree_size = 8", "bad_signature"),
        ("UPDATE audit_auditcheckpoint SET origin = 'other'", "bad_signature"),
        ("UPDATE audit_auditcheckpoint SET root_hash = sha256('x')", "bad_root"),
        ("UPDATE audit_auditcheckpoint SET tree_size = 10", "missing_leaf"),
        ("UPDATE audit_auditcheckpoint SET id = 2", "missing_checkpoint"),
        ("UPDATE audit_auditnode SET hash = sha256('x') WHERE level = 3", "bad_node"),
    ],
)
def test_a_changed_checkpoint_or_node_is_found(receipts, superuser, attack, kind):
    superuser("DELETE FROM audit_auditpublication")
    superuser(attack)
    assert kind in kinds()


def test_without_a_key_signatures_are_said_not_to_be_checked(receipts, settings):
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    found = verify_seals()
    assert found.findings == []
    assert found.notices == ["Signatures were not checked: no key is configured."]


def test_a_verifier_needs_the_public_key_alone(receipts, outside, settings):
    settings.FORGE_AUDIT_VERIFIER_KEYS = [str(keys.verifier_keys()[0])]
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    assert run_command("--against", str(outside))[0] == 0
    assert run_command("--receipt", str(receipts[0]))[0] == 0


def test_leaves_of_many_pieces_fold_to_the_same_roots(outside, monkeypatch):
    monkeypatch.setattr("audit.verification.seals.LEAVES_AT_ONCE", 3)
    for count in (5, 1, 9):
        leave(count)
        seal()
    assert verify_seals(against=outside).findings == []
