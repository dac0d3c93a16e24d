"""Retention killed anywhere, twice at once, without room, with a hold or another copy in its way, at a wrong clock."""

import os
import resource
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, connections

from audit import holds
from audit import retention as log_retention
from audit.actors import Actor
from audit.archive import copies, parquet, retention
from audit.archive import steps as taking
from audit.models import AuditLog
from audit.sealing.sealer import seal
from forge.db import detached
from forge.db.models import ArchivedMonth
from tests.audit.history import (
    ACTOR,
    BEGUN,
    FALLEN_DUE,
    KEPT,
    NOW,
    TABLE,
    build,
    command,
    entries,
    name_of,
    steps,
    whole,
)
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"])]


def run_killed(now, owner, name, *, after):
    """One run in a process of its own, killed before or after its first call of `owner.name`."""
    connections.close_all()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"ended by itself: {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
        return
    real = getattr(owner, name)

    def die(*arguments, **named):
        if after:
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        setattr(owner, name, die)
        retention.take_steps(actor=ACTOR, now=now)
    finally:
        os._exit(1)


KILLS = {
    "before anything is written": (BEGUN, taking, "_record", False),
    "with the decision not committed": (BEGUN, taking, "_record", True),
    "with the decision committed": (BEGUN, detached, "_alter", False),
    "with the month out of its table": (BEGUN, detached, "_alter", True),
    "with the month moved and not committed": (BEGUN, detached, "_join_twin", True),
    "with the month in its place": (BEGUN, detached, "detach", True),
    "with the rows written": (BEGUN, parquet, "write", True),
    "with the copy whole": (BEGUN, copies, "check", False),
    "with the copy verified": (BEGUN, copies, "make", True),
    "with the export not committed": (BEGUN, taking, "_record", True),
    "before the drop is decided": (NOW, copies, "check", True),
    "with the drop not committed": (NOW, taking, "_change", True),
    "before the table goes": (NOW, detached, "drop", False),
    "with the table going": (NOW, detached, "_drop", True),
    "with the table gone": (NOW, detached, "drop", True),
}
FINISHED_BEFORE = ("before the drop is decided", "before the table goes")


def test_a_month_whose_every_step_is_killed_everywhere_still_leaves_as_it_must(oldest, outside):
    for when, (now, owner, name, after) in KILLS.items():
        if when in FINISHED_BEFORE:
            assert steps(now=BEGUN if now is NOW and when == FINISHED_BEFORE[0] else NOW)[1] == [], when
            seal()
        run_killed(now, owner, name, after=after)
    assert steps(NOW) == ({}, [])
    assert [one.state for one in ArchivedMonth.objects.all()] == ["DROPPED"]
    assert detached.months_of(TABLE) == []
    for action in ("AUDIT_MONTH_DETACH", "AUDIT_MONTH_EXPORT", "AUDIT_MONTH_DROP"):
        assert len(entries(action)) == 1
    seal()
    whole(outside)


def test_while_a_month_is_between_its_places_verification_does_not_decide(oldest, outside):
    run_killed(BEGUN, detached, "_alter", after=True)
    seal()
    with pytest.raises(retention.CannotDecide, match="is being detached"):
        whole(outside)
    assert steps(BEGUN)[1] == []
    whole(outside)


def test_of_two_runs_one_does_the_work_and_the_other_says_so(oldest, monkeypatch):
    monkeypatch.setattr(retention, "LOCK_SECONDS", 0.2)
    began, may_end = threading.Event(), threading.Event()
    make = copies.make

    def slow(*arguments):
        began.set()
        may_end.wait(20)
        return make(*arguments)

    def run():
        told.append(steps(BEGUN))
        connections.close_all()

    monkeypatch.setattr(copies, "make", slow)
    told = []
    first = threading.Thread(target=run)
    first.start()
    assert began.wait(20)
    with pytest.raises(retention.Busy):
        steps(BEGUN)
    may_end.set()
    first.join()
    assert told == [({"detach": [name_of(oldest)], "export": [name_of(oldest)]}, [])]


