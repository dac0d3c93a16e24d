"""Machines for the tests of metering, and what to look at afterwards."""

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from audit.actors import Actor
from costs import metering
from costs.models import CostRecord, DailyCost, DailyTotal
from tests.costs import spending
from tests.factories import WorkSpaceFactory, write_history
from workspaces.models import WorkSpace

DAY = datetime(2026, 3, 10, tzinfo=UTC)


def at(hours, day=DAY):
    """The instant so many hours after midnight."""
    return day + timedelta(hours=hours)


def machine(*changes, **facts):
    """A STANDARD AutoStop machine of this history; instants are hours after midnight of DAY."""
    history = [(when if isinstance(when, datetime) else at(when), state) for when, state in changes]
    return WorkSpaceFactory(history=history, **facts)


def reach(workspace, when, state):
    """Move a machine as its room does: its row and the append-only change."""
    source, workspace.state, workspace.state_since = workspace.state, state, when
    if state == "TERMINATED":
        workspace.terminated_at = when
    workspace.save(update_fields=["state", "state_since", "terminated_at"])
    write_history(workspace, [(when, state)], source=source)


def end(workspace, when):
    """End a machine as its room does, which books it to its end."""
    with transaction.atomic():
        reach(workspace, when, "TERMINATED")
        metering.close(workspaces=[workspace], actor=Actor.job("test"), now=when)


def booked(*workspaces):
    """Everything that metering wrote of these machines but for ids and times of writing."""
    records = [
        list(
            CostRecord.objects.filter(workspace=workspace)
            .order_by("period_start")
            .values_list("period_start", "running_seconds", "billed_hours", "compute_cost", "total_cost", "price_id")
        )
        for workspace in workspaces
    ]
    totals = [WorkSpace.objects.get(pk=workspace.pk).cost_to_date for workspace in workspaces]
    return records, totals


def total(workspace):
    return sum(record.total_cost for record in CostRecord.objects.filter(workspace=workspace))


def assert_sums_agree():
    """Records, daily sums, machines and charges tell of the same money."""
    records = sum(record.total_cost for record in CostRecord.objects.all())
    assert sum(day.total_cost for day in DailyCost.objects.all()) == records
    assert sum(day.total_cost for day in DailyTotal.objects.all()) == records
    assert sum(workspace.cost_to_date for workspace in WorkSpace.objects.all()) == records
    assert sum(amount for _, _, amount in spending.collected) == records


def untouched():
    """Row versions of all that a sweep may write: equal before and after means that nothing was written."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT json_agg((xmin::text, ctid::text) ORDER BY id) FROM costs_costrecord),
                   (SELECT json_agg((xmin::text, ctid::text) ORDER BY id) FROM costs_dailycost),
                   (SELECT json_agg((xmin::text, ctid::text) ORDER BY workspace_id) FROM costs_metermark),
                   (SELECT json_agg((xmin::text, ctid::text) ORDER BY id) FROM workspaces_workspace)
            """
        )
        return cursor.fetchone()
