"""The inputs of the worked examples about hours and fees, with the place where the rule for each is written."""

from datetime import UTC, datetime, timedelta

MONEY = "DESIGN.md Money"
STARTED = "DESIGN.md Money, Started hours"
PRICE = "PEERS.md price table"
AWS_FIRST = "PEERS.md AWS facts: fees fall on the 1st at 00:00 UTC"
AWS_COMMUNITY = (
    "community.aws Understanding cost for Amazon WorkSpaces: billed at 00:00 UTC on the 1st, running or stopped"
)
MAINTENANCE = (
    "community.aws Understanding cost for Amazon WorkSpaces: hourly fee when running (until stopped) or undergoing "
    "maintenance; README reading 34"
)
BUG_9 = "PEERS.md; aws-solutions/cost-optimizer-for-amazon-workspaces issue 9: 616 h on 18 February"
BUG_17 = (
    "PEERS.md; aws-solutions/cost-optimizer-for-amazon-workspaces issue 17: hours to the stop, not to the disconnect"
)
BUG_67 = "PEERS.md; aws-solutions/cost-optimizer-for-amazon-workspaces issue 67: 526 h in 480 possible"

# bundle, mode: (monthly fee, hourly price) in USD, us-east-1, PEERS.md
PRICES = {
    ("STANDARD", "ALWAYS_ON"): ("35", "0"),
    ("STANDARD", "AUTO_STOP"): ("9.75", "0.30"),
    ("PERFORMANCE", "ALWAYS_ON"): ("50", "0"),
    ("PERFORMANCE", "AUTO_STOP"): ("13", "0.47"),
    ("POWER", "ALWAYS_ON"): ("78", "0"),
    ("POWER", "AUTO_STOP"): ("19", "0.68"),
    ("POWERPRO", "ALWAYS_ON"): ("140", "0"),
    ("POWERPRO", "AUTO_STOP"): ("19", "1.53"),
    ("GRAPHICS_G4DN", "ALWAYS_ON"): ("537", "0"),
    ("GRAPHICS_G4DN", "AUTO_STOP"): ("22", "1.54"),
    ("GRAPHICSPRO_G4DN", "ALWAYS_ON"): ("959", "0"),
    ("GRAPHICSPRO_G4DN", "AUTO_STOP"): ("66", "11.2"),
}


def repeated(start, length, every, times):
    """Intervals of equal length at equal distance, as text."""
    at, parts = datetime.fromisoformat(start).astimezone(UTC), []
    for _ in range(times):
        parts.append(f"{at:%Y-%m-%dT%H:%M:%SZ};{at + timedelta(minutes=length):%Y-%m-%dT%H:%M:%SZ}")
        at += timedelta(minutes=every)
    return "|".join(parts)


def joined(*parts):
    return "|".join(parts)


LATER = "2027-06-01T00:00:00Z"

FEB, MAR, APR, JUN = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-06-01T00:00:00Z"

