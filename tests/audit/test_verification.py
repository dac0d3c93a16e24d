"""`audit_verify` finds what a superuser with all triggers off does to the log, and names where."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from audit import actions
from audit.models import AuditLog
from audit.receipts import LANE_SHIFT
from audit.verification import rows
from audit.verification.findings import CannotDecide
from audit.verification.rows import verify
from forge.db import partitions
from forge.db.months import add_months, month_of
from tests.audit.support import leave, leave_one, log_hash, rechain

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

THIS_MONTH = month_of(datetime.now(UTC))


def place(lane, lane_seq):
    return (lane << LANE_SHIFT) + lane_seq


def run_command(*arguments):
    """Exit code and output of `audit_verify`."""
    out = StringIO()
    try:
        call_command("audit_verify", *arguments, stdout=out, stderr=out)
    except SystemExit as exit_:
        return exit_.code, out.getvalue()
    return 0, out.getvalue()


def assert_found(kind, lane, lane_seq, *, month=None):
    """The first finding of a run is of this kind at this place; returns it."""
    first = verify(month=month).sorted_findings()[0]
    assert (first.kind, first.lane, first.lane_seq) == (kind, lane, lane_seq), first
    assert first.id == place(lane, lane_seq)
    assert str(first.id) in str(first)
    return first


@pytest.fixture
def log():
    """Nine rows in lane 0 and five in lane 3."""
    leave(9, lane=0)
    leave(5, lane=3)


@pytest.fixture
def three_months(superuser):
    """Lane 0 with ten rows and lane 1 with eight, over the two months before this one and this one."""
    first, second = add_months(THIS_MONTH, -2), add_months(THIS_MONTH, -1)
    partitions.ensure("audit_auditlog", first, THIS_MONTH)
    for lane, counts in ((0, (4, 3, 3)), (1, (2, 4, 2))):
        leave(sum(counts), lane=lane)
        times = [
            datetime(month.year, month.month, 1, 5, number, lane, 7, tzinfo=UTC)
            for month, count in zip((first, second, THIS_MONTH), counts, strict=True)
            for number in range(count)
        ]
        rechain(superuser, lane, times)
    return first, second, THIS_MONTH


def test_an_empty_log_is_intact():
    assert run_command("--dry-run")[0] == 0
    assert verify().rows == 0


def test_a_log_of_all_kinds_of_entries_is_intact(log):
    leave_one(
        action=actions.AUTH_FAILED,
        description='quote " backslash \\ line\nbreak é \U0001f600 \x7f',
        context={"identifier": 'a"\\b\n\x01é@example.com', "n": 2**53 - 1, "deep": [{"ü": [None, True, -1]}]},
        changes=None,
        resource_id="",
    )
    leave_one(context=None, changes={"before": {"a": [1, 2]}, "after": None})

    report = verify()

    assert report.is_intact
    assert (report.rows, report.lanes) == (16, 2)


def test_a_log_over_several_months_is_intact(three_months):
    report = verify()
    assert report.is_intact
    assert report.rows == 18
    assert all(verify(month=month).is_intact for month in three_months)


EDITS = {
    "action_description": "'Did something else'",
    "action_type": "'AUTH_LOGIN'",
    "user_id": "gen_random_uuid()",
    "organization_id": "NULL",
    "actor_kind": "'JOB'",
    "credential_id": "gen_random_uuid()",
    "interface": "'CLI'",
    "correlation_id": "gen_random_uuid()",
    "resource_type": "'Other'",
    "resource_id": "'6'",
    "result": "'DENIED'",
    "occurred_at": "occurred_at - interval '1 second'",
    "context": """'{"number": 4, "cost": "2.500000"}'""",
    "changes": "NULL",
    "user_email": "'bob@example.com'",
    "source_ip": "'203.0.113.9'",
    "user_agent": "NULL",
    "personal": """'{"context.email": "bob@example.com"}'""",
    "salt": "decode(repeat('00', 16), 'hex')",
    "content": "replace(content, 'thing', 'think')",
    "content_hash": "sha256('other')",
    "previous_log_hash": "sha256('other')",
    "log_hash": "sha256('other')",
    "hash_version": "2",
    '"timestamp"': "\"timestamp\" + interval '1 microsecond'",
}


def test_an_edit_of_any_column_names_its_row(log, superuser):
    for number, (column, value) in enumerate(EDITS.items()):
        row_id = place(0, 2 + number % 7)
        superuser("CREATE TEMP TABLE kept AS SELECT * FROM audit_auditlog WHERE id = %s", row_id)
        superuser(f"UPDATE audit_auditlog SET {column} = {value} WHERE id = %s", row_id)

        found = assert_found("bad_row", 0, 2 + number % 7)

        assert found.partition == f"audit_auditlog_{THIS_MONTH:%Y_%m}", column
        assert found.timestamp is not None
        superuser("DELETE FROM audit_auditlog WHERE id = %s", row_id)
        superuser("INSERT INTO audit_auditlog SELECT * FROM kept")
        superuser("DROP TABLE kept")
    assert verify().is_intact


def test_every_column_but_the_places_is_among_the_edits():
    columns = {field.column for field in AuditLog._meta.fields}
    assert {name.strip('"') for name in EDITS} == columns - {"id", "lane", "lane_seq"}


def test_erased_values_without_an_audited_erasure_are_named(log, superuser):
    superuser(
        "UPDATE audit_auditlog SET user_email = NULL, source_ip = NULL, user_agent = NULL, personal = NULL, salt = NULL"
        f" WHERE id = {place(3, 2)}"
    )
    assert_found("bad_row", 3, 2)


def test_an_edit_with_its_own_hashes_recomputed_is_named(log, superuser):
    content, timestamp, previous = superuser(
        'SELECT content, "timestamp", previous_log_hash FROM audit_auditlog WHERE id = %s', place(0, 5)
    ).fetchone()
    content = content.replace("Did thing 4", "Did thing 9")
    content_hash = hashlib.sha256(content.encode()).digest()
    hashed = log_hash(lane=0, lane_seq=5, timestamp=timestamp, previous=previous, content_hash=content_hash)
    superuser(
        "UPDATE audit_auditlog SET action_description = 'Did thing 9', content = %s, content_hash = %s, log_hash = %s"
        " WHERE id = %s",
        content, content_hash, hashed, place(0, 5),
    )  # fmt: skip

    assert_found("broken_link", 0, 5)


def test_content_that_is_no_json_is_named_even_with_its_hash_recomputed(log, superuser):
    superuser(
        "UPDATE audit_auditlog SET content = 'no JSON', content_hash = sha256('no JSON') WHERE id = %s", place(3, 4)
    )
    assert_found("bad_row", 3, 4)


def test_a_middle_that_is_no_json_is_named_and_the_rest_still_counted(log, superuser):
    superuser("""
        UPDATE audit_auditlog AS log SET content = bad, content_hash = sha256(bad::bytea), log_hash = sha256(
            'forge.audit.entry'::bytea || substring(int2send(hash_version) FROM 2) || int2send(lane) ||
            int8send(lane_seq) || timestamptz_send("timestamp") || previous_log_hash || sha256(bad::bytea))
        FROM (SELECT id, replace(content, '"context":{', '"context":[') AS bad FROM audit_auditlog) AS forged
        WHERE forged.id = log.id AND log.id = %s""", place(3, 5))  # fmt: skip

    assert_found("bad_row", 3, 5)
    assert verify().rows == 14


def test_a_deleted_row_in_the_middle_is_located(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(0, 5))
    found = assert_found("missing_rows", 0, 5)
    times = dict(AuditLog.objects.filter(lane=0).values_list("lane_seq", "timestamp"))
    assert (found.after, found.before) == (times[4], times[6])


def test_deleted_and_renumbered_rows_are_located(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(0, 5))
    for number in range(6, 10):
        superuser("UPDATE audit_auditlog SET id = id - 1, lane_seq = lane_seq - 1 WHERE id = %s", place(0, number))
    superuser("UPDATE audit_auditlane SET lane_seq = 8 WHERE lane = 0")
    found = verify().sorted_findings()[0]
    assert (found.kind, found.lane, found.lane_seq) == ("bad_row", 0, 5)


def test_the_first_row_of_a_lane_is_missed(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(3, 1))
    assert_found("missing_rows", 3, 1)


def test_a_cut_tail_is_missed_by_its_head(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id >= %s AND lane = 0", place(0, 8))
    found = assert_found("missing_rows", 0, 8)
    assert "2 rows are missing" in found.detail


def test_a_lane_without_its_rows_is_missed_by_its_head(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE lane = 3")
    assert_found("missing_rows", 3, 1)


def test_a_truncated_month_is_located(three_months, superuser):
    superuser(f"TRUNCATE audit_auditlog_{three_months[1]:%Y_%m}")

    found = verify().sorted_findings()

    assert {(one.kind, one.lane, one.lane_seq) for one in found} == {("missing_rows", 0, 5), ("missing_rows", 1, 3)}
    assert all(one.after.month == three_months[0].month for one in found)
    assert all(one.before.month == three_months[2].month for one in found)
    assert {one.lane for one in verify(month=three_months[1]).findings} == {0, 1}


def test_a_truncated_last_month_is_missed_by_the_heads(three_months, superuser):
    superuser(f"TRUNCATE audit_auditlog_{three_months[2]:%Y_%m}")
    assert_found("missing_rows", 0, 8)
    assert_found("missing_rows", 0, 8, month=three_months[2])


def test_the_tail_of_an_earlier_month_is_missed_by_that_month_alone(three_months, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(1, 6))
    assert_found("missing_rows", 1, 6, month=three_months[1])


def test_one_month_does_not_tell_of_another(three_months, superuser):
    superuser("UPDATE audit_auditlog SET action_description = 'x' WHERE id = %s", place(0, 2))
    assert_found("bad_row", 0, 2, month=three_months[0])
    assert verify(month=three_months[1]).is_intact


def test_two_swapped_rows_are_named(log, superuser):
    one, other = (
        superuser("SELECT content, content_hash, salt FROM audit_auditlog WHERE id = %s", place(0, number)).fetchone()
        for number in (3, 6)
    )
    for number, (content, content_hash, salt) in ((3, other), (6, one)):
        superuser(
            "UPDATE audit_auditlog SET content = %s, content_hash = %s, salt = %s WHERE id = %s",
            content, content_hash, salt, place(0, number),
        )  # fmt: skip
    found = [(one.kind, one.lane_seq) for one in verify().sorted_findings()]
    assert found == [("bad_row", 3), ("bad_row", 6)]


def test_two_rows_that_swapped_places_are_named(log, superuser):
    superuser("UPDATE audit_auditlog SET id = -id WHERE id = %s", place(0, 3))
    superuser("UPDATE audit_auditlog SET id = %s, lane_seq = 3 WHERE id = %s", place(0, 3), place(0, 6))
    superuser("UPDATE audit_auditlog SET id = %s, lane_seq = 6 WHERE id = %s", place(0, 6), -place(0, 3))
    assert {(one.lane, one.lane_seq) for one in verify().findings} >= {(0, 3), (0, 6)}


_COPY = """
    INSERT INTO audit_auditlog SELECT {id}, {timestamp}, organization_id, user_id, user_email, actor_kind,
        credential_id, action_type, 'Slipped in', resource_type, resource_id, result, source_ip, user_agent, interface,
        correlation_id, occurred_at, context, changes, personal, salt, content, hash_version, content_hash, lane,
        {lane_seq}, previous_log_hash, log_hash FROM audit_auditlog WHERE id = {of}
