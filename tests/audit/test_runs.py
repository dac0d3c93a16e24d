"""What a verification looks at, in how many processes, and that its result is kept."""

import json
import logging
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.utils import timezone

from audit.models import AuditCheckpoint, AuditLog, AuditVerification
from audit.sealing.sealer import seal
from audit.tasks import verify as verify_task
from audit.verification import job, pieces, rows, runs, standing
from audit.verification.findings import CannotDecide
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from audit.verification.since import Since, verified_until
from forge.db.models import JobRun
from tests.audit.attacker import MONTHS, Attacker, build, name_of
from tests.audit.support import SIGNING_KEY, leave
from tests.audit.test_verification import place, run_command

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def sealed(outside):
    """Twelve rows in lane 0 and five in lane 3 up to checkpoint 1, verified; then as many again under checkpoint 2."""
    leave(12, lane=0)
    leave(5, lane=3)
    seal()
    assert run_command()[0] == 0
    leave(12, lane=0)
    leave(5, lane=3)
    leave(4, lane=7)
    seal()
    return outside


def edit(superuser, lane, lane_seq):
    Attacker(superuser).edit(lane, lane_seq, recompute=False)


# -- since a checkpoint -----------------------------------------------------------------------------------------------
def test_since_looks_at_what_came_after_and_says_what_it_did_not_look_at(sealed):
    code, said = run_command("--since-checkpoint")
    assert code == 0, said
    assert said.startswith("intact: 22 rows in 3 lanes")  # 21, and the entry of the verification before
    assert "Not looked at: the 17 entries up to checkpoint 1" in said


def test_since_finds_an_edit_after_the_checkpoint_and_not_one_before_it(sealed, superuser):
    edit(superuser, 0, 5)
    assert run_command("--since-checkpoint", "--dry-run")[0] == 0
    edit(superuser, 7, 2)
    code, said = run_command("--since-checkpoint", "--json", "--dry-run")
    report = json.loads(said)
    assert code == 1
    assert (report["first"]["kind"], report["first"]["lane"], report["first"]["lane_seq"]) == ("bad_row", 7, 2)
    assert (report["after_checkpoint"], report["entries_not_looked_at"]) == (1, 17)
    assert len(report["findings"]) == 1


LATER = {
    "rewritten": ("other_leaf", lambda attacker: (attacker.edit(0, 20, recompute=True), attacker.relink(0))),
    "deleted": ("no_row", lambda attacker: attacker.delete(0, 20)),
    "deleted and renumbered": ("other_leaf", lambda attacker: (attacker.delete(0, 20), attacker.relink(0))),
    "cut off": ("no_row", lambda attacker: (attacker.delete(3, 10), attacker.relink(3))),
    "doubled": ("duplicate_id", lambda attacker: attacker.copy(0, 20, to=20, at=datetime.now(UTC))),
    "beyond the head": ("rows_beyond_head", lambda attacker: attacker.copy(7, 3, to=5, at=datetime.now(UTC))),
    "back-dated": ("bad_row", lambda attacker: attacker.sql(
        """UPDATE audit_auditlog SET "timestamp" = "timestamp" - interval '20 minutes' WHERE id = %s""", place(0, 20))),
    "a leaf gone": ("missing_leaf", lambda attacker: attacker.sql("DELETE FROM audit_auditleaf WHERE index = 20")),
    "a node changed": ("bad_node", lambda attacker: attacker.sql(
        "UPDATE audit_auditnode SET hash = sha256('x') WHERE level = 1 AND index = 9")),
    "unsigned": ("bad_signature", lambda attacker: attacker.sql(
        "UPDATE audit_auditcheckpoint SET note = replace(note, 'forge', 'fogre') WHERE id = 2")),
    "the later checkpoint gone": ("missing_checkpoint", lambda attacker: attacker.sql(
        "DELETE FROM audit_auditpublication; DELETE FROM audit_auditcheckpoint WHERE id = 2")),
    "the earlier checkpoint gone": ("missing_checkpoint", lambda attacker: attacker.sql(
        "DELETE FROM audit_auditpublication; DELETE FROM audit_auditcheckpoint WHERE id = 1")),
    "the earlier tree changed": ("bad_root", lambda attacker: attacker.sql(
        "UPDATE audit_auditnode SET hash = sha256('x') WHERE level = 4 AND index = 0")),
}  # fmt: skip


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("attack", LATER)
def test_since_finds_each_attack_on_what_came_after(sealed, superuser, attack):
    kind, do = LATER[attack]
    do(Attacker(superuser))
    code, said = run_command("--since-checkpoint", "--dry-run")
    assert code == 1, said
    assert f"{kind}:" in said


def test_since_goes_on_from_where_the_last_one_ended_and_only_from_there(sealed):
    assert verified_until().checkpoint == 1
    run_command("--since-checkpoint", "2")  # a hole up to it, so it vouches for nothing
    assert verified_until().checkpoint == 1
    run_command("--since-checkpoint")
    assert verified_until().checkpoint == 2
    leave(3, lane=0)
    seal()
    code, said = run_command("--since-checkpoint")
    assert (code, "up to checkpoint 2" in said) == (0, True)
    assert verified_until().checkpoint == 3


