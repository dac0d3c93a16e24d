"""Locks on scope rows, the first locks of every transaction that may move money (docs/money.md, lock order)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import connection

_TABLES = (
    ("accounts_user", "user_ids"),
    ("accounts_team", "team_ids"),
    ("accounts_project", "project_ids"),
    ("accounts_organization", "organization_ids"),
)


def lock_scopes(
    *,
    user_ids: Iterable[uuid.UUID | None] = (),
    team_ids: Iterable[uuid.UUID | None] = (),
    project_ids: Iterable[uuid.UUID | None] = (),
    organization_ids: Iterable[uuid.UUID | None] = (),
) -> None:
    """Take FOR KEY SHARE on the given rows, table by table, each by id; None is passed over.

    Launch, settle and release share these rows; adopting a budget takes its one scope row FOR UPDATE
    (`lock_scope_for_adoption`) and so waits for every admission under way in that scope, and they for it. The ORM
    has no FOR KEY SHARE, hence SQL. Must run inside a transaction.
    """
    given = {
        "user_ids": user_ids,
        "team_ids": team_ids,
        "project_ids": project_ids,
        "organization_ids": organization_ids,
    }
    with connection.cursor() as cursor:
        for table, name in _TABLES:
            ids = list({i for i in given[name] if i is not None})  # the statement orders them
            if ids:
                # one of this module's tables
                cursor.execute(f"SELECT 1 FROM {table} WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [ids])  # noqa: S608  # nosec B608


def lock_scope_for_adoption(*, table: str, scope_id: uuid.UUID) -> bool:
    """Take FOR UPDATE on one scope row; False when there is no such row. `table` is one of this module's four."""
    if table not in {name for name, _ in _TABLES}:
        raise ValueError(f"not a scope table: {table}")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE", [scope_id])  # noqa: S608  # nosec B608
        return cursor.fetchone() is not None