"""


def test_a_row_inserted_around_the_functions_stands_beyond_the_head(log, superuser):
    superuser(_COPY.format(id=place(3, 6), timestamp="clock_timestamp()", lane_seq=6, of=place(3, 5)))
    kinds = {(one.kind, one.lane, one.lane_seq) for one in verify().findings}
    assert {("rows_beyond_head", 3, 6), ("bad_row", 3, 6)} <= kinds


def test_an_id_doubled_in_another_partition_is_found(log, superuser):
    later = add_months(THIS_MONTH, 1)
    timestamp = datetime(later.year, later.month, 3, tzinfo=UTC)
    content_hash, previous = superuser(
        "SELECT content_hash, previous_log_hash FROM audit_auditlog WHERE id = %s", place(0, 4)
    ).fetchone()
    copy = _COPY.replace("'Slipped in'", "action_description")
    superuser(copy.format(id=place(0, 4), timestamp=f"'{timestamp.isoformat()}'", lane_seq=4, of=place(0, 4)))
    hashed = log_hash(lane=0, lane_seq=4, timestamp=timestamp, previous=previous, content_hash=content_hash)
    superuser(
        'UPDATE audit_auditlog SET log_hash = %s WHERE id = %s AND "timestamp" = %s', hashed, place(0, 4), timestamp
    )

    found = assert_found("duplicate_id", 0, 4)
    assert found.partition == f"audit_auditlog_{later:%Y_%m}"


def test_a_head_that_is_ahead_is_found(log, superuser):
    superuser("UPDATE audit_auditlane SET lane_seq = 11 WHERE lane = 0")
    assert_found("missing_rows", 0, 10)


def test_a_head_that_is_behind_is_found(log, superuser):
    superuser("UPDATE audit_auditlane SET lane_seq = 7 WHERE lane = 0")
    assert_found("rows_beyond_head", 0, 8)


def test_a_head_with_another_hash_is_found(log, superuser):
    superuser("UPDATE audit_auditlane SET log_hash = sha256('other') WHERE lane = 0")
    assert_found("broken_head", 0, 9)


def test_a_head_that_is_gone_is_found(log, superuser):
    superuser("DELETE FROM audit_auditlane WHERE lane IN (3, 200)")
    assert [(one.kind, one.lane) for one in verify().findings] == [("missing_head", 3), ("missing_head", 200)]


def test_a_lane_that_was_never_opened_has_no_rows(superuser):
    leave(1, lane=9)
    superuser("UPDATE audit_auditlane SET lane_seq = 0, log_hash = decode(repeat('00', 32), 'hex') WHERE lane = 9")
    assert_found("rows_beyond_head", 9, 1)


def test_a_row_under_a_wrong_id_is_named(log, superuser):
    superuser("UPDATE audit_auditlog SET id = %s WHERE id = %s", place(77, 1), place(3, 5))
    report = verify()
    assert ("bad_row", place(77, 1)) in {(one.kind, one.id) for one in report.findings}
    assert ("missing_rows", place(3, 5)) in {(one.kind, one.id) for one in report.findings}


def test_many_findings_are_counted_and_only_some_are_told(superuser, monkeypatch):
    monkeypatch.setattr(rows, "SHOWN", 3)
    leave(12)
    superuser("UPDATE audit_auditlog SET result = 'DENIED'")
    report = verify()
    assert report.bad_rows == 12
    assert len(report.findings) == 3


def test_pieces_of_a_partition_add_up(monkeypatch):
    monkeypatch.setattr(rows, "BLOCKS", 1)
    leave(40)
    leave(3, lane=5)
    heard = []
    report = verify(progress=lambda name, rows, share: heard.append((rows, share)))
    assert report.is_intact
    assert report.rows == 43
    assert len(heard) > 3
    assert heard == sorted(heard)
    assert heard[-1] == (43, pytest.approx(1.0))


def test_verification_beside_writers_gives_no_false_alarm(log):
    done = threading.Event()

    def write():
        while not done.is_set():
            leave(3)
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    try:
        reports = [verify() for _ in range(8)]
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert [finding for report in reports for finding in report.findings] == []
    assert reports[-1].rows > reports[0].rows


def test_the_command_says_intact_and_exits_0(log):
    code, out = run_command()
    assert code == 0
    assert out.startswith("intact: 14 rows in 2 lanes")


def test_the_command_names_the_row_and_exits_1(log, superuser):
    superuser("UPDATE audit_auditlog SET result = 'DENIED' WHERE id = %s", place(0, 5))
    code, out = run_command()
    assert code == 1
    assert f"row {place(0, 5)}, lane 0, number 5, partition audit_auditlog_{THIS_MONTH:%Y_%m}" in out


def test_the_command_reports_in_json(log, superuser):
    superuser("DELETE FROM audit_auditlog WHERE id = %s", place(3, 2))
    code, out = run_command("--json", "--month", f"{THIS_MONTH:%Y-%m}")
    report = json.loads(out)
    assert code == 1
    assert report["status"] == "tampered"
    assert (report["first"]["kind"], report["first"]["id"], report["first"]["lane"]) == ("missing_rows", place(3, 2), 3)
    assert report["first"]["after"] <= report["first"]["before"]


def test_a_month_that_does_not_exist_cannot_be_decided():
    with pytest.raises(CannotDecide):
        verify(month=date(2001, 1, 1))
    code, out = run_command("--month", "2001-01", "--json")
    assert code == 2
    assert json.loads(out)["status"] == "undecided"


def test_a_log_that_is_not_there_cannot_be_decided(superuser):
    superuser("ALTER TABLE audit_auditlane RENAME TO elsewhere")
    try:
        assert run_command()[0] == 2
    finally:
        superuser("ALTER TABLE elsewhere RENAME TO audit_auditlane")


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/nothing", ""])
def test_a_database_that_does_not_answer_or_is_not_named_cannot_be_decided(url):
    finished = subprocess.run(
        [sys.executable, "manage.py", "audit_verify"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"DATABASE_URL": url, "DATABASE_OWNER_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr
