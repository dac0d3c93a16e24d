"""The inputs of the worked examples about prices that were corrected after they had been booked."""

from cases import LATER, MONEY, joined
from machines import MONTH_AND_STOP, MONTH_ON

ISSUE = "issue 5, item 1: changing a past price re-rates the period; README readings 32 and 33"
SHORT_STAY = joined(
    "2026-03-01T09:00:00Z AVAILABLE",
    "2026-03-01T17:30:00Z STOPPED",
    "2026-03-08T08:15:00Z AVAILABLE",
    "2026-03-10T12:30:00Z TERMINATED",
)

# case, mode, history, prices since when (monthly/hourly), now, source; a STANDARD machine, at first at its list price
CORRECTIONS = [
    (
        "hourly_price_of_the_whole_month",
        "AUTO_STOP",
        MONTH_AND_STOP,
        "2026-03-01T00:00:00Z=9.75/0.25",
        LATER,
        ISSUE + "; by hand 80 x 0.25 + 9.75",
    ),
    (
        "monthly_fee_from_the_middle_of_the_month",
        "ALWAYS_ON",
        MONTH_ON,
        "2026-03-16T00:00:00Z=40/0",
        LATER,
        ISSUE + "; by hand round(35 x 360/744, 6) + 40 - round(40 x 360/744, 6)",
    ),
    (
        "corrected_twice",
        "ALWAYS_ON",
        MONTH_ON,
        "2026-03-01T00:00:00Z=40/0|2026-03-11T00:00:00Z=38/0",
        LATER,
        ISSUE,
    ),
    (
        "the_second_takes_the_place_of_the_first",
        "AUTO_STOP",
        MONTH_AND_STOP,
        "2026-03-02T00:00:00Z=12/0.41|2026-03-02T00:00:00Z=11/0.37",
        LATER,
        ISSUE,
    ),
    (
        "the_rest_of_the_month_is_owed_at_the_price_of_the_last_hour",
        "AUTO_STOP",
        SHORT_STAY,
        "2026-03-09T13:00:00Z=12.34/0.31",
        LATER,
        ISSUE,
    ),
    (
        "a_correction_behind_the_end_changes_nothing",
        "AUTO_STOP",
        SHORT_STAY,
        "2026-03-10T13:00:00Z=99/9",
        LATER,
        ISSUE,
    ),
    (
        "a_machine_that_still_runs",
        "AUTO_STOP",
        "2026-03-30T22:40:00Z AVAILABLE",
        "2026-03-31T12:00:00Z=10.01/0.333333",
        "2026-04-01T05:10:00Z",
        MONEY + "; " + ISSUE,
    ),
]
