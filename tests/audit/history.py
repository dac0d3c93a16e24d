"""A log with a past: rows in every month back to one that is past its retention, all sealed; and its archive."""

from datetime import UTC, datetime, timedelta

from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.actors import Actor
from audit.archive import retention
from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from forge.db import partitions
from forge.db.months import add_months, month_of, months
from tests.audit.support import leave, rechain

TABLE = "audit_auditlog"
KEPT = 2
"""Months of the retention in most tests."""
ACTOR = Actor.job("test")
STEPS_LAST = timedelta(days=8)
"""From the first steps to the ones that must wait."""


def _now():
    """Now, or in the first days of a month the end of the last one: no further month may fall due between the steps."""
    now = timezone.now()
    begun = now - STEPS_LAST
    return now if month_of(begun) == month_of(now) else now.replace(day=1, hour=0, minute=0) - timedelta(minutes=5)


NOW = _now()
BEGUN = NOW - STEPS_LAST
"""When the first steps are taken, so that the later ones are due now."""
FALLEN_DUE = int(month_of(NOW) < month_of(timezone.now()))
"""Further months that are due by the clock on the wall, in the first days of a month."""


EVERY = timedelta(hours=6)
"""Between two rows of a lane in the history; at most 100 fit into a month."""


def oldest_month(kept, *, over=1):
    """The first month of a history of which `over` months are past a retention of `kept` months."""
    return add_months(month_of(BEGUN), -kept - over)


def build(superuser, *, kept, over=1, rows=3, lanes=(0, 1), idle=(), at_once=False):
    """Rows in each month of each lane from the oldest to the last one, sealed as each month ended (or all at once).

    Lanes `idle` have rows in the oldest month alone. Returns that month.
    """
    first = oldest_month(kept, over=over)
    partitions.ensure(TABLE, first, month_of(NOW))
    every = list(months(first, add_months(month_of(NOW), -1)))
    for lane in (*idle, *lanes):
        begins = [datetime(one.year, one.month, 1, 0, lane, tzinfo=UTC) for one in every[: 1 if lane in idle else None]]
        leave(rows * len(begins), lane=lane)
        rechain(superuser, lane, [begin + number * EVERY for begin in begins for number in range(rows)])
    for number, month in enumerate(every[-1:] if at_once else every, 1):
        end = datetime.combine(add_months(month, 1), datetime.min.time(), UTC)
        superuser(
            """
            UPDATE audit_auditlane AS head SET lane_seq = last.lane_seq, log_hash = last.log_hash
              FROM (SELECT DISTINCT ON (lane) lane, lane_seq, log_hash FROM audit_auditlog WHERE "timestamp" < %s
                     ORDER BY lane, lane_seq DESC) AS last
             WHERE head.lane = last.lane
            """,
            end,
        )
        seal()
        superuser("UPDATE audit_auditcheckpoint SET sealed_at = %s WHERE id = %s", end - timedelta(hours=1), number)
    return first


def steps(now=None):
    """One run of the job; the steps that it took, and its faults."""
    done = retention.take_steps(actor=ACTOR, now=now or NOW)
    return {step.value: names for step, names in done.taken.items() if names}, done.faults


def name_of(month, table=TABLE):
    return partitions.name_of(table, month)


def whole(against=None):
    """Nothing is wrong with rows, seals, months and, if given, the outside."""
    assert verify().findings == []
    assert verify_seals(against=against).findings == []


def command(capsys, *arguments):
    """Exit code and output of rollover_partitions."""
    code = 0
    try:
        call_command("rollover_partitions", *arguments)
    except CommandError as error:
        code = error.returncode
    return code, capsys.readouterr().out


def leave_the_database(month):
    """Take every step of the month."""
    assert steps(BEGUN) == ({"detach": [name_of(month)], "export": [name_of(month)]}, [])
    seal()
    assert steps() == ({"drop": [name_of(month)]}, [])
    seal()
    assert steps() == ({"remove": [name_of(month)]}, [])


def due_by_the_clock(oldest):
    """The names of the months that commands and jobs, which look at the clock, find past their retention."""
    return [name_of(add_months(oldest, later)) for later in range(1 + FALLEN_DUE)]


def entries(action):
    return list(AuditLog.objects.filter(action_type=action).order_by("timestamp"))
