"""Whatever the rhythm of metering, it books the same records, row by row: its history alone says what an hour costs.

Each history is metered every minute, every minute with three of four sweeps killed, now and then, and once, three days
late. What happens in it happens within three hours, so that several changes fall into one, at mid-month and over the
turn of a month.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from costs import metering
from costs.models import CostRecord, MeterMark
from costs.pricing import HOUR, hour_of
from tests import factories
from tests.costs.books import own_price, rerated
from tests.costs.meters import assert_sums_agree, booked, end, reach, total
from tests.costs.test_reconfigured import MARCH, modify, on
from workspaces.models import WorkSpace

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("months")]

MINUTE = timedelta(minutes=1)
LASTS = 180
"""Minutes in which things happen."""
LATE = timedelta(days=3)
COLUMNS = (
    "period_start", "period_end", "running_seconds", "billed_hours", "storage_gb", "compute_cost", "storage_cost",
    "data_transfer_cost", "total_cost", "currency", "basis", "bundle_type", "region", "running_mode", "cost_center",
    "tags", "price__hourly_amount", "price__monthly_amount", "price__storage_gb_month_amount",
)  # fmt: skip
"""All of a record but its ids and the time of writing; the price by its figures, the team by its place."""
FEES = {
    ("STANDARD", "AUTO_STOP"): ("9.75", "0.30"),
    ("STANDARD", "ALWAYS_ON"): ("35", "0"),
    ("PERFORMANCE", "AUTO_STOP"): ("13", "0.47"),
    ("PERFORMANCE", "ALWAYS_ON"): ("52", "0"),
}


class House:
    """An organization with prices of its own, two teams, and a machine whose session hours begin at one minute."""

    def __init__(self, began: datetime, minute: int, mode: str) -> None:
        self.organization = factories.OrganizationFactory()
        self.teams = [factories.TeamFactory(organization=self.organization) for _ in range(2)]
        self.price = {}
        for kind in FEES:
            self.set_price(kind, MARCH, now=MARCH - HOUR)
        launched = began - 5 * HOUR + minute * MINUTE
        self.machine = factories.WorkSpaceFactory(
            organization=self.organization,
            team=self.teams[0],
            running_mode=mode,
            root_volume_gb=80,
            user_volume_gb=100,
            history=[(launched, "AVAILABLE")],
        )

    def set_price(self, kind, valid_from, *, now, times=1, reason="", after=None):
        bundle_type, running_mode = kind
        monthly, hourly = (Decimal(amount) * times for amount in FEES[kind])
        self.price[kind] = own_price(
            self.organization, valid_from, now=now, reason=reason, after=after, bundle_type=bundle_type,
            running_mode=running_mode, monthly_amount=monthly, hourly_amount=hourly, included_storage_gb=130,
            storage_gb_month_amount=Decimal("0.10"),
        )  # fmt: skip

    def play(self, step, at):
        what, value = step
        self.machine.refresh_from_db()
        if self.machine.state == "TERMINATED":
            return
        if what == "state":
            self.turn(value, at)
        elif what == "team":
            WorkSpace.objects.filter(pk=self.machine.pk).update(team=self.teams[value], attributed_at=at)
        elif what in ("dearer", "corrected"):
            self.reprice(at, times=value, is_corrected=what == "corrected")
        else:
            modify(self.machine, at, **{what: value})

    def reprice(self, at, *, times, is_corrected):
        """What the machine is costs more: from the next hour on, or by a correction from the running one on."""
        kind = (self.machine.bundle_type, self.machine.running_mode)
        if self.price[kind].valid_from > at:
            return
        if is_corrected and hour_of(at) < at:  # what begins now corrects nothing
            self.set_price(kind, hour_of(at), now=at, times=times, reason="it was read wrongly")
            rerated(now=at)
        else:
            self.set_price(kind, hour_of(at) + HOUR, now=at, times=times, after=self.price[kind].pk)

    def turn(self, state, at):
        if state == "TERMINATED":
            end(self.machine, at)
        elif state != self.machine.state:
            reach(self.machine, at, state)

    def records(self):
        rows = CostRecord.objects.filter(workspace=self.machine).order_by("period_start")
        return [{**row, "team_id": self.teams.index(team)} for row, team in self._with_teams(rows)]

    def _with_teams(self, rows):
        teams = {team.pk: team for team in self.teams}
        return [(row, teams[row.pop("team_id")]) for row in rows.values(*COLUMNS, "team_id")]


class Killed(Exception):
    pass


def killed(**_):
    raise Killed


def meter(at, *, is_killed=False):
    """A sweep; one that is killed has written its records when it dies, and leaves nothing."""
    with pytest.MonkeyPatch.context() as patched:
        if is_killed:
            patched.setattr(metering, "_settle", lambda *_, **__: killed())
        with suppress(Killed):
            metering.meter(now=at)


def follow(began, minute, mode, steps, sweeps, *, dying=0):
    """The records of a machine to which `steps` happen, metered at `sweeps`, killed but for each `dying`th."""
    house = House(began, minute, mode)
    due = [(began + at * MINUTE, nr, partial(house.play, step)) for nr, (at, step) in enumerate(steps)]
    for nr, at in enumerate(sorted(sweeps)):
        instant = began + at * MINUTE + timedelta(seconds=7)
        is_killed = bool(dying) and nr % dying > 0
        due.append((instant, len(steps), lambda at, is_killed=is_killed: meter(at, is_killed=is_killed)))
    for at, _, happens in sorted(due, key=lambda one: one[:2]):
        happens(at)
    meter(began + LASTS * MINUTE + LATE)
    return house.records()


EVERY_MINUTE = range(LASTS)
BEGAN = {"mid-month": on(10, 6), "turn of the month": on(31, 22)}

LARGER = ("bundle_type", "PERFORMANCE")
SMALLER = ("bundle_type", "STANDARD")

minutes = st.integers(0, LASTS - 1)
STEPS = st.lists(
    st.tuples(
        minutes,
        st.one_of(
            st.tuples(st.just("bundle_type"), st.sampled_from(["STANDARD", "PERFORMANCE"])),
            st.tuples(st.just("bundle_type"), st.sampled_from(["STANDARD", "PERFORMANCE"])),
            st.tuples(st.just("running_mode"), st.sampled_from(["AUTO_STOP", "ALWAYS_ON"])),
            st.tuples(st.just("user_volume_gb"), st.sampled_from([100, 175, 300])),
            st.tuples(st.just("state"), st.sampled_from(["STOPPED", "AVAILABLE", "STARTING"])),
            st.tuples(st.just("state"), st.just("TERMINATED")),
            st.tuples(st.just("team"), st.integers(0, 1)),
            st.tuples(st.just("dearer"), st.integers(2, 5)),
            st.tuples(st.just("corrected"), st.integers(2, 5)),
        ),
    ),
    min_size=1,
    max_size=7,
)


def assert_alike(when, minute, mode, steps, sweeps):
    began = BEGAN[when]
    steps = sorted(steps, key=lambda step: step[0])
    MeterMark.objects.update(next_due_at=None)
    once = follow(began, minute, mode, steps, [])
    assert len(once) >= 5
    for rhythm, dying in ((EVERY_MINUTE, 0), (EVERY_MINUTE, 4), (sweeps, 0)):
        found = follow(began, minute, mode, steps, rhythm, dying=dying)
        assert found == once, f"metered at {rhythm}, killed but for each {dying or 'one'}"
    assert_sums_agree()


@pytest.mark.timeout(3600)  # three hundred histories at full count
def test_any_rhythm_books_the_same_whatever_happens_within_an_hour(scale):
    @settings(
        max_examples=scale(300, 3), phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @example("mid-month", 55, "AUTO_STOP", [(90, LARGER)], [110])
    @example("mid-month", 55, "AUTO_STOP", [(65, LARGER), (80, SMALLER), (95, LARGER)], [70, 82, 100])
    @example("mid-month", 55, "AUTO_STOP", [(70, ("running_mode", "ALWAYS_ON")), (90, LARGER)], [80, 100])
    @example("mid-month", 55, "AUTO_STOP", [(90, LARGER), (100, ("user_volume_gb", 300)), (105, ("team", 1))], [101])
    @example("mid-month", 50, "AUTO_STOP", [(90, LARGER), (115, ("state", "TERMINATED"))], [100])
    @example("mid-month", 55, "AUTO_STOP", [(70, LARGER), (80, ("corrected", 3)), (82, ("dearer", 2))], [75, 81])
    @example("turn of the month", 57, "AUTO_STOP", [(0, ("corrected", 4)), (56, ("state", "TERMINATED"))], [13, 54])
    @example("turn of the month", 55, "ALWAYS_ON", [(90, ("running_mode", "AUTO_STOP")), (95, LARGER)], [92, 100])
    @example("turn of the month", 55, "AUTO_STOP", [(90, ("running_mode", "ALWAYS_ON")), (130, LARGER)], [140])
    @given(
        st.sampled_from(sorted(BEGAN)),
        st.integers(0, 59),
        st.sampled_from(["AUTO_STOP", "AUTO_STOP", "ALWAYS_ON"]),
        STEPS,
        st.lists(minutes, max_size=8),
    )
    def check(when, minute, mode, steps, sweeps):
        assert_alike(when, minute, mode, steps, sweeps)

    check()


def test_any_rhythm_over_a_week_of_changes_books_the_same():
    """Punctual or days late, behind several changes: the same records to the millionth as every seven minutes."""
    history = [
        (on(27, 9.9), "AVAILABLE"),
        (on(27, 18), "STOPPED"),
        (on(28, 8.4), "STARTING"),
        (on(28, 8.5), "AVAILABLE"),
    ]
    changes = [
        (on(27, 12.5), {"bundle_type": "PERFORMANCE"}),
        (on(28, 20.2), {"running_mode": "ALWAYS_ON"}),
        (on(29, 6), {"root_volume_gb": 175, "user_volume_gb": 100}),
        (on(30, 1.7), {"running_mode": "AUTO_STOP"}),
        (on(2, 3.3, month=4), {"running_mode": "ALWAYS_ON"}),
    ]
    end = on(3, 12, month=4) + timedelta(microseconds=1)

    def follow(step):
        workspace = factories.WorkSpaceFactory(history=history[:1])
        steps = sorted([*((at, state) for at, state in history[1:]), *changes, (end, None)], key=lambda one: one[0])
        now = history[0][0]
        for at, what in steps:
            while now + step < at:
                now += step
                metering.meter(now=now)
            if isinstance(what, str):
                reach(workspace, at, what)
            elif what:
                modify(workspace, at, **what)
        metering.meter(now=end)
        return workspace

    one = follow(timedelta(minutes=7))
    for minutes in (17, 50, 1440, 40 * 1440):
        other = follow(timedelta(minutes=minutes))
        (first, _), (second, _) = booked(one), booked(other)
        differing = [ours for ours, theirs in zip(first[0], second[0], strict=True) if ours != theirs]
        assert differing == [], f"metered every {minutes} minutes"
        assert total(one) == total(other) > 0
    assert_sums_agree()
