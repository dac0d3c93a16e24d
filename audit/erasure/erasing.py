"""Erasure: take what is personal about one person from the log, with an entry for each piece that says what.

Every hash stays valid, because the content holds digests in place of the values. Nothing is erased unseen: rows and
the entry that names them commit together, and verification accepts a row without its values only where a sealed entry
names it. A run that was killed is repeated: what is erased already is not found again.

First come the rows of others that name the person by address, then the person's own, from which a repeated run learns
these addresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from psycopg import sql

from audit import actions
from audit.actors import Actor
from audit.entries import Entry
from audit.erasure import archived, statements
from audit.erasure.people import Person
from audit.holds import ERASURE_LOCK, block_erasure
from audit.services import append
from audit.verification import rows_sql
from audit.verification.dropped import TABLE
from forge.db import detached, partitions
from forge.db.detached import Place
from forge.db.models import ArchivedMonth

OWNER = "owner"
"""The alias whose role may do the one UPDATE of the log that its trigger lets pass; the application's may not."""

BLOCKS = 1024
"""Table blocks per piece: 8 MB, some 4,000 rows."""

LIMIT = 1000
"""Rows per transaction. Each may be a range of its own in the entry, of at most 40 bytes."""

_LOCK = ERASURE_LOCK
_EXPIRE_EXPORTS = """
    UPDATE audit_auditexport SET expires_at = least(expires_at, clock_timestamp())
     WHERE organization_id = ANY(%(organizations)s) AND purged_at IS NULL
"""
"""Files of exports hold the values too: none is given out from here on, and the next purge deletes them."""


class ErasureBusy(Exception):
    """Another erasure is at work, or a month is on its way out of the log."""


class Held(Exception):
    """Legal holds cover entries that would be erased; `holds` are their ids."""

    def __init__(self, holds: Iterable[Any]) -> None:
        self.holds = sorted(str(hold) for hold in holds)
        super().__init__(f"A legal hold covers entries of this person: {', '.join(self.holds)}.")


class UnfitReason(ValueError):
    """The reason names the person: it would stay in the log for ever."""


@dataclass
class Erasure:
    """What was erased, or would be: entries whole, entries of others whose personal values alone, how many in copies of
    months that left the log, and in how many steps. `out_of_reach` entries have an address outside the values that can
    be erased, from id `first_out_of_reach`.
    """

    user_id: UUID | None
    entries: int = 0
    about: int = 0
    archived: int = 0
    steps: int = 0
    out_of_reach: int = 0
    first_out_of_reach: int | None = None
    holds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Month:
    table: str
    partition: str
    first: date
    end: date
    blocks: int

    def pieces(self) -> Iterator[dict[str, Any]]:
        bounds = {"first": _midnight(self.first), "end": _midnight(self.end)}
        for block in range(0, self.blocks, BLOCKS):
            yield bounds | {"low": f"({block},0)", "high": f"({block + BLOCKS},0)"}


def survey(person: Person) -> Erasure:
    """What an erasure would find; writes nothing. Raises ErasureBusy, ArchiveFailed."""
    _require_settled()
    found = Erasure(person.user_id)
    holds: set[str] = set()
    for month in _months():
        for piece in month.pieces():
            (entries, about, out_of_reach, first, held) = _fetch(statements.SURVEY, piece | person.parameters)[0]
            found.entries += entries
            found.about += about
            found.out_of_reach += out_of_reach
            found.first_out_of_reach = found.first_out_of_reach or first
            holds |= {str(hold) for hold in held}
    for archived_month in archived.months():
        subjects = archived.find(person, archived_month)
        found.archived += subjects.count("entries") + subjects.count("about")
        holds |= subjects.holds
    found.holds = sorted(holds)
    return found


def erase(person: Person, *, actor: Actor, reason: str) -> Erasure:
    """Erase what is personal about `person`; returns what was done.

    Raises Held, before anything is erased or, for a hold that is placed meanwhile, in the middle; ErasureBusy,
    UnfitReason, AuditUnavailable, and ArchiveFailed where the copies of months that left cannot be reached.
    """
    if any(address.casefold() in reason.casefold() for address in person.addresses):
        raise UnfitReason("The reason stays in the log: leave the address out, name a ticket.")
    with _alone():
        found = survey(person)
        if found.holds:
            raise Held(found.holds)
        done = Erasure(
            person.user_id, out_of_reach=found.out_of_reach, first_out_of_reach=found.first_out_of_reach
        )  # fmt: skip
        for is_own in (False, True):
            for month in _months():
                before = done.steps
                for piece in month.pieces():
                    while _step(person, done, month, piece | {"is_own": is_own}, actor=actor, reason=reason):
                        pass
                if done.steps > before:
                    _vacuum(month)
        for archived_month in archived.months():
            _erase_copy(person, done, archived_month, actor=actor, reason=reason)
    return done


