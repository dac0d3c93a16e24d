import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections, transaction

from forge.api.denials import ClosedCount, note, take_closed
from forge.api.models import DenialCount

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.django_db
def test_only_the_first_of_an_address_prefix_and_minute_is_told():
    assert note("10.0.0.1", "abc", 401, NOON)
    assert not note("10.0.0.1", "abc", 401, NOON + timedelta(seconds=29))
    assert note("10.0.0.1", "abc", 401, NOON + timedelta(seconds=30))
    assert note("10.0.0.2", "abc", 401, NOON)
    assert note("10.0.0.1", "", 401, NOON)
    assert note("10.0.0.1", "abc", 429, NOON)


@pytest.mark.django_db
def test_closed_minutes_are_taken_once_and_single_ones_left_out():
    for address, times in (("10.0.0.1", 3), ("10.0.0.2", 1)):
        for second in range(times):
            note(address, "abc", 401, NOON + timedelta(seconds=second))
    note("10.0.0.1", "abc", 401, NOON + MINUTE)

    assert take_closed(NOON)[1] == []
    assert take_closed(NOON + MINUTE)[1] == [
        ClosedCount("10.0.0.1", "abc", 401, NOON.replace(second=0), 3, NOON + timedelta(seconds=2))
    ]
    assert take_closed(NOON + MINUTE)[1] == []
    assert DenialCount.objects.get().minute == NOON.replace(second=0) + MINUTE


@pytest.mark.django_db
def test_text_of_any_length_is_counted():
    assert note("x" * 500, "y" * 500, 401, NOON)
    assert not note("x" * 500, "y" * 500, 401, NOON)


@pytest.mark.django_db(transaction=True)
def test_a_hundred_at_once_have_one_first_and_none_is_lost():
    firsts = []

    def call():
        firsts.append(note("10.0.0.1", "abc", 401, NOON))
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(firsts) == 1
    assert [closed.count for closed in take_closed(NOON + MINUTE)[1]] == [100]


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_share_the_counts_and_a_rolled_back_one_returns_them():
    for _ in range(2):
        note("10.0.0.1", "abc", 401, NOON)
    seen = []

    def sweep():
        seen.extend(take_closed(NOON + MINUTE)[1])
        connections.close_all()

    with transaction.atomic():
        assert len(take_closed(NOON + MINUTE)[1]) == 1
        other = threading.Thread(target=sweep)
        other.start()
        other.join()
        transaction.set_rollback(True)
    assert seen == []
    assert len(take_closed(NOON + MINUTE)[1]) == 1
