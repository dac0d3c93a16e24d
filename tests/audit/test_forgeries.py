"""Forgeries that are meant to stop `audit_verify` from reading on: each is named, and none ends in "cannot decide"."""

import hashlib

import pytest

from audit.verification.rows import verify
from tests.audit.support import leave, log_hash
from tests.audit.test_verification import assert_found, place, run_command

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

_COPY = """
    INSERT INTO audit_auditlog
    SELECT (jsonb_populate_record(log, jsonb_build_object('id', {id}::bigint, 'lane_seq', {lane_seq}::bigint))).*
      FROM audit_auditlog AS log WHERE id = %s
"""


@pytest.fixture
def log():
    """Nine rows in lane 0 and five in lane 3."""
    leave(9, lane=0)
    leave(5, lane=3)


def rehash(superuser, row_id, *, change, version=1):
    """Edit the content by `change` and recompute the row's own hashes."""
    content, lane, lane_seq, timestamp, previous = superuser(
        'SELECT content, lane, lane_seq, "timestamp", previous_log_hash FROM audit_auditlog WHERE id = %s', row_id
    ).fetchone()
    content = change(content)
    content_hash = hashlib.sha256(content.encode()).digest()
    hashed = log_hash(
        lane=lane,
        lane_seq=lane_seq,
        timestamp=timestamp,
        previous=previous,
        content_hash=content_hash,
        version=version,
    )
    superuser(
        "UPDATE audit_auditlog SET content = %s, content_hash = %s, log_hash = %s, hash_version = %s WHERE id = %s",
        content, content_hash, hashed, version, row_id,
    )  # fmt: skip
    return hashed


def nested(content):
    depth = 100_000
    return content.replace('"context":{', '"context":{"a":' + "[" * depth + "]" * depth + ",", 1)


def test_brackets_nested_too_deeply_to_be_read_are_named(log, superuser):
    rehash(superuser, place(0, 5), change=nested)
    assert_found("bad_row", 0, 5)
    code, said = run_command("--dry-run")
    assert (code, str(place(0, 5)) in said) == (1, True), said
    assert verify().rows == 14


@pytest.mark.parametrize("row_id", [-(2**63), 2**63 - 1, -1, 0, 256 << 44])
def test_a_row_under_an_impossible_id_is_named(log, superuser, row_id):
    superuser(_COPY.format(id=f"({row_id})", lane_seq=5), place(0, 5))
    code, said = run_command()
    assert code == 1, said
    assert f"row {row_id}," in said
    assert [finding.kind for finding in verify().findings if finding.id == row_id] == ["bad_row"]


@pytest.mark.parametrize("lane_seq", [2**63 - 1, -(2**63), 0])
def test_a_row_with_an_impossible_number_is_named(log, superuser, lane_seq):
    superuser(f"UPDATE audit_auditlog SET lane_seq = ({lane_seq}) WHERE id = %s", place(3, 5))
    code, said = run_command()
    assert (code, f"row {place(3, 5)}," in said) == (1, True), said


def test_a_head_at_an_impossible_number_is_named(log, superuser):
    superuser("UPDATE audit_auditlane SET lane_seq = %s WHERE lane = 3", 2**63 - 1)
    code, said = run_command()
    assert (code, "missing_rows" in said) == (1, True), said


def test_another_version_of_the_format_is_named_though_all_its_hashes_are_right(log, superuser):
    hashed = rehash(superuser, place(3, 5), change=lambda content: content.replace('"v":1', '"v":2'), version=2)
    superuser("UPDATE audit_auditlane SET log_hash = %s WHERE lane = 3", hashed)
    found = assert_found("bad_row", 3, 5)
    assert found.detail == "its version does not hold"
