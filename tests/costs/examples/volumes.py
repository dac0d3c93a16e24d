"""The inputs of the worked examples about storage beyond what the bundle includes."""

from cases import AWS_COMMUNITY, LATER, MONEY, joined

STORAGE = MONEY + ", Started hours: fees from first AVAILABLE to TERMINATED, and what is owed beyond the stay"
RENEWAL = (
    "re:Post QUxRe9RXiXRcOs5aygBrkyJQ citing the WorkSpaces FAQ: billing renewals happen at 00:00 UTC on the 1st; "
    + AWS_COMMUNITY
)

# case, bundle, mode, GB in all, GB included, price of a GB and month, history, now, source
VOLUMES = [
    (
        "nothing_beyond_what_is_included",
        "STANDARD",
        "AUTO_STOP",
        130,
        130,
        "0.10",
        "2026-03-01T00:00:00Z AVAILABLE|2026-03-10T12:00:00Z TERMINATED",
        LATER,
        STORAGE,
    ),
    (
        "whole_month",
        "STANDARD",
        "ALWAYS_ON",
        130,
        100,
        "0.10",
        "2026-03-01T00:00:00Z AVAILABLE|2026-04-01T00:00:00Z TERMINATED",
        LATER,
        STORAGE + "; by hand 30 x 0.10",
    ),
    (
        "ended_on_the_first_day",
        "STANDARD",
        "ALWAYS_ON",
        130,
        100,
        "0.10",
        "2026-03-01T00:00:00Z AVAILABLE|2026-03-02T00:00:00Z TERMINATED",
        LATER,
        STORAGE + "; " + RENEWAL + "; by hand 30 x 0.10 as for the whole month",
    ),
    (
        "launched_and_ended_in_one_month",
        "PERFORMANCE",
        "AUTO_STOP",
        130,
        57,
        "0.11",
        joined(
            "2026-04-10T09:20:00Z PENDING",
            "2026-04-10T09:30:00Z AVAILABLE",
            "2026-04-20T17:02:00Z STOPPING",
            "2026-04-20T17:05:00Z TERMINATED",
        ),
        LATER,
        STORAGE + "; README readings 12 and 13; by hand 8.03 - round(8.03 x 225/720, 6)",
    ),
    (
        "ended_a_microsecond_into_a_month",
        "STANDARD",
        "ALWAYS_ON",
        130,
        80,
        "0.10",
        "2026-02-15T00:00:00Z AVAILABLE|2026-03-01T00:00:00.000001Z TERMINATED",
        LATER,
        STORAGE + "; " + RENEWAL + "; by hand 2.50 + 5.00",
    ),
    (
        "still_there_in_mid_month",
        "POWER",
        "AUTO_STOP",
        130,
        30,
        "0.10",
        "2026-03-01T00:00:00Z AVAILABLE|2026-03-01T02:00:00Z STOPPED",
        "2026-03-16T12:00:00Z",
        STORAGE + "; by hand 10 x 372/744",
    ),
    (
        "never_available",
        "STANDARD",
        "AUTO_STOP",
        130,
        30,
        "0.10",
        "2026-03-02T08:00:00Z PENDING|2026-03-02T08:40:00Z FAILED",
        LATER,
        STORAGE + "; README reading 14",
    ),
]