def _step(person: Person, done: Erasure, month: _Month, piece: dict[str, Any], *, actor: Actor, reason: str) -> bool:
    """Erase the next rows of the piece, whether there were any: one transaction with the entries that name them."""
    with transaction.atomic(using=OWNER):
        block_erasure(using=OWNER)
        rows = _fetch(statements.CHUNK, piece | person.parameters | {"limit": LIMIT})
        if held := {hold for *_, hold in rows if hold is not None}:
            raise Held(held)
        named: dict[UUID | None, dict[str, list[int]]] = defaultdict(lambda: {"entries": [], "about": []})
        for id_, organization_id, form, _ in rows:
            named[organization_id][form].append(id_)
        _run(_EXPIRE_EXPORTS, {"organizations": [id_ for id_ in named if id_ is not None]})
        for organization_id, ids in named.items():
            for form, statement in statements.ERASE.items():
                _run(statement.format(table=month.table), piece | {"ids": ids[form]})
            append(_entry(person, month.first, organization_id, ids, actor=actor, reason=reason), using=OWNER)
    done.entries += sum(len(ids["entries"]) for ids in named.values())
    done.about += sum(len(ids["about"]) for ids in named.values())
    done.steps += len(named)
    return bool(rows)


def _erase_copy(person: Person, done: Erasure, month: ArchivedMonth, *, actor: Actor, reason: str) -> None:
    """Erase in the copy of a month; of one that is dropped nothing but the entries that commit here will ever tell."""
    with transaction.atomic(using=OWNER):
        subjects = archived.locked(person, month)
        if subjects.holds:
            raise Held(subjects.holds)
        for organization_id, ids in subjects.ids.items() if month.state == ArchivedMonth.State.DROPPED else ():
            pairs = [(form, id_) for form, found in ids.items() for id_ in found]
            for at in range(0, len(pairs), LIMIT):
                piece: dict[str, list[int]] = {"entries": [], "about": []}
                for form, id_ in pairs[at : at + LIMIT]:
                    piece[form].append(id_)
                append(_entry(person, month.month, organization_id, piece, actor=actor, reason=reason), using=OWNER)
    if subjects.ids:
        archived.rewrite(month, subjects)
        done.archived += subjects.count("entries") + subjects.count("about")


def _entry(
    person: Person, month: date, organization_id: UUID | None, ids: dict[str, list[int]], *, actor: Actor, reason: str
) -> Entry:
    counts = f"{len(ids['entries'])} entries, and personal values of {len(ids['about'])} by others"
    return Entry(
        actor=actor,
        action=actions.AUDIT_ERASE,
        organization_id=organization_id,
        resource_type="User",
        resource_id=str(person.user_id or ""),
        description=f"Erased {counts}",
        context={"reason": reason, "month": f"{month:%Y-%m}", **{form: ranges(ids[form]) for form in ids}},
    )


def ranges(ids: Iterable[int]) -> list[list[int]]:
    """Ascending ids as [first, last] of each run without a hole."""
    runs: list[list[int]] = []
    for id_ in ids:
        if runs and runs[-1][1] == id_ - 1:
            runs[-1][1] = id_
        else:
            runs.append([id_, id_])
    return runs


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of erasures for the session; raises ErasureBusy."""
    if not _fetch("SELECT pg_try_advisory_lock(%(key)s)", {"key": _LOCK})[0][0]:
        raise ErasureBusy("Another erasure is at work, or months are being moved or copied: try again.")
    try:
        yield
    finally:
        _fetch("SELECT pg_advisory_unlock(%(key)s)", {"key": _LOCK})


def _require_settled() -> None:
    """A month whose move was interrupted is in no table that is searched. Raises ErasureBusy."""
    for month in ArchivedMonth.objects.using(OWNER).filter(table=TABLE, state=ArchivedMonth.State.DETACHED):
        if detached.place_of(TABLE, month.month, month.partition, using=OWNER) is Place.BETWEEN:
            raise ErasureBusy(f"{month.partition} is being detached: manage.py rollover_partitions finishes it.")


def _months() -> list[_Month]:
    blocks = dict(_fetch(rows_sql.PARTITIONS, {}))
    return [
        _Month(table, partition.name, partition.first, partition.end, blocks.get(partition.name, 0))
        for table in (detached.twin(TABLE), TABLE)
        for partition in partitions.attached(table, using=OWNER)
        if partition.first is not None and partition.end is not None
    ]


def _vacuum(month: _Month) -> None:
    """Take the old versions of the rows, which still have the values, from the table's file."""
    with connections[OWNER].cursor() as cursor:
        schema = month.table.split(".")[:-1]
        cursor.execute(sql.SQL("VACUUM {}").format(sql.Identifier(*schema, month.partition)))


def _fetch(statement: str, parameters: dict[str, Any]) -> list[tuple]:
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute("SET LOCAL jit = off; SET LOCAL statement_timeout = 0")
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _run(statement: str, parameters: dict[str, Any]) -> None:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(statement, parameters)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
