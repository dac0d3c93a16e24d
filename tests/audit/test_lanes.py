"""Lanes under concurrency: nobody waits, nothing forks, a roll-back leaves no hole."""

import psycopg
import pytest
from django.db import connection, transaction

from audit.models import AuditLane, AuditLog
from audit.receipts import Receipt
from audit.services import append
from audit.verification.rows import verify
from tests.audit.support import entry, leave, leave_one
from tests.audit.whole import append_over

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer(make_app_connection):
    """A writer whose statements give up rather than wait for a lock."""

    def make():
        one = make_app_connection()
        one.execute("SET lock_timeout = '1ms'")
        one.commit()
        return one

    return make


def test_no_writer_waits_for_another_writers_entry(writer):
    writers = [writer() for _ in range(12)]
    receipts = [append_over(one) for one in writers]
    assert len({receipt.lane for receipt in receipts}) == 12
    for one in writers:
        one.commit()
    assert verify().is_intact


def test_a_transaction_keeps_its_lane(writer):
    first, second = writer(), writer()
    lanes = [append_over(one).lane for one in (first, second, first, second, first)]
    assert lanes[0] == lanes[2] == lanes[4]
    assert lanes[1] == lanes[3] != lanes[0]


def test_a_session_comes_back_to_its_lane(writer):
    first, second = writer(), writer()
    held, lane = append_over(first), append_over(second).lane
    first.commit()
    second.commit()
    assert append_over(second).lane == lane != held.lane


def test_lanes_open_only_as_they_are_needed():
    for _ in range(5):
        leave(2)
    assert AuditLane.objects.filter(lane_seq__gt=0).count() == 1


def test_a_lane_that_is_busy_is_passed_over_and_a_new_one_opened(writer):
    leave(3, lane=0)
    holder, other = writer(), writer()
    assert append_over(holder).lane == 0
    assert append_over(other) == append_again(other, lane=1)


def append_again(one, *, lane):
    """The receipt that the connection's first entry in `lane` must have had."""
    with one.cursor() as cursor:
        cursor.execute("SELECT lane, lane_seq, log_hash FROM audit_auditlog WHERE lane = %s", [lane])
        return Receipt(*cursor.fetchone())


def test_with_every_lane_taken_a_writer_waits_for_one(superuser_connection, writer):
    one = writer()
    with superuser_connection.transaction():
        superuser_connection.execute("SELECT lane FROM audit_auditlane FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            append_over(one)
    one.rollback()
    assert append_over(one).lane_seq == 1


def test_a_batch_keeps_the_lane_of_the_entries_before_it():
    with transaction.atomic():
        first = append(entry())
        receipts = leave(3)
        last = append(entry())
    assert {receipt.lane for receipt in [first, *receipts, last]} == {first.lane}
    assert [receipt.lane_seq for receipt in [first, *receipts, last]] == [1, 2, 3, 4, 5]


def test_the_time_is_taken_under_the_lock(writer):
    first, second = writer(), writer()
    with second.cursor() as cursor:
        cursor.execute("SELECT now()")
        began = cursor.fetchone()[0]
    append_over(first)
    first.commit()
    late = append_over(second)
    second.commit()
    times = list(AuditLog.objects.filter(lane=late.lane).order_by("lane_seq").values_list("timestamp", flat=True))
    assert times == sorted(times)
    assert times[-1] > began


def test_a_rolled_back_first_entry_leaves_its_lane_unopened(writer):
    holder = writer()
    leave_one()
    append_over(holder)
    holder.rollback()
    assert verify().is_intact


def test_a_long_snapshot_beside_it_does_not_stop_the_lane(make_app_connection):
    """Dead versions of a head cannot be pruned while an old snapshot lives; appending goes on in the same lane."""
    reader = make_app_connection()
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM audit_auditlog")
    for _ in range(300):
        leave_one()
    assert AuditLane.objects.get(lane=0).lane_seq == 300
    assert verify().is_intact
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_auditlane WHERE lane_seq > 0")
        assert cursor.fetchone()[0] == 1