def test_since_compares_with_the_outside_from_its_beginning_on(sealed, superuser):
    code, said = run_command("--since-checkpoint", "--against", str(sealed), "--dry-run")
    assert (code, "2 compared outside" in said) == (0, True), said
    next(sealed.rglob("*39.checkpoint")).unlink()
    next(sealed.rglob("*17.checkpoint")).unlink()
    assert run_command("--since-checkpoint", "--against", str(sealed), "--dry-run")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since-checkpoint",),
        ("--since-checkpoint", "9"),
        ("--month", f"{MONTHS[0]:%Y-%m}", "--against", "/tmp"),
        ("--receipt", f"0-1-{'0' * 64}", "--jobs", "2"),
        ("--receipt", f"0-1-{'0' * 64}", "--against", "/tmp"),
    ],
)
def test_what_cannot_be_answered_is_exit_2(outside, arguments):
    leave(3)
    seal()
    code, said = run_command(*arguments)
    assert code == 2
    assert said.startswith("cannot decide: ")
    assert AuditVerification.objects.get().outcome == "UNDECIDED"


def test_a_tampered_or_partial_verification_is_no_beginning(sealed, superuser):
    edit(superuser, 0, 5)
    assert run_command()[0] == 1
    assert verified_until().checkpoint == 1
    run_command("--month", f"{timezone.now():%Y-%m}")
    assert verified_until().checkpoint == 1


def test_a_log_over_months_is_verified_since_its_second_checkpoint(superuser, outside):
    build(superuser)
    since = Since.after(2)
    assert since.floors[:4] == (10, 7, 5, 1)
    report = verify(since=since)
    assert (report.is_intact, report.rows) == (True, 8)
    assert verify_seals(since=since).findings == []
    superuser("UPDATE audit_auditlog SET result = 'DENIED' WHERE id = %s", place(2, 6))
    found = verify(since=since).findings
    assert [(one.kind, one.lane, one.lane_seq, one.partition) for one in found] == [
        ("bad_row", 2, 6, name_of(MONTHS[2]))
    ]


def test_pieces_of_lanes_add_up(sealed, monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 2)
    heard = []
    report = verify(since=Since.after(1), progress=lambda name, rows, share: heard.append(share))
    assert (report.is_intact, report.rows) == (True, 22)
    assert len(heard) > 10
    assert heard[-1] == 1


def test_a_later_row_that_cannot_be_read_is_named(sealed, superuser):
    superuser(
        "UPDATE audit_auditlog SET content = convert_from('\\x22', 'UTF8') || %s WHERE id = %s", "[" * 30, place(7, 2)
    )
    monkey = pieces.Ids(1.0, place(7, 1), place(8, 1)).check()
    assert [(one.lane, one.lane_seq) for one in monkey.bad] == [(7, 2)]


# -- several processes ------------------------------------------------------------------------------------------------
def test_two_processes_find_what_one_finds(sealed, superuser, monkeypatch):
    monkeypatch.setattr(rows, "BLOCKS", 1)
    for lane, lane_seq in ((0, 3), (0, 9), (3, 8), (7, 1)):
        edit(superuser, lane, lane_seq)
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(0, 15))
    alone, shared = verify(), verify(jobs=2)
    assert len(alone.findings) > 4
    assert shared == alone


def test_a_process_that_dies_leaves_nothing_decided(sealed, monkeypatch):
    monkeypatch.setattr(rows, "BLOCKS", 1)

    def kill(*heard):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(CannotDecide, match="ended before its work was done"):
        verify(jobs=2, progress=kill)


def test_a_database_that_refuses_the_processes_is_exit_2(sealed, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert run_command("--jobs", "2", "--dry-run")[0] == 2


# -- what is kept -----------------------------------------------------------------------------------------------------
def test_the_result_stands_in_its_table_and_in_the_log(sealed, superuser):
    kept = AuditVerification.objects.get()
    assert (kept.scope, kept.outcome, kept.rows, kept.checkpoint, kept.tree_size) == ("FULL", "INTACT", 17, 1, 17)
    assert bytes(kept.root_hash) == bytes(AuditCheckpoint.objects.get(id=1).root_hash)
    entry = AuditLog.objects.get(action_type="AUDIT_VERIFY")
    assert (entry.result, entry.actor_kind, entry.resource_id) == ("SUCCESS", "COMMAND", str(kept.id))
    assert (entry.context["command"], entry.context["outcome"]) == ("audit_verify", "INTACT")
    assert entry.correlation_id == kept.correlation_id

    edit(superuser, 0, 5)
    run_command()

    kept = AuditVerification.objects.latest("id")
    assert (kept.outcome, kept.findings, kept.first["kind"], kept.first["lane_seq"]) == ("TAMPERED", 1, "bad_row", 5)
    entry = AuditLog.objects.filter(action_type="AUDIT_VERIFY").latest("timestamp")
    assert (entry.result, entry.context["first_kind"], entry.context["first_lane_seq"]) == ("FAILURE", "bad_row", 5)


def test_a_dry_run_keeps_nothing(sealed):
    before = AuditLog.objects.count()
    run_command("--dry-run")
    assert (AuditVerification.objects.count(), AuditLog.objects.count()) == (1, before)


def test_a_result_that_cannot_be_kept_is_exit_2_unless_tampered(sealed, superuser):
    superuser("ALTER FUNCTION audit_append RENAME TO elsewhere")
    try:
        code, said = run_command()
        assert (code, "could not be recorded" in said) == (2, True)
        edit(superuser, 0, 5)
        assert run_command()[0] == 1
    finally:
        superuser("ALTER FUNCTION elsewhere RENAME TO audit_append")
    assert AuditVerification.objects.count() == 1


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_auditverification SET rows = 0", "DELETE FROM audit_auditverification"]
)
@pytest.mark.parametrize("using", ["default", "owner"])
def test_what_is_kept_is_never_changed(sealed, make_app_connection, statement, using):
    role = "forge_app" if using == "default" else "forge_owner"
    with pytest.raises(psycopg.Error, match=r"permission denied|is refused|append-only"):
        make_app_connection(role=role).execute(statement.format("audit_auditverification"))


