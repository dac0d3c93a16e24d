"""Records as rows, and the daily sums that follow from them: books without machines, for tests of the reports."""

import uuid
from datetime import timedelta

from django.db import connection

from costs.models import CostRecord

_SUM = """
    INSERT INTO costs_dailycost (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT (period_start AT TIME ZONE 'UTC')::date, organization_id, user_id, team_id, project_id, blueprint_id,
           cost_center, bundle_type, region, running_mode, basis, sum(billed_hours), sum(compute_cost),
           sum(storage_cost), sum(data_transfer_cost), sum(total_cost), now(), now()
      FROM costs_costrecord
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""


def record(organization, hour, compute, **facts):
    """One hour of a machine of its own; `compute` is all that it cost."""
    facts = {"user_id": uuid.UUID(int=1), "team_id": uuid.UUID(int=1), "bundle_type": "STANDARD"} | facts
    return CostRecord(
        organization=organization, workspace_id=uuid.uuid4(), price_id=uuid.UUID(int=1), period_start=hour,
        period_end=hour + timedelta(hours=1), billed_hours=1, compute_cost=compute, total_cost=compute, currency="USD",
        region="us-east-1", running_mode="AUTO_STOP", **facts,
    )  # fmt: skip


def book(records):
    """Write the records and the daily sums of all there are."""
    CostRecord.objects.bulk_create(records)
    with connection.cursor() as cursor:
        cursor.execute(_SUM)
