"""What a machine owes at its end is charged once, whatever is written of it or wakes its mark afterwards."""

from datetime import timedelta
from decimal import Decimal

import pytest

from costs import metering
from costs.models import MeterMark
from forge.db.ids import uuid7
from tests.costs.meters import assert_sums_agree, booked, end, total
from tests.costs.test_reconfigured import APRIL, HOURS, MARCH, launched, modify, on, part, price
from workspaces.models import ConfigurationChange

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

ENDED = on(20, 9.3)
SWITCHED = on(10, 5.5)


def with_paid_storage(workspace):
    """Storage of its organization's AlwaysOn machines costs by the GB."""
    own = price(running_mode="ALWAYS_ON")
    own.pk, own.organization, own.storage_gb_month_amount, own.included_storage_gb = (
        uuid7(), workspace.organization, Decimal("0.10"), 100,
    )  # fmt: skip
    own.save(force_insert=True)


@pytest.fixture(params=["autostop", "alwayson", "switched", "ended before the first sweep"])
def ended(request):
    """A machine that has ended within an hour that was booked already, and one that ended before it was booked."""
    mode = "ALWAYS_ON" if request.param == "alwayson" else "AUTO_STOP"
    workspace = launched(running_mode=mode, root_volume_gb=80, user_volume_gb=100)
    with_paid_storage(workspace)
    if not request.param.startswith("ended"):
        metering.meter(now=SWITCHED - timedelta(minutes=20))
        if request.param == "switched":
            modify(workspace, SWITCHED, running_mode="ALWAYS_ON")
        metering.meter(now=ENDED - timedelta(minutes=10))
    end(workspace, ENDED)
    return workspace


def test_a_change_that_is_written_after_the_end_wakes_nothing(ended):
    before, mark = booked(ended), MeterMark.objects.filter(workspace=ended).values().get()
    other = "AUTO_STOP" if ended.running_mode == "ALWAYS_ON" else "ALWAYS_ON"
    modify(ended, ENDED + timedelta(seconds=1), running_mode=other, user_volume_gb=250)
    assert ConfigurationChange.objects.filter(workspace=ended, after_running_mode=other).exists()
    assert MeterMark.objects.filter(workspace=ended).values().get() == mark
    metering.meter(now=APRIL)
    assert booked(ended) == before
    assert_sums_agree()


@pytest.mark.parametrize("since", [ENDED, on(20, 9), on(20, 4.5), MARCH])
def test_an_end_that_is_reckoned_anew_adds_nothing(ended, since):
    before = booked(ended)
    for now in (ENDED + timedelta(minutes=5), on(25), APRIL):
        MeterMark.objects.filter(workspace=ended).update(dirty_from=since, next_due_at=since)
        metering.meter(now=now)
        assert not MeterMark.objects.filter(next_due_at__isnull=False).exists()
    assert booked(ended) == before
    assert_sums_agree()


@pytest.mark.parametrize("mode", ["AUTO_STOP", "ALWAYS_ON"])
def test_the_rest_of_the_month_is_what_the_price_says(mode):
    workspace = launched(running_mode=mode)
    metering.meter(now=on(20, 9.1))
    end(workspace, ENDED)
    kind = price(running_mode=mode)
    hours = (20 - 1) * 24 + 10 if mode == "AUTO_STOP" else 0
    assert total(workspace) == kind.monthly_amount + hours * kind.hourly_amount
    assert part(kind.monthly_amount, 0, HOURS) == kind.monthly_amount


def test_a_change_before_the_end_wakes_the_mark():
    workspace = launched()
    metering.meter(now=on(20, 9.1))
    modify(workspace, on(20, 8.5), bundle_type="PERFORMANCE")
    assert MeterMark.objects.get(workspace=workspace).dirty_from == on(20, 8.5)