# -- the job and how the log stands -----------------------------------------------------------------------------------
def run_job():
    JobRun.objects.filter(job="audit_verify").delete()
    return verify_task()


def test_the_job_verifies_all_first_then_what_came_since_and_all_again_after_a_week(outside, settings):
    leave(6)
    seal()
    assert run_job() == {"scope": "FULL", "outcome": "INTACT", "rows": 6, "findings": 0, "checkpoint": 1}
    assert verify_task() is None  # once a day
    leave(2)
    seal()
    assert (run_job()["scope"], AuditVerification.objects.latest("id").rows) == ("SINCE", 3)
    settings.FORGE_AUDIT_FULL_VERIFY_DAYS = 0
    assert run_job()["scope"] == "FULL"
    entry = AuditLog.objects.filter(action_type="AUDIT_VERIFY").latest("timestamp")
    assert (entry.actor_kind, entry.context["job"]) == ("JOB", "audit_verify")


def test_the_job_verifies_all_again_while_something_is_wrong_and_alarms(sealed, superuser, caplog):
    edit(superuser, 7, 2)
    with caplog.at_level(logging.ERROR):
        assert run_job() | {"rows": 0} == {
            "scope": "SINCE", "outcome": "TAMPERED", "rows": 0, "findings": 1, "checkpoint": 2
        }  # fmt: skip
    assert "audit_verify: TAMPERED, 1 findings, the first: bad_row" in caplog.text
    assert run_job()["scope"] == "FULL"
    found = standing.standing(timezone.now())
    assert "found tampering" in found.problems[0]
    superuser("UPDATE audit_auditlog SET action_description = 'Did thing 1' WHERE id = %s", place(7, 2))
    run_command("--since-checkpoint")
    assert standing.standing(timezone.now()).problems  # less than all does not clear it
    run_command()
    assert standing.standing(timezone.now()).problems == []


def test_two_jobs_at_once_verify_once(sealed, superuser_connection):
    superuser_connection.execute("SELECT pg_advisory_lock(%s)", [job.LOCK_KEY])
    assert run_job() == {"skipped": "another verification is under way"}
    assert AuditVerification.objects.count() == 1


def test_nothing_verified_for_two_days_is_a_problem(sealed):
    now = timezone.now()
    assert standing.standing(now).problems == []
    assert "no verification has succeeded for 48 hours" in standing.standing(now + timedelta(hours=49)).problems


def test_a_log_that_was_never_verified_is_a_problem_two_days_after_its_first_entry(db):
    now = timezone.now()
    assert standing.standing(now + timedelta(days=9)).problems == []
    leave(1)
    assert standing.standing(now).problems == []
    assert standing.standing(now + timedelta(hours=49)).problems


def test_a_forged_receipt_is_no_alarm_of_the_log(sealed):
    assert run_command("--receipt", f"0-1-{'0' * 64}")[0] == 1
    assert AuditVerification.objects.latest("id").scope == "RECEIPT"
    assert standing.standing(timezone.now()).problems == []


def test_what_is_sealed_while_it_runs_does_not_count_as_looked_at(outside):
    leave(3)
    seal()
    run = runs.Run(AuditVerification.Scope.FULL)

    def go_on(*heard):
        leave(2)
        seal()

    runs.verify_all(run, progress=go_on)

    assert AuditCheckpoint.objects.count() > 1
    assert run.reached[:2] == (1, 3)


def test_since_finds_a_past_that_was_rewritten_and_signed_with_the_real_key(sealed, superuser):
    attacker = Attacker(superuser)
    attacker.edit(0, 5, recompute=True)
    attacker.relink(0)
    attacker.reseal(sign_with=SIGNING_KEY)
    assert verify_seals().findings == []
    code, said = run_command("--since-checkpoint", "--dry-run")
    assert code == 1
    assert "bad_checkpoint: checkpoint 1 is not as it was when it was verified" in said
    assert "bad_root: the first 17 leaves no longer have the root that was verified as checkpoint 1" in said
