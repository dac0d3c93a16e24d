"""The next period of a recurring budget: written a day ahead, around what people set by hand, without a gap."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from audit.models import AuditLog
from budgets import services, sweep
from budgets.models import Budget, Reservation
from budgets.periods import months_later
from costs import metering
from costs.pricing import HOUR
from forge.api.errors import Conflict, Refused
from tests.budgets.support import APRIL, MARCH, MAY, World, assert_sums_agree
from tests.budgets.threads import together

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

JOB = Actor.job("check_budgets")
DAY = timedelta(days=1)


@pytest.fixture
def world():
    metering.ensure_months(MARCH, MAY)
    return World()


def check(now):
    return sweep.check_budgets(actor=JOB, now=now)


def test_the_next_row_is_written_a_day_ahead_and_admits_nothing_yet(world):
    budget = world.budget(amount=500, recurs="MONTHLY", on_limit="BLOCK_STARTS")
    assert check(APRIL - DAY - HOUR)["renewed"] == 0
    assert check(APRIL - DAY)["renewed"] == 1
    following = Budget.objects.exclude(pk=budget.pk).get()
    assert (following.period_start, following.period_end) == (APRIL, MAY)
    assert (following.amount, following.recurs, following.on_limit) == (500, "MONTHLY", "BLOCK_STARTS")
    assert following.adopted_at is None
    assert following.thresholds.count() == 2
    entry = AuditLog.objects.get(action_type="BUDGET_CREATE")
    assert (entry.actor_kind, entry.context["renews"]) == ("JOB", str(budget.id))
    assert check(APRIL - HOUR)["renewed"] == 0


def test_a_quarter_follows_a_quarter(world):
    june = MAY + timedelta(days=31)
    world.budget(period_start=MARCH, period_end=june, recurs="QUARTERLY")
    check(june - HOUR)
    following = Budget.objects.latest("period_start")
    assert (following.period_start, following.period_end) == (june, june + timedelta(days=92))


def test_after_an_outage_every_missed_period_is_made_up_for(world):
    world.budget(recurs="MONTHLY")
    now = MARCH + timedelta(days=200)
    assert check(now)["renewed"] == 6
    starts = list(Budget.objects.order_by("period_start").values_list("period_start", flat=True))
    ends = list(Budget.objects.order_by("period_start").values_list("period_end", flat=True))
    assert starts[1:] == ends[:-1]
    assert starts[-1] <= now < ends[-1]
    assert not Budget.objects.filter(adopted_at__isnull=True).exists()


def test_what_was_set_by_hand_takes_the_place_of_the_next_row(world):
    world.budget(recurs="MONTHLY")
    by_hand = world.budget(amount=7, period_start=APRIL, period_end=MAY, recurs="MONTHLY")
    assert check(APRIL)["renewed"] == 0
    assert set(Budget.objects.filter(period_end__gt=APRIL)) == {by_hand}


def test_the_hours_that_nothing_set_by_hand_holds_are_written(world):
    """A week of its own terms, and the month around it as it would have been."""
    march = world.budget(amount=500, recurs="MONTHLY")
    week = world.budget(amount=50, period_start=APRIL + 7 * DAY, period_end=APRIL + 14 * DAY, adopted_at=None)
    assert check(APRIL - DAY)["renewed"] == 2
    before, held, after = Budget.objects.exclude(pk=march.pk).order_by("period_start")
    assert held == week
    assert (before.period_start, before.period_end, before.amount) == (APRIL, week.period_start, 500)
    assert (after.period_start, after.period_end, after.amount) == (week.period_end, MAY, 500)
    assert [before.recurs, after.recurs] == ["NONE", "MONTHLY"]
    assert check(MAY - DAY)["renewed"] == 1
    assert Budget.objects.binding(MAY).exists()


@pytest.mark.parametrize("recurs", ["NONE", "MONTHLY"])
def test_what_was_set_by_hand_and_is_switched_off_later_leaves_no_gap(world, recurs):
    world.budget(amount=500, recurs="MONTHLY")
    by_hand = world.budget(amount=50, period_start=APRIL, period_end=MAY, adopted_at=None, recurs=recurs)
    check(APRIL - DAY)
    services.change(actor=JOB, budget_id=by_hand.id, is_active=False, now=APRIL + 9 * DAY)
    assert check(APRIL + 9 * DAY) == check(APRIL) | {"renewed": 1, "adopted": 1}
    [bound] = Budget.objects.binding(APRIL + 9 * DAY)
    assert (bound.period_start, bound.period_end, bound.amount) == (APRIL, MAY, 500)
    assert check(MAY - DAY)["renewed"] == 1


def test_a_change_on_the_last_day_reaches_the_row_that_waits(world):
    budget, owner = world.budget(amount=500, recurs="MONTHLY"), world.person()
    check(APRIL - DAY)
    services.change(
        actor=JOB, budget_id=budget.id, amount=Decimal(100), on_limit="BLOCK_STARTS", owner=owner, now=APRIL - HOUR
    )
    following = Budget.objects.get(period_start=APRIL)
    assert (following.amount, following.on_limit, following.owner) == (100, "BLOCK_STARTS", owner)
    entry = AuditLog.objects.get(action_type="BUDGET_UPDATE", resource_id=str(following.id))
    assert entry.changes["before"] == {"amount": "500.000000", "on_limit": "BLOCK_LAUNCHES", "owner_id": None}
    check(APRIL)
    services.change(actor=JOB, budget_id=budget.id, amount=Decimal(7), now=APRIL)
    following.refresh_from_db()
    assert following.amount == 100


def test_a_budget_that_recurs_no_more_on_its_last_day_ends_the_row_that_waits(world):
    budget = world.budget(recurs="MONTHLY")
    check(APRIL - DAY)
    services.change(actor=JOB, budget_id=budget.id, recurs="NONE", now=APRIL - HOUR)
    assert check(APRIL) == dict.fromkeys(check(APRIL), 0)
    assert not Budget.objects.binding(APRIL).exists()


def test_another_recurrence_on_the_last_day_writes_the_next_row_anew(world):
    metering.ensure_months(MARCH, MAY + 90 * DAY)
    budget = world.budget(amount=500, recurs="MONTHLY")
    check(APRIL - DAY)
    for recurs, months in (("NONE", None), ("QUARTERLY", 3), ("MONTHLY", 1)):
        services.change(actor=JOB, budget_id=budget.id, recurs=recurs, now=APRIL - HOUR)
        ends = Budget.objects.filter(is_active=True, period_start=APRIL).values_list("period_end", flat=True)
        assert list(ends) == ([months_later(APRIL, months)] if months else [])
    assert check(APRIL)["adopted"] == 1


def test_a_budget_whose_period_is_over_does_not_begin_to_recur(world):
    budget = world.budget()
    with pytest.raises(services.PeriodIsOver):
        services.change(actor=JOB, budget_id=budget.id, recurs="MONTHLY", now=APRIL)
    assert check(APRIL)["renewed"] == 0


def test_a_row_of_its_own_that_was_switched_off_stays_so(world):
    world.budget(recurs="MONTHLY")
    check(APRIL - DAY)
    services.change(actor=JOB, budget_id=Budget.objects.get(period_start=APRIL).id, is_active=False, now=APRIL - HOUR)
    for now in (APRIL, APRIL + DAY, MAY):
        assert check(now)["renewed"] == 0


def test_a_period_of_any_length_is_followed_by_others_of_that_length(world):
    """Ten days and an hour each, over the turn of the month; a part that was set by hand shortens no other."""
    length = 10 * DAY + HOUR
    first = services.create(
        actor=JOB, organization=world.organization, scope="TEAM", scope_id=world.team.id, amount=Decimal(5),
        period_start=MARCH, period_end=MARCH + length, recurs="CUSTOM", now=MARCH,
    )  # fmt: skip
    by_hand = world.budget(amount=7, period_start=MARCH + length, period_end=MARCH + length + DAY)
    check(MARCH + 4 * length)
    rows = list(Budget.objects.exclude(pk=by_hand.pk).order_by("period_start"))
    assert [(row.period_start, row.period_end) for row in rows] == [
        (MARCH, MARCH + length),
        (MARCH + length + DAY, MARCH + 2 * length),
        *((MARCH + n * length, MARCH + (n + 1) * length) for n in range(2, 5)),
    ]
    assert {row.recurs_hours for row in rows} == {241}
    services.change(actor=JOB, budget_id=first.id, recurs="NONE", now=MARCH)
    first.refresh_from_db()
    assert first.recurs_hours is None


def test_whatever_people_set_and_switch_off_every_hour_of_the_next_periods_is_bound(scale):
    """Budgets set by hand, of any bounds in April and May and switched off at any time, between sweeps at any time."""
    metering.ensure_months(MARCH, MAY + 40 * DAY)
    world = World()
    june = MAY + 31 * DAY
    hours = st.integers(0, (june - APRIL) // HOUR)
    acts = st.one_of(st.tuples(st.just("set"), hours, hours), st.tuples(st.just("off"), st.integers(0, 9), hours))
    moments = st.lists(st.tuples(hours, acts), max_size=8)

    @settings(max_examples=scale(300, 25), deadline=None, suppress_health_check=list(HealthCheck))
    @given(moments)
    def hold(moments):
        with transaction.atomic():
            first = world.budget(amount=500, recurs="MONTHLY")
            for hour, act in sorted(moments):
                now = APRIL - DAY + hour * HOUR
                check(now)
                play(first, act, now)
                check(now)
                assert_bound_without_a_gap(now)
            check(june - HOUR)
            assert_bound_without_a_gap(june)
            transaction.set_rollback(True)

    def play(first, act, now):
        kind, one, other = act
        if kind == "off":
            by_hand = Budget.objects.filter(is_active=True, renews=None, period_end__gt=now).exclude(pk=first.pk)
            by_hand = by_hand.order_by("id")
            for budget in by_hand[one : one + 1]:
                services.change(actor=JOB, budget_id=budget.id, is_active=False, now=now)
            return
        start, end = sorted([one, other])
        with suppress(Refused, Conflict):
            services.create(
                actor=JOB,
                organization=world.organization,
                scope="TEAM",
                scope_id=world.team.id,
                amount=Decimal(7),
                period_start=APRIL + start * HOUR,
                period_end=APRIL + end * HOUR,
                now=now,
            )

    def assert_bound_without_a_gap(now):
        until = APRIL
        for start, end in (
            Budget.objects.filter(is_active=True, period_start__gte=APRIL)
            .order_by("period_start")
            .values_list("period_start", "period_end")
        ):
            assert start <= until or until > now + DAY, (until, start)
            until = end
        assert until > now or now < APRIL

    hold()


def test_a_budget_switched_off_is_not_renewed(world):
    world.budget(recurs="MONTHLY", is_active=False)
    assert check(APRIL)["renewed"] == 0


def test_many_sweeps_at_once_write_one_row(world):
    world.budget(recurs="MONTHLY")
    world.running(now=MARCH)
    together(lambda _: check(APRIL), range(6))
    assert Budget.objects.count() == 2
    assert Reservation.objects.live().count() == 1
    assert_sums_agree()
