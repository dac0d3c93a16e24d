"""Usage patterns: which sessions they give, and how the users of machines follow them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.client import ControlError
from workspaces.simulator.machine import DURATIONS, INSTANT, Machine, at
from workspaces.simulator.server import Simulator
from workspaces.simulator.usage import WEEK, Usage, chance, read_usage, show_usage

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
OFFICE = {
    "seed": 1,
    "time_zone": "Europe/Berlin",
    "sessions": [{"days": ["mon", "tue", "wed", "thu", "fri"], "begins": "09:00", "ends": "17:00"}],
}
MONDAY = datetime(2027, 3, 1, tzinfo=BERLIN).timestamp()


def _sessions(usage: Usage, begins: float, ends: float, person: str = "d/ann") -> list[tuple[float, float]]:
    found = []
    while (session := usage.session_after(person, begins)) is not None and session[0] < ends:
        found.append(session)
        begins = session[1]
    return found


def _wall(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).astimezone(BERLIN).strftime("%a %d %H:%M")


def test_a_pattern_repeats_on_its_weekdays() -> None:
    sessions = _sessions(read_usage(OFFICE), MONDAY, MONDAY + 14 * 24 * HOUR)
    assert [_wall(begins) for begins, _ in sessions[:6]] == [
        "Mon 01 09:00", "Tue 02 09:00", "Wed 03 09:00", "Thu 04 09:00", "Fri 05 09:00", "Mon 08 09:00",
    ]  # fmt: skip
    assert len(sessions) == 10
    assert {_wall(ends)[-5:] for _, ends in sessions} == {"17:00"}


def test_the_wall_clock_holds_over_the_change_to_summer_time_and_the_leap_day() -> None:
    daily = read_usage({"time_zone": "Europe/Berlin", "sessions": [{"begins": "01:30", "ends": "03:30"}]})
    spring = datetime(2027, 3, 27, tzinfo=BERLIN).timestamp()
    lengths = [(_wall(begins), (ends - begins) / HOUR) for begins, ends in _sessions(daily, spring, spring + 70 * HOUR)]
    assert lengths == [("Sat 27 01:30", 2), ("Sun 28 01:30", 1), ("Mon 29 01:30", 2)]
    autumn = datetime(2027, 10, 31, tzinfo=BERLIN).timestamp()
    assert [(ends - begins) / HOUR for begins, ends in _sessions(daily, autumn, autumn + 24 * HOUR)] == [3]
    leap = datetime(2028, 2, 28, tzinfo=BERLIN).timestamp()
    days = [_wall(begins)[4:6] for begins, _ in _sessions(daily, leap, leap + 70 * HOUR)]
    assert days == ["28", "29", "01"]


def test_a_slot_may_pass_midnight() -> None:
    night = read_usage({"time_zone": "UTC", "sessions": [{"days": ["mon"], "begins": "22:00", "ends": "06:00"}]})
    monday = datetime(2027, 3, 1, tzinfo=UTC).timestamp()
    assert night.session_after("p", monday + 25 * HOUR) == (monday + 22 * HOUR, monday + 30 * HOUR)


def test_probability_and_jitter_come_from_seed_person_and_day_alone() -> None:
    slot = OFFICE["sessions"][0] | {"probability": 0.6}
    usage = read_usage(OFFICE | {"sessions": [slot], "jitter_minutes": 30})
    year = (MONDAY, MONDAY + 364 * 24 * HOUR)
    ann = _sessions(usage, *year)
    assert ann == _sessions(read_usage(show_usage(usage)), *year)
    assert 0.5 < len(ann) / 260 < 0.7
    assert all(abs(int(_wall(begins)[-5:-3]) * 60 + int(_wall(begins)[-2:]) - 540) <= 30 for begins, _ in ann)
    assert ann != _sessions(usage, *year, person="d/bob")
    assert ann != _sessions(read_usage(show_usage(usage) | {"seed": 2}), *year)


@settings(max_examples=60)
@given(
    begins=st.integers(0, 1439),
    minutes=st.integers(1, 1439),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    day=st.integers(0, 800),
    within=st.floats(0, 86_400),
)
def test_the_next_session_is_the_first_that_ends_later(
    begins: int, minutes: int, zone: str, day: int, within: float
) -> None:
    ends = (begins + minutes) % 1440
    slot = {"begins": f"{begins // 60:02}:{begins % 60:02}", "ends": f"{ends // 60:02}:{ends % 60:02}"}
    usage = read_usage({"time_zone": zone, "sessions": [slot]})
    instant = MONDAY + day * 86_400 + within
    session = usage.session_after("p", instant)
    assert session is not None
    assert session[1] > instant
    assert session[0] < instant + 26 * HOUR
    earlier = usage.session_after("p", session[0] - 30 * HOUR)
    assert earlier is not None
    assert earlier[1] <= session[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"time_zone": "Mars/Base"}, "Mars/Base"),
        ({"time_zone": None}, "None"),
        ({"seed": "x"}, "seed"),
        ({"jitter_minutes": 500}, "jitter_minutes"),
        ({"colour": 1}, "colour"),
        ({"sessions": {}}, "lists"),
        ({"sessions": [{"begins": "09:00"}]}, "ends"),
        ({"sessions": [{"begins": "9", "ends": "17:00"}]}, "HH:MM"),
        ({"sessions": [{"begins": "09:61", "ends": "17:00"}]}, "HH:MM"),
        ({"sessions": [{"days": ["someday"], "begins": "09:00", "ends": "17:00"}]}, "days"),
        ({"sessions": [{"probability": 2, "begins": "09:00", "ends": "17:00"}]}, "probability"),
    ],
)
def test_a_wrong_pattern_is_explained_and_changes_nothing(
    simulator: Simulator, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ControlError, match=words) as caught:
        simulator.control.declare_usage(OFFICE | change)
    assert caught.value.status == 400
    assert simulator.control.usage() == []


def test_a_user_follows_his_pattern_and_wakes_his_machine() -> None:
    with Simulator(speed=0, start=MONDAY) as simulator:
        cloud = Cloud(simulator.url)
        workspace_id = cloud.launch("ann")
        assert simulator.control.declare_usage(OFFICE) == 1

        def at_hour(hour: float) -> tuple[str | None, str]:
            simulator.control.advance(MONDAY + hour * HOUR - simulator.control.health()["now"])
            return cloud.state(workspace_id), cloud.connection(workspace_id)["ConnectionState"]

        assert at_hour(8) == ("STOPPED", "UNKNOWN")  # stopped by itself an hour after it was made
        assert at_hour(9.001) == ("STARTING", "UNKNOWN")
        assert at_hour(9.5) == ("AVAILABLE", "CONNECTED")
        assert at_hour(16.9) == ("AVAILABLE", "CONNECTED")
        assert at_hour(17.5) == ("AVAILABLE", "DISCONNECTED")
        last = cloud.connection(workspace_id)["LastKnownUserConnectionTimestamp"].timestamp()
        assert last == MONDAY + 17 * HOUR
        assert at_hour(18.5) == ("STOPPED", "UNKNOWN")
        assert at_hour(33.5) == ("AVAILABLE", "CONNECTED")
        cloud.stop(workspace_id)
        assert at_hour(34) == ("STOPPED", "UNKNOWN")  # who is cut off comes back with the next session only
        assert at_hour(58) == ("AVAILABLE", "CONNECTED")


def test_machines_made_later_follow_the_rule_that_fits_them_and_the_last_one_wins() -> None:
    with Simulator(speed=0, start=MONDAY + 10 * HOUR) as simulator:
        cloud = Cloud(simulator.url)
        simulator.control.declare_usage(OFFICE)
        simulator.control.declare_usage(None, user_name="ROBOT-*")
        ann, robot = cloud.launch("ann"), cloud.launch("robot-7")
        simulator.control.advance(300)
        assert cloud.connection(ann)["ConnectionState"] == "CONNECTED"
        assert cloud.connection(robot)["ConnectionState"] == "DISCONNECTED"
        assert simulator.control.withdraw_usage() == 1
        simulator.control.disconnect(ann)
        simulator.control.advance(24 * HOUR)
        assert cloud.state(ann) == "STOPPED"


def test_patterns_and_their_rules_survive_a_restart(tmp_path: Any) -> None:
    state_file = tmp_path / "aws.state"
    with Simulator(speed=0, start=MONDAY, state_file=state_file) as first:
        first.control.declare_usage(OFFICE)
        Cloud(first.url).launch("ann")
    with Simulator(speed=0, state_file=state_file) as second:
        cloud = Cloud(second.url)
        cloud.launch("bob")
        second.control.advance(10 * HOUR)
        assert [one["connected"] for one in second.control.machines()] == [True, True]
        assert second.control.usage() == [{"pattern": OFFICE}]


def _machine(usage: Usage, **more: Any) -> Machine:
    fixed = {"workspace_id": "ws-1", "account": "1", "region": "r", "position": 0, "directory_id": "d"}
    fixed |= {"user_name": "ann", "bundle_id": "b", "created_at": MONDAY, "state": "AVAILABLE", "since": MONDAY}
    fixed |= {"until": None, "running_mode": "AUTO_STOP", "auto_stop_minutes": 60, "root_gib": 80, "user_gib": 50}
    fixed |= {"compute_type": "STANDARD", "operating_system": "x", "protocol": "WSP", "idle_since": MONDAY}
    return Machine(**(fixed | {"usage": usage, "visited_until": MONDAY} | more))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 5),
    steps=st.lists(st.floats(1, 3 * 86_400), min_size=1, max_size=8),
    mode=st.sampled_from(["AUTO_STOP", "ALWAYS_ON"]),
    durations=st.sampled_from([DURATIONS, INSTANT]),
)
def test_following_a_pattern_in_many_steps_is_following_it_in_one(
    seed: int, steps: list[float], mode: str, durations: dict[str, float]
) -> None:
    slots = [
        {"days": list(WEEK[:5]), "begins": "08:30", "ends": "12:00", "probability": 0.7},
        {"begins": "22:30", "ends": "01:15", "probability": 0.3},
    ]
    usage = read_usage({"seed": seed, "time_zone": "America/New_York", "sessions": slots, "jitter_minutes": 45})
    machine, now = _machine(usage, running_mode=mode), MONDAY
    for step in steps:
        now += step
        machine = at(machine, now, durations)
    assert machine == at(_machine(usage, running_mode=mode), now, durations)


def test_a_pattern_without_sessions_for_weeks_is_waited_out() -> None:
    slots = [{"begins": "09:00", "ends": "10:00", "probability": 0.01}]
    usage = read_usage({"seed": 4, "time_zone": "UTC", "sessions": slots})
    machine = at(_machine(usage, running_mode="ALWAYS_ON"), MONDAY + 3 * 365 * 86_400, DURATIONS)
    days = [(datetime.fromtimestamp(MONDAY, UTC) + timedelta(days=number)).date() for number in range(3 * 365)]
    used = [day for day in days if chance(4, "d/ann", "session", day, 0) < 0.01]
    assert used
    assert (
        machine.last_connected_at == datetime(used[-1].year, used[-1].month, used[-1].day, 10, tzinfo=UTC).timestamp()
    )