# case, intervals, now, source
HOURS = [
    ("never_ran", "", LATER, STARTED),
    ("zero_length", "2026-03-10T09:00:00Z;2026-03-10T09:00:00Z", LATER, STARTED),
    ("one_microsecond", "2026-03-10T09:59:59.999999Z;2026-03-10T10:00:00Z", LATER, STARTED),
    ("exactly_one_hour", "2026-03-10T09:00:00Z;2026-03-10T10:00:00Z", LATER, STARTED),
    ("one_hour_and_a_microsecond", "2026-03-10T09:00:00Z;2026-03-10T10:00:00.000001Z", LATER, STARTED),
    ("one_hour_less_a_microsecond", "2026-03-10T09:17:00Z;2026-03-10T10:16:59.999999Z", LATER, STARTED),
    ("exactly_one_hour_off_the_grid", "2026-03-10T09:17:00Z;2026-03-10T10:17:00Z", LATER, STARTED),
    ("two_started_hours_off_the_grid", "2026-03-10T09:17:00Z;2026-03-10T10:17:01Z", LATER, STARTED),
    ("ten_minutes_over_a_full_hour", "2026-03-10T09:55:00Z;2026-03-10T10:05:00Z", LATER, STARTED),
    ("across_midnight", "2026-03-10T22:30:00Z;2026-03-11T01:45:00Z", LATER, STARTED),
    ("month_end_begins_before", "2026-02-28T23:30:00Z;2026-03-01T00:15:00Z", LATER, STARTED),
    ("month_end_second_hour_after", "2026-02-28T23:30:00Z;2026-03-01T00:31:00Z", LATER, STARTED),
    ("month_end_to_the_instant", "2026-02-28T22:00:00Z;2026-03-01T00:00:00Z", LATER, STARTED),
    ("month_end_a_microsecond_after", "2026-02-28T22:00:00Z;2026-03-01T00:00:00.000001Z", LATER, STARTED),
    ("leap_day", "2028-02-28T23:15:00Z;2028-03-01T00:20:00Z", "2028-06-01T00:00:00Z", STARTED),
    ("year_turn", "2026-12-31T22:45:00Z;2027-01-01T00:50:00Z", LATER, STARTED),
    ("summer_time_begins_in_berlin", "2026-03-28T23:00:00Z;2026-03-29T05:00:00Z", LATER, STARTED),
    ("summer_time_ends_in_new_york", "2026-11-01T03:30:00Z;2026-11-01T09:00:00Z", LATER, STARTED),
    ("many_short_sessions_in_one_hour", repeated("2026-03-10T10:00:00Z", 4, 10, 6), LATER, STARTED),
    (
        "restart_inside_the_tail",
        "2026-03-10T09:00:00Z;2026-03-10T09:20:00Z|2026-03-10T09:40:00Z;2026-03-10T09:55:00Z",
        LATER,
        STARTED,
    ),
    (
        "restart_inside_the_tail_keeps_the_grid",
        "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z|2026-03-10T10:05:00Z;2026-03-10T10:30:00Z",
        LATER,
        STARTED,
    ),
    (
        "restart_a_microsecond_before_the_tail_ends",
        "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z|2026-03-10T10:09:59.999999Z;2026-03-10T10:30:00Z",
        LATER,
        STARTED,
    ),
    (
        "restart_as_the_tail_ends",
        "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z|2026-03-10T10:10:00Z;2026-03-10T10:30:00Z",
        LATER,
        STARTED,
    ),
    (
        "restart_after_the_tail",
        "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z|2026-03-10T10:25:00Z;2026-03-10T10:30:00Z",
        LATER,
        STARTED,
    ),
    (
        "restart_after_the_tail_takes_a_new_grid",
        "2026-03-10T09:10:00Z;2026-03-10T10:20:00Z|2026-03-10T11:25:00Z;2026-03-10T12:26:00Z",
        LATER,
        STARTED,
    ),
    (
        "chain_of_tails_over_three_hours",
        joined(
            "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z",
            "2026-03-10T10:05:00Z;2026-03-10T10:15:00Z",
            "2026-03-10T11:09:00Z;2026-03-10T11:30:00Z",
        ),
        LATER,
        STARTED,
    ),
    (
        "empty_restart_inside_the_tail",
        "2026-03-10T09:00:00Z;2026-03-10T09:20:00Z|2026-03-10T09:40:00Z;2026-03-10T09:40:00Z",
        LATER,
        STARTED,
    ),
    (
        "empty_restart_after_the_tail",
        "2026-03-10T09:00:00Z;2026-03-10T09:20:00Z|2026-03-10T10:40:00Z;2026-03-10T10:40:00Z",
        LATER,
        STARTED,
    ),
    (
        "tail_over_the_month_end",
        "2026-03-31T23:40:00Z;2026-03-31T23:50:00Z|2026-04-01T00:30:00Z;2026-04-01T00:50:00Z",
        LATER,
        STARTED,
    ),
    ("still_running", "2026-03-10T09:17:00Z;", "2026-03-10T11:30:00Z", STARTED),
    ("still_running_an_hour_just_begins", "2026-03-10T09:17:00Z;", "2026-03-10T11:17:00Z", STARTED),
    ("still_running_a_microsecond_later", "2026-03-10T09:17:00Z;", "2026-03-10T11:17:00.000001Z", STARTED),
    ("just_started", "2026-03-10T09:17:00Z;", "2026-03-10T09:17:00Z", STARTED),
    ("ends_after_now", "2026-03-10T09:17:00Z;2026-03-10T15:00:00Z", "2026-03-10T10:20:00Z", STARTED),
    ("starts_after_now", "2026-03-10T09:17:00Z;2026-03-10T15:00:00Z", "2026-03-10T09:00:00Z", STARTED),
    (
        "restarted_and_still_running",
        "2026-03-10T09:10:00Z;2026-03-10T09:20:00Z|2026-03-10T10:05:00Z;",
        "2026-03-10T12:11:00Z",
        STARTED,
    ),
    ("thirty_days", "2026-04-01T00:00:00Z;2026-05-01T00:00:00Z", LATER, STARTED),
    ("thirty_days_off_the_grid", "2026-04-15T10:30:00Z;2026-05-15T10:30:00Z", LATER, STARTED),
    ("bug_9_no_more_than_elapsed", "2019-02-01T00:00:00Z;", "2019-02-18T12:00:00Z", BUG_9),
    ("bug_17_idle_1_h_from_0900", "2026-03-10T09:00:00Z;2026-03-10T12:59:00Z", LATER, BUG_17),
    (
        "bug_17_idle_1_h_from_0915",
        "2026-03-10T09:15:00Z;2026-03-10T13:14:00Z",
        LATER,
        BUG_17 + " (counts clock hours there: 5)",
    ),
    ("bug_17_idle_4_h_from_0900", "2026-03-10T09:00:00Z;2026-03-10T15:59:00Z", LATER, BUG_17),
    ("bug_67_twenty_days_in_one", "2024-04-01T00:00:00Z;2024-04-21T00:00:00Z", LATER, BUG_67),
    ("bug_67_twenty_days_with_a_short_stop_each_day", repeated("2024-04-01T00:00:00Z", 1430, 1435, 20), LATER, BUG_67),
    ("bug_67_forty_minutes_every_fifty_five", repeated("2024-04-01T00:00:00Z", 40, 55, 26), LATER, BUG_67),
    ("bug_67_fifty_minutes_every_two_hours", repeated("2024-04-01T00:20:00Z", 50, 120, 12), LATER, BUG_67),
]

