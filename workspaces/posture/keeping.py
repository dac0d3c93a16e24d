"""Keeping the findings: what a look at some subjects showed opens, changes and resolves them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import record
from workspaces import actions
from workspaces.models import ProviderAccount
from workspaces.posture.checks import SEVERITY, STACK_CHECKS, Deviation

# One that stands keeps its row and when it was found; only its detail follows. xmax is 0 of a row that is new.
_OPEN = """
    INSERT INTO workspaces_finding AS known (
        id, organization_id, provider_account_id, workspace_id, subject, check_name, severity, detail, found_at
    )
    SELECT forge_uuid7(), %(organization)s, %(account)s, workspace_id, subject, check_name, severity, detail, %(now)s
      FROM jsonb_to_recordset(%(deviations)s::jsonb)
           AS shown (workspace_id uuid, subject text, check_name text, severity text, detail jsonb)
     ORDER BY subject, check_name
    ON CONFLICT (provider_account_id, subject, check_name) WHERE resolved_at IS NULL DO UPDATE
       SET detail = EXCLUDED.detail, workspace_id = EXCLUDED.workspace_id
     WHERE (known.detail, known.workspace_id) IS DISTINCT FROM (EXCLUDED.detail, EXCLUDED.workspace_id)
    RETURNING id, subject, check_name, workspace_id, xmax = 0
"""

_RESOLVE = """
    WITH past AS (
        SELECT id FROM workspaces_finding known
         WHERE provider_account_id = %(account)s AND resolved_at IS NULL
           AND subject = ANY (%(subjects)s) AND check_name = ANY (%(checks)s)
           AND NOT EXISTS (
               SELECT FROM jsonb_to_recordset(%(deviations)s::jsonb) AS shown (subject text, check_name text)
                WHERE shown.subject = known.subject AND shown.check_name = known.check_name)
         ORDER BY subject, check_name
           FOR UPDATE
    )
    UPDATE workspaces_finding f SET resolved_at = greatest(%(now)s, found_at) FROM past WHERE f.id = past.id
    RETURNING f.id, f.subject, f.check_name, f.workspace_id
"""

# A stack that is withdrawn is looked at for the machines in it; without them it is nobody's business any more.
_RESOLVE_ENDED = """
    WITH past AS (
        SELECT f.id FROM workspaces_finding f LEFT JOIN workspaces_workspace w ON w.id = f.workspace_id
         WHERE f.provider_account_id = %(account)s AND f.resolved_at IS NULL
           AND (w.state IN ('TERMINATED', 'FAILED')
                OR f.check_name = ANY (%(stack_checks)s)
                   AND NOT EXISTS (
                       SELECT FROM workspaces_applicationstack s
                        WHERE s.provider_account_id = f.provider_account_id AND s.name = f.subject AND s.is_offered)
                   AND NOT EXISTS (
                       SELECT FROM workspaces_workspace m
                        WHERE m.provider_account_id = f.provider_account_id AND m.directory_id = f.subject
                          AND m.service_type = 'WORKSPACES_APPLICATIONS' AND m.state NOT IN ('TERMINATED', 'FAILED')))
         ORDER BY f.subject, f.check_name
           FOR UPDATE OF f
    )
    UPDATE workspaces_finding f SET resolved_at = greatest(%(now)s, found_at) FROM past WHERE f.id = past.id
    RETURNING f.id, f.subject, f.check_name, f.workspace_id
"""


def keep(
    *,
    account: ProviderAccount,
    subjects: Sequence[str],
    checks: Iterable[str],
    deviations: Sequence[Deviation],
    actor: Actor,
    now: datetime,
) -> tuple[int, int]:
    """Note what a look at `subjects` showed for `checks`; returns how many findings it opened and resolved.

    Each that opens or is resolved leaves one audit entry in the same transaction.
    """
    rows = [
        {
            "workspace_id": one.workspace_id,
            "subject": one.subject,
            "check_name": one.check,
            "severity": SEVERITY[one.check],
            "detail": dict(one.detail),
        }
        for one in deviations
    ]
    parameters: dict[str, Any] = {
        "organization": account.organization_id,
        "account": account.id,
        "subjects": list(subjects),
        "checks": list(checks),
        "deviations": json.dumps(rows),
        "now": now,
    }
    with transaction.atomic():
        touched = _rows(_OPEN, parameters) if rows else []
        opened = [row[:4] for row in touched if row[4]]
        resolved = _rows(_RESOLVE, parameters)
        _tell(account, opened, actions.FINDING_OPEN, actor, now)
        _tell(account, resolved, actions.FINDING_RESOLVE, actor, now)
    return len(opened), len(resolved)


def resolve_ended(*, account: ProviderAccount, actor: Actor, now: datetime) -> int:
    """Resolve what was found on machines that have ended, and on stacks that are withdrawn and have no machine.

    Returns how many findings that were.
    """
    parameters = {"account": account.id, "stack_checks": list(STACK_CHECKS), "now": now}
    with transaction.atomic():
        resolved = _rows(_RESOLVE_ENDED, parameters)
        _tell(account, resolved, actions.FINDING_RESOLVE, actor, now)
    return len(resolved)


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _tell(account: ProviderAccount, rows: Sequence[tuple[Any, ...]], action: str, actor: Actor, now: datetime) -> None:
    is_open = action == actions.FINDING_OPEN
    for id_, subject, check, workspace_id in rows:
        record(
            actor=actor.for_one_of(account.organization_id),
            action=action,
            resource_type="Finding",
            resource_id=str(id_),
            description=f"{'Opened' if is_open else 'Resolved'} finding {id_}",
            changes={"before": {"open": not is_open}, "after": {"open": is_open}},
            context={
                "check": check,
                "subject": subject,
                "provider_account_id": str(account.id),
                "workspace_id": str(workspace_id) if workspace_id else None,
            },
            occurred_at=now,
        )
