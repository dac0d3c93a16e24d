"""Machines with a past that advice follows from: samples, billed hours, and a run of the job."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from audit.models import AuditLog
from costs.advice.sweep import advise
from costs.models import Advice
from tests import factories
from workspaces.models import WorkSpace

NOW = datetime(2026, 4, 13, 6, 30, tzinfo=UTC)
"""A Monday: the last four weeks and the last fourteen days are whole ones."""

DAY = timedelta(days=1)

_SAMPLES = """
    INSERT INTO workspaces_usagesample (workspace_id, organization_id, at, source, connected, cpu, memory)
    SELECT %(machine)s, %(organization)s, at, 'CLOUDWATCH', in_use AND %(connected)s,
           CASE WHEN in_use THEN %(cpu)s ELSE 1 END, %(memory)s
      FROM generate_series(%(since)s, %(until)s - interval '1 second', interval '5 minutes') AS at
     CROSS JOIN LATERAL (SELECT extract(hour FROM at AT TIME ZONE 'UTC') = ANY (%(hours)s) AS in_use) used
     WHERE in_use OR %(always)s
"""
_RECORDS = """
    INSERT INTO costs_costrecord (
        workspace_id, organization_id, user_id, team_id, price_id, period_start, period_end, running_seconds,
        billed_hours, storage_gb, data_transfer_gb, compute_cost, storage_cost, data_transfer_cost, total_cost,
        currency, basis, bundle_type, region, running_mode, cost_center, tags
    )
    SELECT w.id, w.organization_id, w.owner_id, w.team_id, w.id, at, at + interval '1 hour', 0, billed, 0, 0, cost,
           0, 0, cost, 'USD', 'METERED', w.bundle_type, w.region, %(mode)s, '', '{}'
      FROM workspaces_workspace w
     CROSS JOIN generate_series(%(since)s, %(until)s - interval '1 second', interval '1 hour') AS at
     CROSS JOIN LATERAL (
         SELECT (extract(hour FROM at AT TIME ZONE 'UTC') = ANY (%(hours)s))::int AS billed
     ) hour
     CROSS JOIN LATERAL (SELECT %(fee)s::numeric + billed * %(hourly)s::numeric AS cost) money
     WHERE w.id = %(machine)s
"""


def machine(world, *, owner=None, since=NOW - 60 * DAY, states=(), **facts):
    """A machine that is AVAILABLE since `since`, or went on through `states`, [(instant, state)]."""
    history = [(since - timedelta(minutes=5), "PENDING"), (since, "AVAILABLE"), *states]
    terms = {
        "organization": world.organization, "owner": owner or world.engineer, "team": world.team,
        "blueprint": world.blueprint, "provider_account": world.account, "max_lifetime_days": 365,
    }  # fmt: skip
    made = factories.WorkSpaceFactory(history=history, **terms | facts)
    WorkSpace.objects.filter(pk=made.pk).update(provider_id=f"ws-{made.pk.hex[-9:]}")
    return WorkSpace.objects.select_related("organization").get(pk=made.pk)


def stopped(world, *, days=40, now=NOW, **facts):
    """A machine that was stopped so many days ago."""
    at = now - days * DAY
    return machine(world, since=at - DAY, states=[(at, "STOPPING"), (at, "STOPPED")], **facts)


def sampled(row, *, hours=range(9, 13), cpu=10.0, memory=40.0, days=14, until=NOW, always=False, connected=True):
    """Samples each five minutes in these hours, of somebody connected; `always` adds quiet ones of the other hours."""
    run(
        _SAMPLES, row, since=until - days * DAY, until=until, hours=list(hours), cpu=cpu, memory=memory, always=always,
        connected=connected,
    )  # fmt: skip


def booked(row, *, hours=range(9, 13), since=None, until=None, mode="AUTO_STOP", fee="0", hourly="0"):
    """Cost records of whole UTC days, with a started hour in each of these hours."""
    until = until or NOW.replace(hour=0, minute=0)
    run(
        _RECORDS,
        row,
        since=since or until - 28 * DAY,
        until=until,
        hours=list(hours),
        mode=mode,
        fee=fee,
        hourly=hourly,
    )


def run(statement, row, **given):
    with connection.cursor() as cursor:
        cursor.execute(statement, {"machine": row.id, "organization": row.organization_id, **given})


def advised(now=NOW, **options):
    return advise(now=now, **options)


def standing(row, **facts):
    """(kind, action, changes, status) of what stands for a machine."""
    rows = Advice.objects.filter(workspace=row, **facts).order_by("created_at", "kind")
    return [(one.kind, one.action, one.changes, one.status) for one in rows]


def told(advice):
    """The entries of an advice in the audit log: (action type, actor kind)."""
    entries = AuditLog.objects.filter(resource_type="Advice", resource_id=str(advice.pk))
    return list(entries.order_by("timestamp", "id").values_list("action_type", "actor_kind"))
