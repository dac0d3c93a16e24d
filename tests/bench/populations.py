"""A second set of the tables that the rules of the lifecycle work on, in a schema of its own, and machines for both.

The copy has the columns, checks, indexes, triggers and foreign keys of the first, so that both sides pay for the same;
what is not copied (people, teams, the audit log) they share.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

from forge.db.embedded.postgres import APP

TABLES = (
    "workspaces_workspace", "workspaces_worklease", "workspaces_decision", "operations_operation", "costs_metermark",
)  # fmt: skip
SAMPLES = "workspaces_usagesample"

_TRIGGERS = """
    SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger
     WHERE tgrelid = ANY(%s::regclass[]) AND NOT tgisinternal
"""
_KEYS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE conrelid = ANY(%s::regclass[]) AND contype = 'f'
"""

# One in %(every)s is due: half of these because their lifetime is over, half because nobody uses them. All others were
# used a moment ago, and have their next action hours ahead.
_MACHINES = """
    INSERT INTO workspaces_workspace (
        id, organization_id, owner_id, team_id, name, service_type, bundle_type, operating_system, running_mode,
        blueprint_id, application_ids, root_volume_gb, user_volume_gb, state, state_since, launched_at,
        provider_account_id, directory_id, directory_user, provider_id, provider_state, health, region, protocol,
        domain_joined, domain_join_status, domain_join_attempts, cost_to_date, auto_stop_timeout_minutes,
        max_lifetime_days, keep_alive, keep_alive_reason, last_activity_at, last_signal, next_action, next_action_at,
        next_rule, warn_at, stop_warned_at, end_warned_at, is_unreckoned, tags, version, created_at, updated_at
    )
    SELECT forge_uuid7(), %(organization)s, %(owner)s, %(team)s, 'machine' || nr, 'WORKSPACES_PERSONAL', 'STANDARD',
           'LINUX', 'AUTO_STOP', %(blueprint)s, '{}', 80, 50, 'AVAILABLE', since, since, %(account)s, 'd-bench',
           'user' || nr, 'ws-' || lpad(nr::text, 9, '0'), 'AVAILABLE', 'HEALTHY', 'us-east-1', 'DCV', true, 'JOINED', 0,
           0, 60, 90, false, '', CASE WHEN is_idle THEN since ELSE %(now)s END, 'connected',
           CASE WHEN is_over THEN 'terminate' ELSE 'stop' END,
           CASE WHEN is_idle OR is_over THEN %(now)s::timestamptz - interval '30 minutes'
                ELSE %(now)s::timestamptz + interval '1 hour' END,
           CASE WHEN is_over THEN 'lifetime' ELSE 'idle' END,
           CASE WHEN is_idle THEN NULL ELSE %(now)s::timestamptz + interval '50 minutes' END,
           CASE WHEN is_idle THEN %(now)s::timestamptz - interval '35 minutes' END,
           CASE WHEN is_over THEN created_at + interval '83 days' END,
           false, '{}', 1, created_at, %(now)s
      FROM (
          SELECT nr, nr %% (2 * %(every)s) = 0 AS is_idle, nr %% (2 * %(every)s) = %(every)s AS is_over,
                 %(now)s::timestamptz - interval '90 minutes' AS since,
                 CASE WHEN nr %% (2 * %(every)s) = %(every)s
                      THEN %(now)s::timestamptz - interval '90 days 30 minutes'
                      ELSE %(now)s::timestamptz - interval '90 minutes' END AS created_at
            FROM generate_series(1, %(count)s) AS nr
      ) AS machine
"""
_USE = f"""
    INSERT INTO {SAMPLES} (workspace_id, organization_id, at, source, connected, cpu)
    SELECT w.id, w.organization_id, %(now)s::timestamptz - step * interval '5 minutes', 'CLOUDWATCH', false, 2
      FROM workspaces_workspace w CROSS JOIN generate_series(1, 3) AS step
"""
_CARRIED_OUT = """
    UPDATE operations_operation SET status = 'succeeded', started_at = created_at, finished_at = created_at,
           next_attempt_at = NULL WHERE finished_at IS NULL
"""


@contextlib.contextmanager
def second(schema: str) -> Iterator[None]:
    """The empty second set; gone afterwards."""
    name = sql.Identifier(schema)
    with _owner() as owner:
        triggers = owner.execute(_TRIGGERS, [list(TABLES)]).fetchall()
        keys = owner.execute(_KEYS, [list(TABLES)]).fetchall()
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        try:
            for table in (*TABLES, SAMPLES):
                owner.execute(
                    sql.SQL("CREATE TABLE {}.{} (LIKE public.{} INCLUDING ALL)").format(
                        name, sql.Identifier(table), sql.Identifier(table)
                    )
                )
            owner.execute(sql.SQL("SET search_path = {}, public").format(name))
            for table, key, definition in keys:
                owner.execute(f"ALTER TABLE {schema}.{table} ADD CONSTRAINT {key} {definition}")
            for table, definition in triggers:
                owner.execute(definition.replace(f"ON public.{table} ", f"ON {schema}.{table} "))
            for statement in (
                "GRANT USAGE ON SCHEMA {} TO {}",
                "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {} TO {}",
            ):
                owner.execute(sql.SQL(statement).format(name, sql.Identifier(APP)))
            yield
        finally:
            owner.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))


@contextlib.contextmanager
def looking_at(schema: str) -> Iterator[None]:
    """What the product does meanwhile, on its connection, it does to the tables of `schema`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', %s, false)", [f"{schema}, public"])
        try:
            yield
        finally:
            cursor.execute("SELECT set_config('search_path', 'public', false)")


def fill(schema: str, given: dict[str, Any]) -> None:
    """Put machines and their samples into the tables of `schema`, vacuumed and analyzed, as in life."""
    with looking_at(schema), connection.cursor() as cursor:
        cursor.execute(_MACHINES, given)
        cursor.execute(_USE, given)
    with _owner() as owner:
        for table in (*TABLES, SAMPLES):
            owner.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(schema, table)))


def carry_out(schema: str) -> None:
    """End what was queued, with no effect on the machines: the same are due again."""
    with looking_at(schema), connection.cursor() as cursor:
        cursor.execute(_CARRIED_OUT)


@contextlib.contextmanager
def _owner() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True, connect_timeout=10) as owner:
        yield owner
