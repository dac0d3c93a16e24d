"""An organization with very many running machines, made by set-based SQL: through the services it would take hours.

Every machine has an owner of its own, became AVAILABLE twenty minutes past the same full hour, and holds money in two
budgets: its team's, and the organization's. The trigger on machines makes their marks of metering, as in life.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from django.db import connection, transaction

from costs.metering import ensure_months
from tests import factories
from workspaces.simulator import catalog

TEAMS = 50
KINDS = ("STANDARD", "PERFORMANCE", "POWER")
DIRECTORY = catalog.directory_id("us-east-1")
HELD = 1000
"""Money that each machine holds in each budget: so much that none runs low, which would be work of another kind."""

_PEOPLE = """
    INSERT INTO accounts_user (
        id, organization_id, password, email, full_name, external_id, directory_username, location, time_zone,
        is_active, created_at, updated_at
    )
    SELECT forge_uuid7(), %(organization)s, '!', 'machine' || nr || '@example.com', 'Person ' || nr, '', 'fleet' || nr,
           '', '', true, %(created_at)s, %(created_at)s
      FROM generate_series(1, %(count)s) AS nr
"""

_MACHINES = """
    INSERT INTO workspaces_workspace (
        id, organization_id, owner_id, team_id, name, service_type, bundle_type, operating_system, running_mode,
        blueprint_id, application_ids, root_volume_gb, user_volume_gb, state, state_since, launched_at,
        provider_account_id, directory_id, directory_user, provider_id, provider_state, health, region, protocol,
        domain_joined, domain_join_status, domain_join_attempts, cost_to_date, auto_stop_timeout_minutes,
        max_lifetime_days, keep_alive, keep_alive_reason, next_action, tags, version, created_at, updated_at
    )
    SELECT forge_uuid7(), u.organization_id, u.id, (%(teams)s::uuid[])[1 + u.nr %% cardinality(%(teams)s::uuid[])],
           u.directory_username, 'WORKSPACES_PERSONAL', (%(kinds)s::text[])[1 + u.nr %% cardinality(%(kinds)s::text[])],
           'LINUX', 'AUTO_STOP', %(blueprint)s, '{}', 80, 50, 'AVAILABLE', %(launched_at)s, %(launched_at)s,
           %(account)s, %(directory)s, u.directory_username, 'ws-' || lpad(u.nr::text, 9, '0'),
           'AVAILABLE', 'HEALTHY', 'us-east-1', 'DCV', true,
           'JOINED', 0, 0, 60, 90, false, '', '', '{"cost-center": "r-100"}', 1, %(created_at)s, %(created_at)s
      FROM (
          SELECT *, row_number() OVER (ORDER BY id) AS nr FROM accounts_user
           WHERE organization_id = %(organization)s AND directory_username LIKE 'fleet%%'
      ) u
"""

_HISTORY = """
    INSERT INTO workspaces_statechange (
        organization_id, workspace_id, from_state, to_state, occurred_at, recorded_at, reason, actor_kind,
        correlation_id
    )
    SELECT w.organization_id, w.id, step.source, step.target, step.at, step.at, 'fleet', 'JOB', w.id
      FROM workspaces_workspace w
     CROSS JOIN (
         VALUES (1, '', 'PENDING', %(created_at)s), (2, 'PENDING', 'AVAILABLE', %(launched_at)s)
     ) AS step (nr, source, target, at)
     WHERE w.organization_id = %(organization)s
     ORDER BY w.id, step.nr
"""

_RESERVATIONS = """
    INSERT INTO budgets_reservation (
        id, organization_id, budget_id, workspace_id, amount, remaining, correlation_id, created_at, updated_at
    )
    SELECT forge_uuid7(), w.organization_id, b.id, w.id, %(held)s, %(held)s, w.id, %(created_at)s, %(created_at)s
      FROM workspaces_workspace w
      JOIN budgets_budget b ON b.scope_id IN (w.team_id, w.organization_id)
     WHERE w.organization_id = %(organization)s
"""

_HELD = """
    UPDATE budgets_budget b SET reserved = held.remaining
      FROM (SELECT budget_id, sum(remaining) AS remaining FROM budgets_reservation GROUP BY budget_id) held
     WHERE held.budget_id = b.id
"""


@dataclass(frozen=True)
class Fleet:
    """The organization, how many machines it has, and the full hour before they became AVAILABLE."""

    organization_id: UUID
    count: int
    began_at: datetime

    @property
    def launched_at(self) -> datetime:
        return self.began_at + timedelta(minutes=20)


def build(count: int) -> Fleet:
    """Make the fleet at the beginning of the coming month, for which there are partitions; analyzed, as in life."""
    began_at = _next_month(datetime.now(UTC))
    organization = factories.OrganizationFactory()
    teams = factories.TeamFactory.create_batch(TEAMS, organization=organization)
    account = factories.ProviderAccountFactory(organization=organization, directory_id=DIRECTORY)
    fleet = Fleet(organization.id, count, began_at)
    for scope, scope_id in [("ORGANIZATION", organization.id), *(("TEAM", team.id) for team in teams)]:
        factories.BudgetFactory(
            organization=organization,
            scope=scope,
            scope_id=scope_id,
            amount=10**9,
            period_start=began_at,
            period_end=_next_month(began_at),
        )
    ensure_months(began_at, began_at)
    given = {
        "organization": organization.id,
        "count": count,
        "teams": [team.id for team in teams],
        "kinds": list(KINDS),
        "blueprint": factories.BlueprintFactory(organization=organization).id,
        "account": account.id,
        "directory": DIRECTORY,
        "created_at": began_at,
        "launched_at": fleet.launched_at,
        "held": HELD,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (_PEOPLE, _MACHINES, _HISTORY, _RESERVATIONS, _HELD):
            cursor.execute(statement, given)
    settle_down()
    return fleet


def settle_down() -> None:
    """Vacuum and analyze as the owner, so that neither side pays for what the making left behind."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        owner.execute("SET client_min_messages = error")  # tables of the catalogue are passed over
        owner.execute("VACUUM (ANALYZE)")


def _next_month(at: datetime) -> datetime:
    return (at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
