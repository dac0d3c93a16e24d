"""The pure deadlines: never shorter by use, never past the hard one, whatever calendars say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workspaces.rules.deadlines import (
    Ceiling,
    Ceilings,
    Facts,
    Rule,
    Terms,
    end_of_lifetime,
    extended,
    gap_worth_writing,
    idle_time_in_force,
    plan,
)

TERMS = Terms(
    stop_warning=timedelta(minutes=10),
    end_warning=timedelta(days=7),
    stale_after=timedelta(days=30),
    stale_notice=timedelta(days=7),
)
START = datetime(2027, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ceilings(**changes):
    wide = {
        "idle": None,
        "session": Ceiling(168 * HOUR, "installation"),
        "lifetime": Ceiling(3650 * DAY, "installation"),
        "lease": Ceiling(336 * HOUR, "installation"),
        "keep_alive": Ceiling(365 * DAY, "installation"),
    }
    return Ceilings(**{**wide, **changes})


def facts(**changes):
    known = {
        "state": "AVAILABLE",
        "is_auto_stop": True,
        "created_at": START,
        "state_since": START,
        "idle_timeout": HOUR,
        "lifetime": 90 * DAY,
        "ceilings": ceilings(),
    }
    return Facts(**{**known, **changes})


def step(action, **changes):
    return next(one for one in plan(facts(**changes), TERMS).steps if one.action == action)


INSTANTS = st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda span: datetime(2027, 1, 1, tzinfo=UTC) + span)
SPANS = st.timedeltas(timedelta(minutes=15), timedelta(days=2))


@given(since=INSTANTS, timeout=SPANS, hard=SPANS, uses=st.lists(SPANS, max_size=30))
@example(since=datetime(2028, 2, 28, 23, 30, tzinfo=UTC), timeout=HOUR, hard=2 * DAY, uses=[HOUR, DAY])
def test_use_never_shortens_the_deadline_and_never_carries_it_past_the_hard_one(since, timeout, hard, uses):
    hard_deadline = since + hard
    deadline = at = since
    deadline = extended(deadline, active_at=at, by=timeout, hard=hard_deadline)
    for use in uses:
        at += use
        later = extended(deadline, active_at=at, by=timeout, hard=hard_deadline)
        assert deadline <= later <= max(deadline, hard_deadline)
        assert later <= max(deadline, at + timeout)
        deadline = later


@given(since=INSTANTS, timeout=SPANS, session=SPANS, uses=st.lists(SPANS, max_size=20), lease=st.none() | SPANS)
def test_the_planned_stop_moves_with_use_alone_and_ends_at_the_longest_run(since, timeout, session, uses, lease):
    known = facts(
        state_since=since,
        created_at=since,
        idle_timeout=timeout,
        ceilings=ceilings(session=Ceiling(session, "organization")),
        leased_until=since + lease if lease else None,
    )
    at, planned = since, plan(known, TERMS).steps[0].at
    for use in uses:
        at += use
        stop = next(one for one in plan(replace(known, last_activity_at=at), TERMS).steps if one.action == "stop")
        assert planned <= stop.at <= since + session
        assert (stop.rule == Rule.SESSION) == (stop.at == since + session)
        planned = stop.at


@given(created=INSTANTS, days=st.integers(1, 3650), zone=st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]))
@example(created=datetime(2028, 2, 29, 12, tzinfo=UTC), days=365, zone="Europe/Berlin")
@example(created=datetime(2027, 3, 27, 23, tzinfo=UTC), days=1, zone="Europe/Berlin")
@example(created=datetime(2027, 10, 30, 23, tzinfo=UTC), days=1, zone="Europe/Berlin")
def test_a_lifetime_is_so_many_times_24_hours_in_any_zone_and_over_the_leap_day(created, days, zone):
    local = created.astimezone(ZoneInfo(zone))
    end = end_of_lifetime(facts(created_at=created, lifetime=days * DAY), TERMS)
    assert end - created == days * DAY
    assert end == local.astimezone(UTC) + days * DAY


@given(own=SPANS, most=st.none() | SPANS)
def test_activity_is_worth_a_write_a_twentieth_of_the_idle_time_in_force_later(own, most):
    ceiling = None if most is None else Ceiling(most, "organization")
    in_force = facts(idle_timeout=own, ceilings=replace(facts().ceilings, idle=ceiling)).timeout
    assert idle_time_in_force(own, ceiling) == in_force == min(own, most or own)
    assert gap_worth_writing(in_force) == in_force / 20


@given(
    own=st.integers(1, 3650),
    most=st.integers(1, 3650),
    since=st.none() | st.timedeltas(timedelta(0), timedelta(days=4000)),
)
def test_a_ceiling_shortens_a_lifetime_but_never_without_the_time_of_a_warning(own, most, since):
    set_at = START + since if since is not None else None
    bound = ceilings(lifetime=Ceiling(most * DAY, "team", set_at))
    end = end_of_lifetime(facts(lifetime=own * DAY, ceilings=bound), TERMS)
    assert end <= START + own * DAY
    assert end >= min(START + own * DAY, START + most * DAY)
    if set_at is not None:
        assert end >= min(START + own * DAY, set_at + TERMS.end_warning)


def test_nobody_is_stopped_before_being_warned_for_the_whole_time():
    late = START + 5 * HOUR
    assert plan(facts(), TERMS).due(late) is None
    warned = plan(facts(stop_warned_at=late), TERMS)
    assert warned.due(late) is None
    assert warned.due(late + timedelta(minutes=10)).rule == Rule.IDLE


def test_a_warning_before_newer_use_does_not_count():
    warned_at = START + timedelta(minutes=50)
    used_at = START + timedelta(minutes=55)
    stop = step("stop", stop_warned_at=warned_at, last_activity_at=used_at)
    assert (stop.at, stop.warn_at) == (used_at + HOUR, used_at + timedelta(minutes=50))


def test_a_lease_holds_the_idle_stop_back_but_not_the_longest_run():
    assert step("stop", leased_until=START + 9 * HOUR).at == START + 9 * HOUR
    beyond = step("stop", leased_until=START + 300 * HOUR)
    assert (beyond.at, beyond.rule) == (START + 168 * HOUR, Rule.SESSION)


@pytest.mark.parametrize("state", ["PENDING", "STARTING", "STOPPING", "STOPPED", "TERMINATING"])
def test_only_a_machine_that_runs_is_stopped(state):
    assert [one.action for one in plan(facts(state=state), TERMS).steps if one.action == "stop"] == []


def test_a_machine_that_is_always_on_is_not_stopped_and_one_that_ends_has_nothing_ahead():
    assert [one.action for one in plan(facts(is_auto_stop=False), TERMS).steps] == ["terminate"]
    for state in ("TERMINATING", "TERMINATED", "FAILED"):
        assert plan(facts(state=state), TERMS).next is None


def test_a_stopped_machine_is_flagged_after_thirty_days_and_ended_seven_days_later():
    known = facts(state="STOPPED")
    assert plan(known, TERMS).next.at == START + 30 * DAY
    assert plan(known, TERMS).next.action == "flag"
    flagged = replace(known, stale_notified_at=START + 31 * DAY)
    ahead = plan(flagged, TERMS).next
    assert (ahead.action, ahead.rule, ahead.at) == ("terminate", Rule.STALE, START + 38 * DAY)
    used = replace(flagged, state_since=START + 33 * DAY)
    assert (plan(used, TERMS).next.action, plan(used, TERMS).next.at) == ("flag", START + 63 * DAY)


def test_a_keep_alive_that_runs_out_is_followed_by_a_flag_of_its_own():
    known = facts(state="STOPPED", keep_alive=True, keep_alive_until=START + 60 * DAY)
    assert (plan(known, TERMS).next.action, plan(known, TERMS).next.at) == ("flag", START + 60 * DAY)
    before = replace(known, stale_notified_at=START + 35 * DAY)
    assert plan(before, TERMS).next.action == "flag"


def test_an_end_that_is_due_does_not_wait_for_the_warning_of_a_stop():
    known = facts(lifetime=timedelta(hours=2), end_warned_at=START)
    assert plan(known, TERMS).due(START + 3 * HOUR).action == "terminate"


@given(days=st.integers(1, 3650), warned=SPANS | st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_nobody_loses_a_machine_before_having_been_warned_for_the_whole_time(days, warned):
    warned_at = START + warned
    assert plan(facts(state="PENDING", lifetime=days * DAY), TERMS).due(START + 4000 * DAY) is None
    (end,) = plan(facts(state="PENDING", lifetime=days * DAY, end_warned_at=warned_at), TERMS).steps
    if end.warn_at is None:
        assert end.at == max(START + days * DAY, warned_at + min(days * DAY, TERMS.end_warning))
    else:
        assert end.waits
        assert warned_at < end.warn_at == START + days * DAY - TERMS.end_warning


def test_an_idle_stop_that_is_put_off_until_the_longest_run_is_over_is_that_rules_and_needs_no_samples():
    hard = START + 168 * HOUR
    assert step("stop", stop_put_off_until=hard - HOUR).rule == Rule.IDLE
    waited = step("stop", stop_put_off_until=hard)
    assert (waited.at, waited.rule) == (hard, Rule.SESSION)
    assert step("stop", stop_put_off_until=hard + HOUR).rule == Rule.SESSION


def test_what_is_put_off_waits():
    until = START + 200 * DAY
    ahead = plan(facts(put_off_until=until, stop_put_off_until=START + 2 * HOUR), TERMS).steps
    assert [(one.action, one.at) for one in ahead] == [("stop", START + 2 * HOUR), ("terminate", until)]