@contextmanager
def room_for(size):
    """No file of this process may grow beyond `size` bytes, as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_archive_is_told_leaves_nothing_half_and_is_made_up_for(oldest, outside, archive):
    with room_for(1000):
        taken, faults = steps(BEGUN)
    assert (list(taken), len(faults)) == (["detach"], 1)
    assert "export failed: directory:" in faults[0]
    assert list((archive / TABLE).iterdir()) == []
    whole(outside)
    assert steps(BEGUN) == ({"export": [name_of(oldest)]}, [])


# -- Holds ----------------------------------------------------------------------------------------------------------
def hold(month, **fields):
    admin = UserFactory(organization=None)
    start = BEGUN.replace(year=month.year, month=month.month, day=1, hour=0, minute=0, second=0, microsecond=0)
    return holds.place(
        actor=Actor.of_user(admin), reason="case 12", now=NOW, period_start=start,
        period_end=start + timedelta(days=3), **fields,
    )  # fmt: skip


def release(one):
    holds.release(actor=Actor.of_user(UserFactory(organization=None)), hold=one, reason="closed", now=NOW)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_hold_between_the_steps_wins_until_it_is_released(oldest, outside, done):
    for now in (BEGUN, NOW)[:done]:
        assert steps(now)[1] == []
        seal()
    placed = hold(oldest)
    seal()
    before = steps(NOW)
    assert before == ({}, [])
    whole(outside)
    release(placed)
    seal()
    assert steps(NOW)[0] != {}


def test_a_hold_that_comes_while_the_table_goes_comes_after_it_or_before(oldest, monkeypatch):
    for now in (BEGUN, NOW):
        steps(now)
        seal()
    placed = []

    def place():
        placed.append(hold(oldest))
        connections.close_all()

    waiting = threading.Thread(target=place)
    drop = detached._drop

    def slow(table, month, partition, check, using):
        def check_then_wait():
            check()
            waiting.start()
            time.sleep(0.3)  # a hold that did not wait would be placed by now
            assert placed == []

        return drop(table, month, partition, check_then_wait, using)

    monkeypatch.setattr(detached, "_drop", slow)
    assert steps(NOW) == ({"remove": [name_of(oldest)]}, [])
    waiting.join()
    assert len(placed) == 1


def test_a_hold_that_was_placed_just_before_is_seen_under_the_lock(oldest, monkeypatch):
    for now in (BEGUN, NOW):
        steps(now)
        seal()
    check = copies.check

    def check_then_hold(*arguments):
        found = check(*arguments)
        hold(oldest)
        return found

    monkeypatch.setattr(copies, "check", check_then_hold)
    taken, [fault] = steps(NOW)
    assert (taken, "legal hold" in fault) == ({}, True)
    assert len(detached.months_of(TABLE)) == 1


# -- The copy ---------------------------------------------------------------------------------------------------------
def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a changed row": lambda folder: flip(folder / f"{TABLE}.parquet"),
    "a changed bundle": lambda folder: flip(folder / "bundle" / "entries.ndjson.gz"),
    "a lost file": lambda folder: (folder / "bundle" / "leaves.bin").unlink(),
    "another file": lambda folder: (folder / "more.txt").write_text("x"),
    "another manifest": lambda folder: (folder / "manifest.json").write_text('{"files": {}, "rows": 6}'),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "no copy": lambda folder: folder.rename(folder.with_name("elsewhere")),
}


def test_a_month_whose_copy_is_not_right_any_more_is_not_dropped(oldest, outside, archive, tmp_path, capsys):
    steps(BEGUN)
    seal()
    folder, kept = archive / TABLE / f"{oldest:%Y-%m}", tmp_path / "kept"
    shutil.copytree(folder, kept)
    for name, damage in DAMAGE.items():
        damage(folder)
        taken, faults = steps(NOW)
        assert (taken, len(faults), "drop failed" in faults[0]) == ({}, 1, True), name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder.with_name("elsewhere"), ignore_errors=True)
        shutil.copytree(kept, folder)
    flip(folder / "manifest.json")
    code, out = command(capsys)
    assert (code, "FAULT" in out) == (1, True)
    assert name_of(oldest) in [one.name for one in detached.months_of(TABLE)]
    whole(outside)


def test_a_copy_that_changed_after_the_decision_keeps_the_table(oldest, archive):
    for now in (BEGUN, NOW):
        steps(now)
        seal()
    flip(archive / TABLE / f"{oldest:%Y-%m}" / f"{TABLE}.parquet")
    assert "remove failed" in steps(NOW)[1][0]
    assert len(detached.months_of(TABLE)) == 1


def test_a_lost_copy_is_made_again_on_demand_and_its_days_begin_anew(oldest, archive, capsys):
    steps(BEGUN)
    seal()
    assert command(capsys, "--export-again", "audit_auditlog_1999_01")[0] == 1
    DAMAGE["no copy"](archive / TABLE / f"{oldest:%Y-%m}")
    code, out = command(capsys, "--export-again", name_of(oldest))
    assert (code, f"export: {name_of(oldest)}" in out) == (0, True)
    assert "its copy must stand until" in out
    assert len(entries("AUDIT_MONTH_EXPORT")) == 2
    seal()
    assert steps(NOW) == ({}, [])


def test_a_tampered_month_is_never_exported(oldest, superuser):
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM audit_auditlog")
        (first,) = cursor.fetchone()
    superuser("UPDATE audit_auditlog SET resource_id = 'other' WHERE id = %s", first)
    taken, faults = steps(BEGUN)
    assert (list(taken), "is not intact" in faults[0]) == (["detach"], True)
    assert ArchivedMonth.objects.get().state == "DETACHED"


# -- Clocks -----------------------------------------------------------------------------------------------------------
def test_a_clock_set_back_drops_nothing_and_loses_nothing(oldest, outside):
    steps(BEGUN)
    seal()
    assert steps(BEGUN - timedelta(days=400)) == ({}, [])
    assert steps(BEGUN - timedelta(hours=1)) == ({}, [])
    whole(outside)
    assert steps(NOW)[0] == {"drop": [name_of(oldest)]}


def test_a_clock_that_runs_ahead_of_the_database_makes_no_month_older(superuser, outside, archive):
    build(superuser, kept=KEPT, over=-FALLEN_DUE)
    assert steps(NOW + timedelta(days=4000)) == ({}, [])
    assert AuditLog.objects.filter(action_type="AUDIT_MONTH_DETACH").count() == 0


def test_the_policy_names_what_erasure_takes():
    assert log_retention.PERSONAL == ("user_email", "source_ip", "user_agent", "personal", "salt")