# case, fee, first available, terminated, now, selected hours, source
FEES = [
    (
        "month_of_28_days_autostop",
        "9.75",
        FEB,
        MAR,
        LATER,
        "2026-02-01T00:00Z|2026-02-01T06:00Z|2026-02-01T07:00Z|2026-02-14T23:00Z|2026-02-28T23:00Z|2026-03-01T00:00Z",
        MONEY + "; exact half at n = 7",
    ),
    (
        "month_of_28_days_alwayson",
        "35.00",
        FEB,
        MAR,
        LATER,
        "2026-02-01T00:00Z|2026-02-01T01:00Z|2026-02-01T02:00Z|2026-02-28T23:00Z",
        MONEY,
    ),
    (
        "month_of_29_days",
        "9.75",
        "2028-02-01T00:00:00Z",
        "2028-03-01T00:00:00Z",
        "2028-06-01T00:00:00Z",
        "2028-02-01T00:00Z|2028-02-29T00:00Z|2028-02-29T23:00Z",
        MONEY,
    ),
    (
        "month_of_30_days",
        "35.00",
        APR,
        "2026-05-01T00:00:00Z",
        LATER,
        "2026-04-01T00:00Z|2026-04-01T01:00Z|2026-04-30T23:00Z",
        MONEY,
    ),
    (
        "month_of_31_days",
        "9.75",
        MAR,
        APR,
        LATER,
        "2026-03-01T00:00Z|2026-03-01T01:00Z|2026-03-29T01:00Z|2026-03-31T23:00Z",
        MONEY,
    ),
    ("month_of_31_days_that_divides", "7.44", MAR, APR, LATER, "2026-03-01T00:00Z|2026-03-31T23:00Z", MONEY),
    (
        "amount_below_an_hour_s_millionth",
        "0.000100",
        APR,
        "2026-05-01T00:00:00Z",
        LATER,
        "2026-04-01T02:00Z|2026-04-01T03:00Z|2026-04-01T04:00Z|2026-04-30T23:00Z",
        MONEY,
    ),
    ("one_cent", "0.01", MAR, APR, LATER, "2026-03-01T00:00Z|2026-03-01T01:00Z|2026-03-01T13:00Z", MONEY),
    ("zero_fee", "0.00", MAR, APR, LATER, "2026-03-01T00:00Z|2026-03-31T23:00Z", MONEY),
    (
        "launch_in_mid_month",
        "9.75",
        "2026-03-16T12:34:56Z",
        "",
        APR,
        "2026-03-16T11:00Z|2026-03-16T12:00Z|2026-03-31T23:00Z",
        MONEY + "; README reading 12",
    ),
    (
        "launch_on_the_hour",
        "35.00",
        "2026-03-16T12:00:00Z",
        "",
        APR,
        "2026-03-16T11:00Z|2026-03-16T12:00Z",
        MONEY + "; README reading 12",
    ),
    (
        "launch_in_the_last_hour_of_the_month",
        "35.00",
        "2026-03-31T23:59:59Z",
        "",
        "2026-04-01T00:30:00Z",
        "2026-03-31T23:00Z|2026-04-01T00:00Z",
        MONEY,
    ),
    (
        "still_there_the_hour_just_begins",
        "9.75",
        "2026-03-16T12:34:56Z",
        "",
        "2026-03-16T14:00:00Z",
        "2026-03-16T13:00Z|2026-03-16T14:00Z",
        MONEY + "; README reading 11",
    ),
    (
        "still_there_a_microsecond_later",
        "9.75",
        "2026-03-16T12:34:56Z",
        "",
        "2026-03-16T14:00:00.000001Z",
        "2026-03-16T13:00Z|2026-03-16T14:00Z",
        MONEY + "; README reading 11",
    ),
    (
        "terminated_after_now",
        "9.75",
        "2026-03-16T12:34:56Z",
        "2026-03-17T00:00:00Z",
        "2026-03-16T14:30:00Z",
        "2026-03-16T14:00Z",
        MONEY,
    ),
    (
        "end_in_mid_month_owes_the_rest",
        "35.00",
        FEB,
        "2026-03-10T08:20:00Z",
        LATER,
        "2026-03-10T07:00Z|2026-03-10T08:00Z|2026-03-10T09:00Z",
        MONEY + "; " + AWS_FIRST,
    ),
    (
        "end_on_the_hour",
        "35.00",
        FEB,
        "2026-03-10T08:00:00Z",
        LATER,
        "2026-03-10T07:00Z|2026-03-10T08:00Z",
        MONEY + "; " + AWS_FIRST,
    ),
    ("end_to_the_instant_of_the_month", "9.75", FEB, APR, LATER, "2026-03-31T23:00Z|2026-04-01T00:00Z", MONEY),
    (
        "end_a_microsecond_into_a_month",
        "9.75",
        FEB,
        "2026-04-01T00:00:00.000001Z",
        LATER,
        "2026-03-31T23:00Z|2026-04-01T00:00Z",
        MONEY + "; " + AWS_FIRST,
    ),
    (
        "launch_and_end_in_one_month",
        "9.75",
        "2026-04-10T09:30:00Z",
        "2026-04-20T17:45:00Z",
        LATER,
        "2026-04-10T08:00Z|2026-04-10T09:00Z|2026-04-20T16:00Z|2026-04-20T17:00Z|2026-04-20T18:00Z",
        MONEY + "; README readings 12 and 13",
    ),
    (
        "launch_and_end_in_one_hour",
        "9.75",
        "2026-04-10T09:30:00Z",
        "2026-04-10T09:50:00Z",
        LATER,
        "2026-04-10T09:00Z",
        MONEY + "; README readings 12 and 13",
    ),
    (
        "launch_and_end_in_the_month_s_last_hour",
        "9.75",
        "2026-04-30T23:10:00Z",
        "2026-04-30T23:50:00Z",
        LATER,
        "2026-04-30T23:00Z",
        MONEY,
    ),
    (
        "several_months",
        "9.75",
        "2026-01-20T06:00:00Z",
        "2026-04-05T15:00:01Z",
        LATER,
        "2026-01-20T06:00Z|2026-02-01T00:00Z|2026-03-01T00:00Z|2026-04-05T14:00Z|2026-04-05T15:00Z",
        MONEY + "; " + AWS_COMMUNITY,
    ),
    (
        "several_months_over_the_year_alwayson",
        "35.00",
        "2026-11-30T22:10:00Z",
        "2027-02-01T00:00:00Z",
        LATER,
        "2026-11-30T22:00Z|2026-11-30T23:00Z|2026-12-01T00:00Z|2027-01-31T23:00Z",
        MONEY,
    ),
    (
        "never_available",
        "35.00",
        "",
        "2026-03-10T08:00:00Z",
        LATER,
        "2026-03-10T07:00Z",
        MONEY + ": PENDING and FAILED cost nothing",
    ),
]
