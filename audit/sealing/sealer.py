"""Seal what is new in the log: leaves, root, signature, publication. One sealer at a time, killed wherever it may be.

A pass holds a session-level advisory lock on a connection of its own to the owner's database from beginning to end:

1. **Compare** with the newest checkpoint of each readable sink. The outside is ahead, or has another root for a size
   that we have: SealRefused, nothing is written (an old backup was restored, or somebody rewrote the tree). So is a
   name of the log that the outside has never heard and no signed entry of a new incarnation vouches for.
2. **Append**, REPEATABLE READ: the rows up to each lane's head become leaves; nodes, root and checkpoint commit with
   them. Holes, broken links and impossible times are told as faults and sealed past: a lane that waited for a row that
   is gone would never be sealed again.
3. **Sign** the newest checkpoint, if there is a key and a sink was compared. Not before the commit: a crash would leave
   a signature over a root that the database never had. After a pass that was killed here the next signs that size and
   root first.
4. **Publish** to each sink what it lacks, in order. A sink that fails is told and tried again by the next pass. What a
   sink lacks says the sink itself where it can be read, the database's own notes of it only where not: whoever can
   write to the database must not be able to keep a checkpoint from the outside.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from django.db import connections
from psycopg import IsolationLevel

from audit.sealing import keys
from audit.sealing.leaves import Leaves
from audit.sealing.signing import SigningKey
from audit.sealing.sinks import Sink, SinkFailed, configured
from audit.sealing.tree import StoredTree
from audit.sealing.vouchers import is_vouched
from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint
from forge.db.locks import advisory_key

logger = logging.getLogger(__name__)

LOCK_KEY = advisory_key("audit.sealing")
LOCK_SECONDS = 4
PUBLISH_SECONDS = 3.0
"""A backlog of publications is worked off for so long in one pass; then entries are sealed again."""


class SealRefused(Exception):
    """What stands outside contradicts the database, so nothing is sealed; the message says what to do."""


class SealerBusy(Exception):
    """Another sealer is at work."""


@dataclass(frozen=True)
class Head:
    """The newest checkpoint of the database."""

    id: int
    incarnation: int
    origin: str
    size: int
    sealed_at: datetime | None


@dataclass
class Pass:
    """What one pass did. `failures` maps a sink's name to what was wrong; `faults` are rows that are not as they must
    be; the sinks in `away` did not answer, `outside` is the size of the newest checkpoint in those that did."""

    sealed: int = 0
    tree_size: int = 0
    nodes_read: int = 0
    nodes_written: int = 0
    is_signed: bool = False
    published: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    outside: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """As a JobRun keeps them; what is empty is left out."""
        told_otherwise = ("failures", "faults", "away", "outside")
        figures = {name: value for name, value in vars(self).items() if name not in told_otherwise}
        failures = {"failures": "; ".join(self.failures.values())} if self.failures else {}
        return figures | failures | ({"faults": "; ".join(self.faults)} if self.faults else {})


def seal(*, dry_run: bool = False, sinks: Sequence[Sink] | None = None) -> Pass:
    """One pass. Raises SealRefused, SealerBusy, BrokenTree, ImproperlyConfigured, psycopg.Error.

    `dry_run` compares and counts and writes nothing. `sinks` default to FORGE_AUDIT_SINKS.
    """
    sinks = configured() if sinks is None else sinks
    key, known = keys.signing_key(), keys.verifier_keys()
    done = Pass()
    with alone() as connection:
        head = newest(connection)
        compared = compare(connection, head, sinks, known, done)
        if dry_run:
            done.sealed, done.tree_size = Leaves(connection).waiting(), StoredTree(connection).size()
            return done
        signer = key if compared else None
        ensure_signed(connection, signer, head.id)  # what a crash, or a new incarnation, left unsigned
        append(connection, head, done)
        done.is_signed = ensure_signed(connection, signer, newest(connection).id)
        publish(connection, sinks, done, head)
    for problem in [*done.failures.values(), *done.faults]:
        logger.error("audit_seal: %s", problem)
    return done


@contextmanager
def alone() -> Iterator[psycopg.Connection]:
    """A direct connection of our own as the owner that holds the sealers' lock; raises SealerBusy."""
    wrapper = connections.create_connection("owner")
    try:
        wrapper.ensure_connection()
        connection: psycopg.Connection = wrapper.connection
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        except psycopg.errors.LockNotAvailable:
            raise SealerBusy("Another sealer is at work.") from None
        connection.execute("SET lock_timeout = 0; SET statement_timeout = 0; SET jit = off")
        yield connection
    finally:
        wrapper.close()


