"""Who may do what to the log's rows: nobody changes them, the application only appends, an eraser may forget."""

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from audit.models import AuditLane, AuditLog
from audit.verification.rows import verify
from forge.db.operations import APPEND_ONLY_SQLSTATE
from tests.audit.support import leave, leave_one

pytestmark = pytest.mark.django_db(transaction=True)

ERASE = "UPDATE audit_auditlog SET user_email = NULL, source_ip = NULL, user_agent = NULL, personal = NULL, salt = NULL"
CHANGES = [
    "UPDATE audit_auditlog SET result = 'DENIED'",
    "UPDATE audit_auditlog SET user_email = 'bob@example.com'",
    "UPDATE audit_auditlog SET user_email = NULL, result = 'DENIED'",
    ERASE.replace("salt = NULL", "salt = decode(repeat('00', 16), 'hex')"),
    ERASE + ", log_hash = sha256('x')",
    "DELETE FROM audit_auditlog",
    "TRUNCATE audit_auditlog",
    "DO $$ BEGIN EXECUTE 'TRUNCATE audit_auditlog_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'); END $$",
]
NOT_OURS = [
    *CHANGES[:-1],
    ERASE,
    "INSERT INTO audit_auditlog SELECT * FROM audit_auditlog",
    "UPDATE audit_auditlane SET lane_seq = 0",
    "INSERT INTO audit_auditlane VALUES (256, 0, '')",
    "DELETE FROM audit_auditlane",
    "SELECT lane FROM audit_auditlane FOR UPDATE",
    "SELECT audit_take_lane()",
]


@pytest.fixture
def owner(make_app_connection):
    return make_app_connection(role="forge_owner", autocommit=True)


def test_triggers_refuse_the_owner_any_change(owner):
    leave_one()
    before = list(AuditLog.objects.values())
    for statement in CHANGES:
        with pytest.raises(psycopg.DatabaseError) as refusal:
            owner.execute(statement)
        assert refusal.value.sqlstate == APPEND_ONLY_SQLSTATE, statement
    assert list(AuditLog.objects.values()) == before


def test_the_application_may_only_append_through_the_function():
    leave_one()
    with connection.cursor() as cursor:
        for statement in NOT_OURS:
            with pytest.raises(ProgrammingError, match="permission denied"):
                cursor.execute(statement)


def test_a_table_of_the_callers_own_does_not_stand_in_for_the_lanes():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE audit_auditlane (LIKE public.audit_auditlane) ON COMMIT DROP")
            cursor.execute("INSERT INTO audit_auditlane SELECT 7, 41, sha256('mine')")
            cursor.execute("SET LOCAL search_path = pg_temp, public")
        receipt = leave_one()
    assert receipt.lane_seq == 1
    assert AuditLane.objects.get(lane=receipt.lane).lane_seq == 1


def test_an_erasure_by_the_owner_passes_and_keeps_every_hash(owner):
    receipts = leave(3)
    hashes = list(AuditLog.objects.order_by("id").values_list("log_hash", "content", "content_hash"))
    owner.execute(ERASE + f" WHERE id = {receipts[1].entry_id}")

    row = AuditLog.objects.get(id=receipts[1].entry_id)
    assert (row.user_email, row.source_ip, row.user_agent, row.personal, row.salt) == (None,) * 5
    assert list(AuditLog.objects.order_by("id").values_list("log_hash", "content", "content_hash")) == hashes
    assert [(one.kind, one.id) for one in verify().findings] == [("bad_row", row.id)]  # no audited erasure names it
