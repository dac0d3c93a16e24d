"""Cost records of a fixed fleet over as many days as one likes, and their daily sums, made by set-based SQL.

Every machine runs round the clock and has an owner of its own; there are 50 teams with two projects each, three bundle
types, and a cost center per project. The last day is yesterday, so the history grows into the past.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db import connection
from django.utils import timezone

from costs.metering import ensure_months
from costs.totals import folding
from forge.accounts.models import User
from forge.accounts.token_services import issue_token
from tests import factories
from tests import world as worlds
from tests.bench.fleet import KINDS, TEAMS, settle_down

DAY = timedelta(days=1)

_RECORDS = """
    INSERT INTO costs_costrecord (
        workspace_id, organization_id, user_id, team_id, project_id, price_id, period_start, period_end,
        running_seconds, billed_hours, storage_gb, data_transfer_gb, compute_cost, storage_cost, data_transfer_cost,
        total_cost, currency, basis, bundle_type, region, running_mode, cost_center, tags
    )
    SELECT md5('m' || nr)::uuid, %(organization)s, md5('u' || nr)::uuid,
           (%(teams)s::uuid[])[1 + nr %% cardinality(%(teams)s::uuid[])],
           (%(projects)s::uuid[])[1 + nr %% cardinality(%(projects)s::uuid[])], md5('p')::uuid, hour,
           hour + interval '1 hour', 3600, 1, 130, 0, cost, 0, 0, cost, 'USD', 'METERED',
           (%(kinds)s::text[])[1 + nr %% cardinality(%(kinds)s::text[])], 'us-east-1', 'AUTO_STOP',
           'r-' || nr %% cardinality(%(projects)s::uuid[]), '{}'
      FROM generate_series(%(start)s, %(start)s + interval '23 hours', interval '1 hour') AS hour
     CROSS JOIN generate_series(1, %(machines)s) AS nr
     CROSS JOIN LATERAL (SELECT (300000 + nr %% 1000)::numeric(18, 6) / 1000000 AS cost) c
"""
_SUMS = """
    INSERT INTO costs_dailycost (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT %(day)s, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
           running_mode, basis, sum(billed_hours), sum(compute_cost), sum(storage_cost), sum(data_transfer_cost),
           sum(total_cost), now(), now()
      FROM costs_costrecord
     WHERE organization_id = %(organization)s AND period_start >= %(start)s
       AND period_start < %(start)s + interval '24 hours'
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""


class History:
    """The days of one organization, and the token of its finance."""

    def __init__(self, machines: int) -> None:
        world = worlds.build()
        self.organization_id = world.organization.id
        self.machines = machines
        self.end: date = timezone.now().astimezone(UTC).date()
        self.days = 0
        self.teams = factories.TeamFactory.create_batch(TEAMS, organization=world.organization)
        self.projects = factories.ProjectFactory.create_batch(2 * TEAMS, organization=world.organization)
        finance = User.objects.get(pk=world.finance.pk)
        _, self.token = issue_token(actor=worlds.actor(finance), user=finance, name="bench", now=timezone.now())

    @property
    def records(self) -> int:
        return self.days * 24 * self.machines

    def grow(self, days: int) -> None:
        """Let the history reach so many days back, vacuumed and analyzed."""
        ensure_months(_start(self.end - days * DAY), _start(self.end))
        for number in range(self.days, days):
            day = self.end - (number + 1) * DAY
            given = {
                "organization": self.organization_id,
                "machines": self.machines,
                "teams": [team.id for team in self.teams],
                "projects": [project.id for project in self.projects],
                "kinds": list(KINDS),
                "day": day,
                "start": _start(day),
            }
            with connection.cursor() as cursor:
                cursor.execute(_RECORDS, given)
                cursor.execute(_SUMS, given)
        self.days = days
        while sum(folding.fold()):
            pass
        settle_down()


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