def newest(connection: psycopg.Connection) -> Head:
    """The newest checkpoint; number 0 of the first incarnation where there is none."""
    row = connection.execute(
        "SELECT id, incarnation, origin, tree_size, sealed_at FROM audit_auditcheckpoint ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return Head(*row) if row else Head(0, 1, keys.origin_of(1), 0, None)


def compare(
    connection: psycopg.Connection, head: Head, sinks: Sequence[Sink], known: Sequence[VerifierKey], done: Pass
) -> bool:
    """Whether at least one sink was read and agrees; raises SealRefused when one contradicts."""
    tree, compared = StoredTree(connection), False
    size = tree.size()
    for sink in sinks:
        if not sink.is_readable or not known:
            continue
        try:
            note, later = sink.newest(head.origin), sink.newest(keys.origin_of(head.incarnation + 1))
            outside = read_checkpoint(note, known) if note is not None else None
        except SinkFailed as error:
            done.failures[sink.name] = str(error)
            done.away.add(sink.name)
            continue
        except NoteError as error:
            done.failures[sink.name] = f"{sink.name}: {error}"
            continue
        if later is not None:
            _refuse(f"{sink.name} knows incarnation {head.incarnation + 1}, the database only {head.incarnation}")
        if outside is not None and outside.size > size:
            _refuse(f"{sink.name} holds a checkpoint of {outside.size} entries, the database {size} sealed ones")
        if outside is not None and outside.root != tree.root(outside.size):
            _refuse(f"{sink.name} and the database disagree about the first {outside.size} entries")
        done.outside[sink.name] = outside.size if outside is not None else 0
        compared = True
    if compared and not any(done.outside.values()):
        _require_vouched(connection, head, known)
    return compared


def _require_vouched(connection: psycopg.Connection, head: Head, known: Sequence[VerifierKey]) -> None:
    """Nobody outside has heard of the log by this name: it must be the first one, or one that was begun rightly."""
    if head.incarnation == 1:
        if head.origin != keys.origin_of(1):
            _refuse(f"the database calls the log {head.origin}, and no sink knows it by that name")
        return
    row: Any = connection.execute(
        "SELECT origin, tree_size, root_hash FROM audit_auditcheckpoint WHERE incarnation = %s ORDER BY id LIMIT 1",
        [head.incarnation],
    ).fetchone()
    first = Checkpoint(row[0], row[1], bytes(row[2]))
    if first.origin != head.origin or not is_vouched(connection, first, head.incarnation, known):
        _refuse(f"the database has incarnation {head.incarnation}, and no signed entry of the log began it")


def append(connection: psycopg.Connection, head: Head, done: Pass) -> None:
    """Make leaves of what is new and commit them with their nodes and checkpoint."""
    # Not before the lock is held: a statement that waits for it would already have its snapshot.
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            sealed_at = connection.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]
            leaves = Leaves(connection)
            leaves.append(not_after=sealed_at, not_before=head.sealed_at)
            if leaves.tree.size > head.size:
                commit_checkpoint(connection, head.id + 1, head.incarnation, head.origin, leaves, sealed_at)
    finally:
        connection.isolation_level = None
    done.sealed, done.tree_size = leaves.added, leaves.tree.size
    done.nodes_read, done.nodes_written, done.faults = leaves.nodes_read, leaves.nodes_written, leaves.faults


