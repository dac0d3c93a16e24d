"""After a restore: sealing is refused, and a new incarnation is the deliberate way on."""

import pytest

from audit.actors import Actor
from audit.models import AuditLeaf, AuditLog
from audit.sealing import incarnations
from audit.sealing.sealer import SealRefused, seal
from audit.sealing.sinks import notes_in
from audit.verification.seals import verify_seals
from tests.audit.support import leave
from tests.audit.test_seals import ORIGIN, outside_of, whole

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_the_outside_ahead_of_the_database_is_refused(outside, superuser):
    """As after the restore of a backup: everything of the last pass is gone."""
    leave(5, lane=0)
    seal()
    leave(4, lane=0)
    seal()
    restore(superuser, 5)

    with pytest.raises(SealRefused, match="9 entries, the database 5"):
        seal()

    leave(7, lane=0)
    with pytest.raises(SealRefused):
        seal()
    assert AuditLeaf.objects.count() == 5


def test_another_root_outside_for_a_size_that_we_have_is_refused(outside, superuser):
    leave(5, lane=0)
    seal()
    leave(4, lane=0)
    seal()
    restore(superuser, 5)
    leave(6, lane=0)
    with pytest.raises(SealRefused):
        seal()
    # An attacker who moves the sealed part on by hand meets the other half of the check.
    superuser("UPDATE audit_auditleaf SET hash = sha256('other') WHERE index = 0")
    superuser("DELETE FROM audit_auditleaf WHERE index > 4")
    (newest,) = list(notes_in(outside))[1:]
    newest[0].unlink()
    superuser("UPDATE audit_auditnode SET hash = sha256('other') WHERE level = 2 AND index = 0")
    with pytest.raises(SealRefused, match="disagree about the first 5"):
        seal()


def restore(superuser, size):
    """Take the database back to when lane 0 had `size` sealed rows."""
    log_hash = superuser("SELECT log_hash FROM audit_auditlog WHERE id = %s", size).fetchone()[0]
    superuser("DELETE FROM audit_auditlog WHERE id > %s", size)
    superuser("UPDATE audit_auditlane SET lane_seq = %s, log_hash = %s WHERE lane = 0", size, log_hash)
    superuser("DELETE FROM audit_auditleaf WHERE index >= %s", size)
    superuser("DELETE FROM audit_auditnode WHERE (index + 1) << level > %s", size)
    superuser(
        "DELETE FROM audit_auditpublication WHERE checkpoint_id IN"
        " (SELECT id FROM audit_auditcheckpoint WHERE tree_size > %s)",
        size,
    )
    superuser("DELETE FROM audit_auditcheckpoint WHERE tree_size > %s", size)


def test_a_new_incarnation_is_the_deliberate_and_recorded_way_on(outside, superuser):
    leave(5, lane=0)
    seal()
    leave(4, lane=0)
    seal()
    restore(superuser, 5)

    number = incarnations.begin(actor=Actor.command("audit_seal"), reason="disk lost, backup of Monday")

    assert number == 2
    entry = AuditLog.objects.get(action_type="AUDIT_NEW_INCARNATION")
    assert entry.context["reason"] == "disk lost, backup of Monday"
    assert (entry.context["incarnation"], entry.context["tree_size"]) == (2, 5)
    done = seal()
    assert (done.sealed, done.is_signed) == (1, True)
    assert [one.size for one in outside_of(outside, f"{ORIGIN}/2")] == [5, 6]
    whole()
    found = verify_seals(against=outside)
    assert found.findings == []
    assert "up to 4 entries were lost" in found.notices[0]


def test_a_backup_of_an_earlier_incarnation_is_refused_and_the_next_one_takes_a_fresh_number(outside, superuser):
    leave(5, lane=0)
    seal()
    leave(4, lane=0)
    seal()
    restore(superuser, 5)
    incarnations.begin(actor=Actor.command("audit_seal"), reason="first restore")
    seal()
    restore(superuser, 5)
    superuser("DELETE FROM audit_auditcheckpoint WHERE incarnation = 2")
    for path, _ in list(notes_in(outside)):
        if path.name == "009.checkpoint":
            path.unlink()
    with pytest.raises(SealRefused, match="incarnation 2"):
        seal()
    assert incarnations.begin(actor=Actor.command("audit_seal"), reason="second restore") == 3
    assert seal().is_signed


def test_no_new_incarnation_where_none_is_needed(outside):
    leave(5)
    seal()
    with pytest.raises(incarnations.NotNeeded, match="agree"):
        incarnations.begin(actor=Actor.command("audit_seal"), reason="no reason")
    outside.rename(outside.with_name("elsewhere"))
    with pytest.raises(incarnations.NotNeeded, match="no such folder"):
        incarnations.begin(actor=Actor.command("audit_seal"), reason="no reason")
    assert not AuditLog.objects.filter(action_type="AUDIT_NEW_INCARNATION").exists()
