"""The deliberate way on after a restore: the log goes on from what the database has, under another origin.

What stands outside for the earlier incarnation is never contradicted: its checkpoints keep their origin, and those
beyond the point of the restore stay as proof of what was lost. The entry that begins an incarnation holds the signed
note of its first checkpoint (`audit.sealing.vouchers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from psycopg import IsolationLevel

from audit import actions
from audit.actors import Actor
from audit.sealing import keys, sealer
from audit.sealing.leaves import Leaves
from audit.sealing.sinks import Sink, SinkFailed, configured
from audit.services import record
from audit.verifier.notes import Checkpoint


class NotNeeded(Exception):
    """The database and the outside agree, or nothing outside could be read; the message says which."""


def begin(*, actor: Actor, reason: str, sinks: Sequence[Sink] | None = None) -> int:
    """Begin a new incarnation with the tree as the database has it; returns its number.

    Only where sealing is refused: NotNeeded otherwise. The entry (AUDIT_NEW_INCARNATION) commits first; without it
    nothing happens. Raises SealerBusy, AuditUnavailable, ImproperlyConfigured (also without a signing key).
    """
    sinks = configured() if sinks is None else sinks
    key = keys.signing_key()
    if key is None:
        raise ImproperlyConfigured("A new incarnation is signed, and FORGE_AUDIT_SIGNING_KEY is not set.")
    with sealer.alone() as connection:
        head = sealer.newest(connection)
        why = _contradiction(connection, head, sinks)
        number = _unused(sinks, head.incarnation + 1)
        leaves = Leaves(connection)
        root = leaves.tree.root()
        with transaction.atomic():
            record(
                actor=actor,
                action=actions.AUDIT_NEW_INCARNATION,
                description=f"Incarnation {number} of the audit log goes on from {leaves.tree.size} sealed entries",
                resource_type="AuditCheckpoint",
                resource_id=str(head.id + 1),
                context={
                    "reason": reason,
                    "incarnation": number,
                    "tree_size": leaves.tree.size,
                    "root": root.hex(),
                    "contradiction": why,
                    "note": key.sign(Checkpoint(keys.origin_of(number), leaves.tree.size, root)),
                },
            )
        _write(connection, head, number, leaves)
    return number


def _contradiction(connection: psycopg.Connection, head: sealer.Head, sinks: Sequence[Sink]) -> str:
    done = sealer.Pass()
    try:
        compared = sealer.compare(connection, head, sinks, keys.verifier_keys(), done)
    except sealer.SealRefused as refusal:
        return str(refusal).partition(":")[0]
    if not compared:
        raise NotNeeded("; ".join(["No sink could be compared", *done.failures.values()]) + ".")
    raise NotNeeded("The database and the outside checkpoints agree; audit_seal goes on without it.")


def _unused(sinks: Sequence[Sink], number: int) -> int:
    """The first incarnation from `number` on that no readable sink knows."""
    try:
        while any(sink.is_readable and sink.newest(keys.origin_of(number)) is not None for sink in sinks):
            number += 1
    except SinkFailed as error:
        raise NotNeeded(f"Every readable sink must answer first: {error}") from error
    return number


def _write(connection: psycopg.Connection, head: sealer.Head, number: int, leaves: Leaves) -> None:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            row: Any = connection.execute("SELECT clock_timestamp()").fetchone()
            origin = keys.origin_of(number)
            sealer.commit_checkpoint(connection, head.id + 1, number, origin, leaves, row[0])
    finally:
        connection.isolation_level = None
