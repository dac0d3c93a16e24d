"""A sweep that began earlier than another, and comes to a machine behind it: what is booked does not fall back."""

from importlib import import_module

import pytest
from django.db import connection, transaction

from audit.actors import Actor
from costs import metering
from costs.models import MeterMark
from tests.costs.meters import assert_sums_agree, at, booked, machine, reach

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

MEND = import_module("costs.migrations.0017_metering_never_falls_back").MEND


def charged(workspace):
    """What is booked of it but for records of nothing, which an hour leaves that was taken back."""
    [records], totals = booked(workspace)
    return [record for record in records if any(record[1:5])], totals


@pytest.mark.parametrize("state", ["STOPPED", "TERMINATED"])
@pytest.mark.parametrize(("late", "behind"), [(10.9, 10.95), (10.2, 10.95), (10.9, 12.5), (13.002, 13.005)])
@pytest.mark.parametrize("mode", ["AUTO_STOP", "ALWAYS_ON"])
def test_what_the_slower_of_two_sweeps_books_is_what_one_alone_would(state, late, behind, mode):
    undisturbed = machine((9.1, "AVAILABLE"), (late, state), running_mode=mode)
    one = machine((9.1, "AVAILABLE"), running_mode=mode)
    metering.meter(now=at(13.01))
    reach(one, at(late), state)
    metering.meter(now=at(behind))
    assert MeterMark.objects.get(workspace=one).metered_through == at(13.01)
    metering.meter(now=at(14))
    metering.meter(now=at(15))
    assert charged(one) == charged(undisturbed)
    assert_sums_agree()


@pytest.mark.parametrize("mode", ["AUTO_STOP", "ALWAYS_ON"])
def test_an_end_that_a_sweep_has_overtaken_owes_nothing_behind_it(mode):
    """The machine ends a moment before the hour, and is booked by a sweep of the next before the end is."""
    undisturbed = machine((9.1, "AVAILABLE"), (10.999, "TERMINATED"), running_mode=mode)
    one = machine((9.1, "AVAILABLE"), running_mode=mode)
    metering.meter(now=at(11.001))
    with transaction.atomic():
        reach(one, at(10.999), "TERMINATED")
        metering.close(workspaces=[one], actor=Actor.job("test"), now=at(10.999))
    metering.meter(now=at(900))
    assert charged(one) == charged(undisturbed)
    assert_sums_agree()


def test_what_had_fallen_back_before_is_reckoned_anew():
    """The state that such a sweep left: the mark stands before the last record, and every further sweep failed."""
    one, undisturbed = machine((9.1, "AVAILABLE")), machine((9.1, "AVAILABLE"), (10.9, "STOPPED"))
    machine((9.1, "AVAILABLE"))
    machine((9.1, "AVAILABLE"), (10.5, "TERMINATED"))
    metering.meter(now=at(13.01))
    reach(one, at(10.9), "STOPPED")
    MeterMark.objects.filter(workspace=one).update(
        dirty_from=None, metered_through=at(10.95), running_since=None, next_due_at=at(11)
    )
    with pytest.raises(metering.MeteringFailed):
        metering.meter(now=at(14))
    others = MeterMark.objects.exclude(workspace=one).order_by("workspace")
    before = list(others.values())
    with connection.cursor() as cursor:
        cursor.execute(MEND)
        assert cursor.rowcount == 1
    assert list(others.values()) == before
    metering.meter(now=at(15))
    assert booked(one) == booked(undisturbed)
    assert_sums_agree()
