"""The steps by which a month leaves: decision and audit entry in one transaction, then what was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction

from audit import actions, holds, places
from audit.actors import Actor
from audit.archive import copies
from audit.archive.copies import Copy
from audit.archive.plan import Due, State, Step
from audit.places import Archive, ArchiveFailed
from audit.receipts import Receipt
from audit.services import record
from audit.verification import dropped
from forge.db import detached
from forge.db.models import ArchivedMonth
from forge.db.months import add_months


class Held(Exception):
    """Something came in the way while the step was taken: a legal hold, above all."""


def take(due: Due, *, actor: Actor, now: datetime) -> ArchivedMonth:
    """Take the step, and return the record of the month after it.

    Raises CopyDiffers, ArchiveFailed, FolderExists, Held, PartitionError, AuditUnavailable, DatabaseError, and for the
    log NothingSealed, CannotDecide.
    """
    if due.step not in (Step.DETACH, Step.EXPORT):
        return _TAKE[due.step](due, actor, now)
    with _without_erasure():
        return _TAKE[due.step](due, actor, now)


def export_again(due: Due, *, actor: Actor, now: datetime) -> ArchivedMonth:
    """Copy a month anew whose copy was lost or moved away; its seven days begin anew. Raises as `take` does."""
    with _without_erasure():
        return _export(due, actor, now)


@contextmanager
def _without_erasure() -> Iterator[None]:
    """An erasure that ran meanwhile would look for a month where it is not, or leave in a copy, begun before it, what
    it took from the table. Raises Held."""
    with holds.without_erasure() as is_free:
        if not is_free:
            raise Held("an erasure is at work")
        yield


def _detach(due: Due, actor: Actor, now: datetime) -> ArchivedMonth:
    archived = due.record
    if archived is None:
        with transaction.atomic():
            _require_free(due, "default")
            archived = ArchivedMonth.objects.create(
                table=due.policy.table, month=due.month, partition=due.partition, detached_at=now
            )
            _record(actor, actions.AUDIT_MONTH_DETACH, archived, "Detached", {})
    detached.detach(archived.table, archived.month, archived.partition)
    return archived


def _export(due: Due, actor: Actor, now: datetime) -> ArchivedMonth:
    archive, archived = _archive(), _of(due)
    copy = copies.make(archive, due.policy, due.month, due.partition)
    facts = {"rows": copy.rows, "manifest_sha256": copy.manifest_sha256}
    location = f"{archive.name}/{copy.folder.relative_to(archive.root)}"
    with transaction.atomic():
        changes = facts | {"state": State.EXPORTED, "exported_at": now, "verified_at": now, "location": location}
        archived = _change(archived, State.DETACHED if due.step is Step.EXPORT else State.EXPORTED, changes)
        _record(actor, actions.AUDIT_MONTH_EXPORT, archived, "Exported", facts | {"location": location})
    return archived


def _drop(due: Due, actor: Actor, now: datetime) -> ArchivedMonth:
    """Decide that the month is dropped; its table stays until this decision is sealed."""
    archived = _of(due)
    _check(archived, due)
    facts = {"rows": archived.rows, "location": archived.location, "manifest_sha256": archived.manifest_sha256}
    facts["retention_months"] = due.policy.months
    if due.policy.is_sealed:
        facts |= _what_is_gone(archived)
    with transaction.atomic():
        _require_free(due, "default")
        changes = {"state": State.DROPPED, "dropped_at": now, "verified_at": now}
        receipt = _record(actor, actions.AUDIT_MONTH_DROP, archived, "Dropped", facts)
        return _change(archived, State.EXPORTED, changes | {"drop_receipt": str(receipt)})


def _remove(due: Due, actor: Actor, now: datetime) -> ArchivedMonth:
    """Take the table away, after the copy was read once more and while nobody can place a hold."""
    archived = _of(due)
    _check(archived, due)
    detached.drop(archived.table, archived.month, archived.partition, check=lambda: _require_free(due, "owner"))
    return archived


_TAKE: dict[Step, Callable[[Due, Actor, datetime], ArchivedMonth]] = {
    Step.DETACH: _detach,
    Step.EXPORT: _export,
    Step.DROP: _drop,
    Step.REMOVE: _remove,
}


def _check(archived: ArchivedMonth, due: Due) -> Copy:
    archive = _archive()
    expected = f"{archive.name}/{archive.folder_of(archived.table, archived.month).relative_to(archive.root)}"
    if archived.location != expected:
        raise ArchiveFailed(f"the copy is at {archived.location}, and FORGE_ARCHIVE is {archive.name}")
    return copies.check(archive, due.policy, due.month, due.partition, archived.manifest_sha256)


def _require_free(due: Due, using: str) -> None:
    """Nobody places a hold from here until the transaction ends, and none is over the month. Raises Held."""
    holds.block_erasure(using=using)
    if reasons := list(due.policy.hindrances(due.month, add_months(due.month, 1))):
        raise Held("; ".join(reasons))


def _what_is_gone(archived: ArchivedMonth) -> dict[str, Any]:
    """Everything that retention has ever taken from the log, this month included."""
    before = dropped.load()
    ranges = dropped.merged(before.said | set(dropped.spans_of(archived.month)))
    months = before.months | {archived.month: archived.manifest_sha256}
    return {
        "ranges": [list(span) for span in ranges],
        "months": {f"{month:%Y-%m}": hashed for month, hashed in sorted(months.items())},
    }


def _change(archived: ArchivedMonth, before: str, changes: dict[str, Any]) -> ArchivedMonth:
    """Set the fields where the state is still `before`; raises Held."""
    if not ArchivedMonth.objects.filter(pk=archived.pk, state=before).update(**changes):
        raise Held(f"{archived.partition} is not {before} any more")
    archived.refresh_from_db()
    return archived


def _record(actor: Actor, action: str, archived: ArchivedMonth, verb: str, facts: dict[str, Any]) -> Receipt:
    return record(
        actor=actor,
        action=action,
        description=f"{verb} {archived.partition}",
        resource_type="ArchivedMonth",
        resource_id=archived.partition,
        context={"table": archived.table, "month": f"{archived.month:%Y-%m}", **facts},
    )


def _of(due: Due) -> ArchivedMonth:
    if due.record is None:
        raise Held(f"{due.partition} is attached")
    return due.record


def _archive() -> Archive:
    archive = places.configured()
    if archive is None:
        raise ArchiveFailed("FORGE_ARCHIVE is not set")
    return archive
