"""The only way into the audit log: `record` for one entry, `record_many` for the entries of a sweep."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.db.transaction import TransactionManagementError

from audit import entries as forms
from audit import trail
from audit.actors import Actor
from audit.entries import Entry
from audit.receipts import Receipt
from forge.api.errors import Unavailable

__all__ = ["AuditUnavailable", "Entry", "Receipt", "append", "record", "record_many"]

BATCH = 500
_COLUMNS = (
    "organization_id", "user_id", "user_email", "actor_kind", "credential_id", "action_type", "action_description",
    "resource_type", "resource_id", "result", "source_ip", "user_agent", "interface", "correlation_id", "occurred_at",
    "context", "changes", "personal", "salt", "content", "hash_version", "content_hash",
)  # fmt: skip
_CASTS = {"hash_version": "%s::smallint"}
_APPEND = f"SELECT audit_append({', '.join(_CASTS.get(name, '%s') for name in _COLUMNS)})"
_APPEND_MANY = "SELECT audit_append_many(%s)"


class AuditUnavailable(Unavailable):
    code = "audit_unavailable"
    title = "The audit log cannot be written; nothing was changed"


def record(
    *,
    actor: Actor,
    action: str,
    description: str,
    resource_type: str = "",
    resource_id: str = "",
    result: str = forms.SUCCESS,
    organization_id: uuid.UUID | None = None,
    changes: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    occurred_at: datetime | None = None,
) -> Receipt:
    """Append one entry in the caller's transaction, as late in it as can be, and return its receipt.

    `description`, `context` and `changes` ({"before", "after"}) carry ids, never names or addresses, but for the keys
    that the action type declares personal. `occurred_at` is business time (default: now). Raises AuditUnavailable
    when the log cannot be written, which must end the transaction; TransactionManagementError outside one; and what
    `audit.entries.columns` raises.
    """
    return append(
        Entry(
            actor=actor,
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            result=result,
            description=description,
            organization_id=organization_id,
            changes=changes,
            context=context,
            occurred_at=occurred_at,
        )
    )


def append(entry: Entry, *, using: str = DEFAULT_DB_ALIAS) -> Receipt:
    """`record` for an entry that is made already; `using` is the alias whose transaction it belongs to."""
    row = forms.columns(entry)
    packed = _call(_APPEND, [row[name] for name in _COLUMNS], using)
    return trail.note(Receipt.unpack(packed), entry.result)


def record_many(entries: Iterable[Entry]) -> list[Receipt]:
    """Append the entries of a sweep in their order, a few hundred per SQL call; raises as `record` does."""
    pending = iter(entries)
    receipts: list[Receipt] = []
    while batch := list(islice(pending, BATCH)):
        rows = ",".join(_as_json(forms.columns(entry)) for entry in batch)
        packed = _call(_APPEND_MANY, [f"[{rows}]"])
        receipts += [trail.note(Receipt.unpack(one), entry.result) for one, entry in zip(packed, batch, strict=True)]
    return receipts


def _call(statement: str, parameters: list[Any], using: str = DEFAULT_DB_ALIAS) -> Any:
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry belongs to the transaction of the change that it tells of.")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone()[0]
    except (DatabaseError, InterfaceError) as error:
        raise AuditUnavailable from error


def _as_json(row: dict[str, Any]) -> str:
    """The row for `jsonb_to_recordset`: bytea in its hex form, JSON columns inside as they are."""
    values = {
        name: f"\\x{value.hex()}" if isinstance(value, bytes) else value
        for name, value in row.items()
        if name not in ("context", "changes", "personal")
    }
    inner = ",".join(f'"{name}":{row[name] or "null"}' for name in ("context", "changes", "personal"))
    return f"{json.dumps(values, ensure_ascii=False)[:-1]},{inner}}}"