def commit_checkpoint(
    connection: psycopg.Connection, id_: int, incarnation: int, origin: str, leaves: Leaves, sealed_at: datetime
) -> None:
    """Write size and root, unsigned; they commit with the transaction around."""
    connection.execute(
        "INSERT INTO audit_auditcheckpoint (id, incarnation, origin, tree_size, root_hash, sealed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [id_, incarnation, origin, leaves.tree.size, leaves.tree.root(), sealed_at],
    )


def ensure_signed(connection: psycopg.Connection, key: SigningKey | None, id_: int) -> bool:
    """Whether the checkpoint is signed, now if there is a key to do it with."""
    row = connection.execute(
        "SELECT origin, tree_size, root_hash, note FROM audit_auditcheckpoint WHERE id = %s", [id_]
    ).fetchone()
    if row is None or row[3] is not None or key is None:
        return bool(row and row[3])
    sign(connection, key, id_, Checkpoint(row[0], row[1], bytes(row[2])))
    return True


def sign(connection: psycopg.Connection, key: SigningKey, id_: int, checkpoint: Checkpoint) -> None:
    """Sign a committed checkpoint."""
    connection.execute("UPDATE audit_auditcheckpoint SET note = %s WHERE id = %s", [key.sign(checkpoint), id_])


def publish(connection: psycopg.Connection, sinks: Sequence[Sink], done: Pass, head: Head) -> None:
    """Give each sink the signed checkpoints that it lacks, the oldest first, until it fails or time is up.

    `head` was the newest checkpoint when the sinks were compared. One that did not answer then is not waited for again.
    """
    until = time.monotonic() + PUBLISH_SECONDS
    for sink in (one for one in sinks if one.name not in done.away):
        for id_, origin, size, root, note in _unpublished(connection, sink.name, done, head):
            if time.monotonic() > until:
                break
            try:
                sink.publish(Checkpoint(origin, size, bytes(root)), note)
            except SinkFailed as error:
                done.failures[sink.name] = str(error)
                break
            connection.execute(
                "INSERT INTO audit_auditpublication (checkpoint_id, sink, published_at)"
                " VALUES (%s, %s, clock_timestamp()) ON CONFLICT DO NOTHING",
                [id_, sink.name],
            )
            done.published += 1


def _unpublished(connection: psycopg.Connection, sink: str, done: Pass, head: Head) -> list[tuple]:
    """What comes after the last checkpoint that the sink has: as it says itself, and as the database noted."""
    noted = connection.execute(
        "SELECT coalesce(max(checkpoint_id), 0) FROM audit_auditpublication WHERE sink = %s", [sink]
    ).fetchone()[0]  # type: ignore[index]
    last = min(noted, head.id)  # what this pass sealed nobody can have published
    if sink in done.outside and head.id:
        standing = _standing(connection, head, done.outside[sink])
        if noted > standing:
            done.failures[sink] = f"{sink} lacks checkpoints that are noted as published; they are published again"
            last = standing
    return connection.execute(
        "SELECT id, origin, tree_size, root_hash, note FROM audit_auditcheckpoint"
        " WHERE note IS NOT NULL AND id > %s ORDER BY id LIMIT 1000",
        [last],
    ).fetchall()


def _standing(connection: psycopg.Connection, head: Head, size: int) -> int:
    """The number of the checkpoint that a sink stands at which has this incarnation's up to `size`."""
    row: Any = connection.execute(
        "SELECT coalesce(max(id) FILTER (WHERE tree_size <= %(size)s), min(id) - 1) FROM audit_auditcheckpoint"
        " WHERE incarnation = %(incarnation)s"
        "   AND (tree_size = (SELECT max(tree_size) FROM audit_auditcheckpoint"
        "                      WHERE incarnation = %(incarnation)s AND tree_size <= %(size)s)"
        "     OR tree_size = (SELECT min(tree_size) FROM audit_auditcheckpoint WHERE incarnation = %(incarnation)s))",
        {"size": size, "incarnation": head.incarnation},
    ).fetchone()
    return int(row[0])


def _refuse(what: str) -> None:
    raise SealRefused(
        f"{what}: an old backup was restored, or the tree was rewritten. Nothing is sealed. Compare with audit_verify"
        " --against; if the restore was meant, go on with audit_seal --new-incarnation --reason."
    )
