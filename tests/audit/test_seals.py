"""Sealing: once and in order, whoever else seals, wherever it is killed, whatever fails outside."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from audit.models import AuditCheckpoint, AuditLeaf, AuditLog, AuditNode, AuditPublication
from audit.sealing import keys, sealer, seals
from audit.sealing.sealer import SealerBusy, seal
from audit.sealing.signing import SigningKey
from audit.sealing.sinks import DirectorySink, SinkFailed, notes_in
from audit.sealing.tree import StoredTree
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from audit.verifier import proofs
from audit.verifier.notes import Checkpoint, read_checkpoint
from forge.db.operations import APPEND_ONLY_SQLSTATE
from tests.audit.support import OTHER_SIGNING_KEY, leave, leave_one, rechain
from tests.audit.test_lanes import append_over

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ORIGIN = "forge.test/audit"


def whole():
    """Rows, seals and, if there is one, the outside agree."""
    assert verify().findings == []
    assert verify_seals().findings == []


def outside_of(folder, origin=ORIGIN):
    """The checkpoints of the directory, sizes ascending."""
    found = [read_checkpoint(note, keys.verifier_keys()) for _, note in notes_in(folder)]
    return [one for one in found if one.origin == origin]


def root_of_log():
    """The root over the rows themselves, in the order of their leaves, by the pure tree."""
    hashes = dict(AuditLog.objects.values_list("id", "log_hash"))
    tree = proofs.CompactRange()
    for lane, lane_seq in AuditLeaf.objects.order_by("index").values_list("lane", "lane_seq"):
        list(tree.append(proofs.leaf_hash(bytes(hashes[(lane << 44) + lane_seq]))))
    return tree.root()


def test_a_pass_makes_leaves_root_note_and_publications(outside):
    leave(9, lane=0)
    leave(5, lane=3)

    done = seal()

    assert (done.sealed, done.tree_size, done.is_signed, done.published) == (14, 14, True, 2)
    assert (done.failures, done.faults) == ({}, [])
    stored = AuditCheckpoint.objects.get()
    assert (stored.id, stored.incarnation, stored.origin, stored.tree_size) == (1, 1, ORIGIN, 14)
    assert outside_of(outside) == [Checkpoint(ORIGIN, 14, root_of_log())]
    assert bytes(stored.root_hash) == root_of_log()
    assert set(AuditPublication.objects.values_list("sink", flat=True)) == {f"directory:{outside}", "log:"}
    whole()


def test_nothing_new_makes_no_checkpoint(outside):
    assert seal().figures()["sealed"] == 0
    assert not AuditCheckpoint.objects.exists()
    leave_one()
    seal()
    assert (seal().sealed, seal().published) == (0, 0)
    assert AuditCheckpoint.objects.count() == 1


def test_many_passes_make_the_same_tree_as_one(outside):
    for count in (1, 1, 2, 3, 5, 8, 13):
        leave(count)
        seal()
    assert bytes(AuditCheckpoint.objects.latest("id").root_hash) == root_of_log()
    assert [one.size for one in outside_of(outside)] == [1, 2, 4, 7, 12, 20, 33]
    tree = StoredTree(connection)
    roots = {one.size: one.root for one in outside_of(outside)}
    for old in roots:
        proofs.verify_consistency(
            old=old, old_root=roots[old], new=33, new_root=roots[33], path=tree.consistency_path(old, 33)
        )
    whole()


def test_the_cost_of_a_seal_does_not_grow_with_the_log(outside):
    """Rows of nodes read and written for one entry: the peaks of the tree, and what the entry completes."""
    costs = {}
    for size in (63, 1023, 8191):
        leave(size - AuditLeaf.objects.count())
        seal()
        leave_one()
        done = seal()
        assert done.tree_size == size + 1
        costs[size] = (done.nodes_read, done.nodes_written)
        leave_one()
        done = seal()
        assert (done.nodes_read, done.nodes_written) == (1, 0)
    assert costs == {63: (6, 6), 1023: (10, 10), 8191: (13, 13)}  # log2 of the size
    assert AuditNode.objects.count() == 8193 - (8193).bit_count()  # every complete subtree once


def test_a_chunk_more_than_fits_in_memory_is_the_same_checkpoint(outside, monkeypatch):
    monkeypatch.setattr("audit.sealing.leaves.CHUNK", 7)
    leave(30, lane=0)
    leave(30, lane=1)
    assert seal().sealed == 60
    assert AuditCheckpoint.objects.count() == 1
    assert bytes(AuditCheckpoint.objects.get().root_hash) == root_of_log()


def test_two_sealers_at_once_seal_once(outside):
    leave(200)
    done, errors = [], []

    def one():
        try:
            done.append(seal())
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(one.sealed for one in done) == [0, 0, 0, 0, 0, 200]
    assert AuditCheckpoint.objects.count() == 1
    whole()


def test_a_sealer_that_cannot_have_the_lock_gives_up(outside, superuser_connection, monkeypatch):
    monkeypatch.setattr(sealer, "LOCK_SECONDS", 0.05)
    superuser_connection.execute("SELECT pg_advisory_lock(%s)", [sealer.LOCK_KEY])
    with pytest.raises(SealerBusy):
        seal()


STEPS = {
    "before the leaves commit": "sealer.commit_checkpoint",
    "between commit and signature": "sealer.sign",
    "before the first publication": "sealer.publish",
    "with the note written and not told of": "sinks.DirectorySink.publish",
}


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("step", STEPS)
def test_a_sealer_killed_at_any_step_is_made_up_for_by_the_next(outside, step):
    leave(6)
    seal()
    leave(5)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(step=STEPS[step], after=step.startswith("with"))],
        cwd=Path(__file__).parents[2],
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "forge.settings",
            "FORGE_AUDIT_SIGNING_KEY": keys.settings.FORGE_AUDIT_SIGNING_KEY,
            "FORGE_AUDIT_SINKS": f"directory:{outside}",
            "FORGE_AUDIT_ORIGIN": ORIGIN,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    committed = list(AuditCheckpoint.objects.values_list("tree_size", "root_hash"))
    leave(3)

    seal()

    sizes = [one.size for one in outside_of(outside)]
    assert len(set(sizes)) == len(sizes)
    assert sizes[-1] == 14
    assert set(committed) <= set(AuditCheckpoint.objects.values_list("tree_size", "root_hash"))
    assert AuditLeaf.objects.count() == 14
    whole()
    assert verify_seals(against=outside).findings == []


KILLED = """
import os, signal, django
django.setup()
from forge.db import scope
scope.process_is_system()
from audit.sealing import sealer
from audit.sealing import sinks
owner, _, name = {step!r}.rpartition(".")
target = eval(owner)
real = getattr(target, name)
def die(*arguments):
    if {after}:
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(target, name, die)
sealer.seal()
"""


def test_what_was_committed_unsigned_is_signed_with_the_same_size_and_root(outside, monkeypatch):
    leave(5)
    monkeypatch.setattr(sealer, "sign", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        seal()
    monkeypatch.undo()
    unsigned = AuditCheckpoint.objects.get()
    assert unsigned.note is None
    done = seal()
    assert (done.sealed, done.is_signed) == (0, True)
    assert outside_of(outside) == [Checkpoint(ORIGIN, 5, bytes(unsigned.root_hash))]


def test_without_a_key_leaves_are_made_nothing_is_signed_and_it_is_told(outside, settings):
    settings.FORGE_AUDIT_SIGNING_KEY = ""
    leave(5)
    done = seal()
    assert (done.sealed, done.is_signed, done.published) == (5, False, 0)
    assert AuditCheckpoint.objects.get().note is None
    assert list(notes_in(outside)) == []
    assert "FORGE_AUDIT_SIGNING_KEY is not set" in str(seals.status())


@pytest.mark.parametrize("readable", ["gone", "none"])
def test_without_a_sink_that_can_be_read_nothing_is_signed_until_one_can(outside, settings, readable):
    if readable == "gone":
        outside.rename(outside.with_name("elsewhere"))
    else:
        settings.FORGE_AUDIT_SINKS = ["log:"]
    leave(5)
    done = seal()
    assert (done.sealed, done.is_signed, done.published) == (5, False, 0)
    if readable == "gone":
        assert "no such folder" in done.failures[f"directory:{outside}"]
        outside.with_name("elsewhere").rename(outside)
    settings.FORGE_AUDIT_SINKS = [f"directory:{outside}"]
    done = seal()
    assert (done.is_signed, done.published) == (True, 1)
    assert [one.size for one in outside_of(outside)] == [5]


def test_a_sink_that_fails_blocks_neither_the_others_nor_the_next_seals_and_catches_up(outside, monkeypatch):
    broken = {"is": True}

    class Second(DirectorySink):
        def publish(self, checkpoint, note):
            if broken["is"]:
                raise SinkFailed(f"{self.name}: away")
            super().publish(checkpoint, note)

    other = outside.with_name("second")
    other.mkdir()
    both = [Second(other), DirectorySink(outside)]
    for _ in range(3):
        leave_one()
        done = seal(sinks=both)
        assert (done.is_signed, done.published) == (True, 1)
        assert "away" in done.failures[f"directory:{other}"]
    broken["is"] = False
    assert seal(sinks=both).published == 3
    assert outside_of(other) == outside_of(outside)


def test_a_note_that_somebody_else_signed_does_not_count_as_the_outside(outside):
    leave(3)
    seal()
    leave(3)
    stranger = SigningKey.load(OTHER_SIGNING_KEY)
    forged = Checkpoint(ORIGIN, 900, bytes(32))
    DirectorySink(outside).publish(forged, stranger.sign(forged))
    done = seal()
    assert (done.sealed, done.is_signed) == (3, False)
    assert "no known key signed" in done.failures[f"directory:{outside}"]


def test_an_earlier_key_still_vouches_after_a_change_of_keys(outside, settings):
    leave(3)
    seal()
    before = str(keys.verifier_keys()[0])
    settings.FORGE_AUDIT_SIGNING_KEY = OTHER_SIGNING_KEY
    settings.FORGE_AUDIT_VERIFIER_KEYS = [before]
    leave(3)
    assert seal().is_signed
    assert verify_seals(against=outside).findings == []


def test_a_hole_is_told_and_sealed_past(outside, superuser):
    leave(9, lane=0)
    superuser("DELETE FROM audit_auditlog WHERE id IN (5, 6)")
    done = seal()
    assert done.sealed == 7
    assert done.faults == ["lane 0 lacks numbers 5 to 6"]
    leave(3, lane=0)
    assert seal().faults == []
    assert "2 entries were gone before they were sealed" in str(seals.status())


def test_a_missing_tail_a_broken_link_and_a_twin_are_told(outside, superuser):
    leave(4, lane=0)
    seal()
    leave(4, lane=0)
    superuser("UPDATE audit_auditlog SET previous_log_hash = sha256('x') WHERE id = 6")
    superuser("DELETE FROM audit_auditlog WHERE id = 8")
    faults = seal().faults
    assert faults == [
        "lane 0 number 6 does not go on from the entry before it", "lane 0 lacks numbers 8 to 8",
    ]  # fmt: skip


def test_a_clock_set_back_an_hour_stops_nothing_and_signs_one_history(outside, superuser):
    leave(3, lane=0)
    now = datetime.now(UTC)
    rechain(superuser, 0, [now + timedelta(hours=1, seconds=number) for number in range(3)])
    done = seal()
    assert done.sealed == 3
    assert len([fault for fault in done.faults if "impossible time" in fault]) == 3
    leave(2, lane=0)
    assert seal().is_signed
    assert [one.size for one in outside_of(outside)] == [3, 5]
    found = verify_seals(against=outside).findings
    assert {one.kind for one in found} == {"impossible_time"}
    assert {(one.lane, one.lane_seq) for one in found} == {(0, 1), (0, 2), (0, 3), (0, 4)}


def test_what_commits_late_is_sealed_then(outside, make_app_connection):
    """A row whose transaction was open during a pass belongs to the next one; it is not passed over."""
    late = make_app_connection()
    append_over(late)
    leave(3)
    assert seal().sealed == 3
    late.commit()
    done = seal()
    assert (done.sealed, done.faults) == (1, [])
    whole()


def test_seals_are_append_only_for_their_owner_too(outside, make_app_connection):
    leave(4)
    seal()
    owner = make_app_connection(role="forge_owner", autocommit=True)
    statements = [
        "UPDATE audit_auditleaf SET hash = sha256('x')", "DELETE FROM audit_auditleaf", "TRUNCATE audit_auditleaf",
        "UPDATE audit_auditnode SET hash = sha256('x')", "DELETE FROM audit_auditnode", "TRUNCATE audit_auditnode",
        "UPDATE audit_auditcheckpoint SET note = 'x'", "UPDATE audit_auditcheckpoint SET note = NULL",
        "UPDATE audit_auditcheckpoint SET tree_size = 3", "DELETE FROM audit_auditcheckpoint",
        "TRUNCATE audit_auditcheckpoint CASCADE", "DELETE FROM audit_auditpublication",
        "UPDATE audit_auditpublication SET sink = 'x'", "TRUNCATE audit_auditpublication",
    ]  # fmt: skip
    for statement in statements:
        with pytest.raises(psycopg.DatabaseError) as refusal:
            owner.execute(statement)
        assert refusal.value.sqlstate == APPEND_ONLY_SQLSTATE, statement


@pytest.mark.parametrize("table", ["auditleaf", "auditnode", "auditcheckpoint", "auditpublication"])
def test_the_application_may_only_read_seals(table, make_app_connection):
    application = make_app_connection(autocommit=True)
    application.execute(f"SELECT * FROM audit_{table}")
    for statement in (f"INSERT INTO audit_{table} DEFAULT VALUES", f"DELETE FROM audit_{table}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute(statement)
