"""Reads that may be seconds old, from a replica of the database (FORGE_REPLICA_URL).

A view says of itself that its answers may lag (`may_lag`); nothing is moved behind a caller's back. What is read to
decide something (guards, services, jobs), a person's own machines, operations, budgets, idempotency and the audit log
always come from the primary.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet

ALIAS = "replica"


def of(queryset: QuerySet) -> QuerySet:
    """The same rows from the replica, where there is one."""
    return queryset.using(ALIAS) if ALIAS in settings.DATABASES else queryset


class ReplicaRouter:
    """Keeps writes and migrations away from the replica, also those of objects that were read there."""

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        instance = hints.get("instance")
        return "default" if instance is not None and instance._state.db == ALIAS else None

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool | None:
        return True if ALIAS in (first._state.db, second._state.db) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == ALIAS else None
