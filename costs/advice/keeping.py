"""Keeping the advice: what a run found to hold opens, changes and ends the rows, each change of status audited."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import Entry, record_many
from costs import actions
from costs.advice.cases import Proposal
from costs.models import Advice
from forge.db.ids import uuid7
from workspaces.models import WorkSpace
from workspaces.resizing import Configuration

Status = Advice.Status

NO_LONGER = "It holds no longer."
ANOTHER = "Another proposal took its place."
ENDED = "The machine has ended."

# What a row says, as `jsonb_to_recordset` reads it: the columns that a run sets in a row that is there already …
_MOVING = {
    "saving_amount": "numeric",
    "currency": "text",
    "price_ids": "uuid[]",
    "confidence": "text",
    "evidence": "jsonb",
    "possible_at": "timestamptz",
    "best_at": "timestamptz",
    "before": "jsonb",
    "confirmed_at": "timestamptz",
    "status": "text",
    "reason": "text",
    "decided_by_id": "uuid",
    "decided_at": "timestamptz",
    "snoozed_until": "timestamptz",
    "updated_at": "timestamptz",
}
# … and those that a row is made with besides.
_FIXED = {
    "id": "uuid",
    "organization_id": "uuid",
    "workspace_id": "uuid",
    "kind": "text",
    "action": "text",
    "changes": "jsonb",
    "basis": "text",
    "created_at": "timestamptz",
}
_ALL = {**_FIXED, **_MOVING}


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


# Of two runs at once the second waits at the unique index, and adds nothing.
_INSERT = f"""
    INSERT INTO costs_advice ({", ".join(_ALL)})
    SELECT {", ".join(_ALL)} FROM jsonb_to_recordset(%s::jsonb) AS new ({_columns(_ALL)})
     ORDER BY workspace_id, kind
    ON CONFLICT (workspace_id, kind)
          WHERE status IN ('OPEN', 'SNOOZED', 'DISMISSED') OR (status = 'ACCEPTED' AND effective_at IS NULL)
    DO NOTHING
    RETURNING id
"""  # noqa: S608  (names of columns, no values)

_UPDATE = f"""
    UPDATE costs_advice AS advice SET {", ".join(f"{name} = new.{name}" for name in _MOVING)}
      FROM jsonb_to_recordset(%s::jsonb) AS new (id uuid, {_columns(_MOVING)})
     WHERE advice.id = new.id
"""  # noqa: S608


@dataclass
class Kept:
    """Counts of a run's changes: advice opened, snoozed for what holds it, changed in its figures, and gone."""

    opened: int = 0
    held: int = 0
    updated: int = 0
    obsolete: int = 0

    def add(self, other: Kept) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class _Run:
    actor: Actor
    now: datetime
    kept: Kept
    entries: list[Entry]
    changed: dict[uuid.UUID, Advice]

    def turn(self, advice: Advice, status: str, reason: str = "", until: datetime | None = None) -> None:
        """Give the row another status by itself, and note the entry that tells of it."""
        before = str(advice.status)
        advice.status, advice.reason, advice.snoozed_until = status, reason, until
        advice.decided_by_id, advice.decided_at = None, None if status == Status.OPEN else self.now
        self.changed[advice.pk] = advice
        self.note(advice, before)

    def note(self, advice: Advice, before: str | None) -> None:
        action = {
            Status.OPEN: actions.ADVICE_OPEN,
            Status.SNOOZED: actions.ADVICE_SNOOZE if before else actions.ADVICE_OPEN,
            Status.OBSOLETE: actions.ADVICE_OBSOLETE,
        }[Status(advice.status)]
        said = {"reason": advice.reason} if advice.reason else {}
        self.entries.append(entry_of(advice, before, action=action, actor=self.actor, now=self.now, **said))


def keep(*, machines: Sequence[WorkSpace], proposals: Iterable[Proposal], actor: Actor, now: datetime) -> Kept:
    """Let the rows of these machines say what was found for them, in one transaction; returns what changed.

    What people decided stands: a dismissed proposal stays away until another one is made, one that is being carried
    out is left alone. The rows are locked by machine and kind, so that two runs never wait for each other crosswise.
    """
    found: dict[uuid.UUID, dict[str, Proposal]] = defaultdict(dict)
    for one in proposals:
        found[one.machine.id][one.kind] = one
    with transaction.atomic():
        run = _Run(actor, now, Kept(), [], {})
        locked = Advice.objects.live().filter(workspace__in=[one.id for one in machines])
        standing = {
            (row.workspace_id, row.kind): row
            for row in locked.order_by("workspace_id", "kind").select_for_update(no_key=True)
        }
        fresh = []
        for machine in machines:
            for kind in Advice.Kind.values:
                row, proposal = standing.get((machine.id, kind)), found[machine.id].get(kind)
                wanted = proposal if row is None else _follow(run, row, proposal)
                if wanted is not None:
                    fresh.append(wanted)
        _save(run.changed.values(), now)
        _open(run, fresh)
        record_many(run.entries)
    return run.kept


def drop_ended(*, advice: Sequence[Advice], reasons: Mapping[uuid.UUID, str], actor: Actor, now: datetime) -> int:
    """Make rows OBSOLETE for the reason of each, those that are live still; returns how many that were."""
    with transaction.atomic():
        run = _Run(actor, now, Kept(), [], {})
        rows = Advice.objects.live().filter(pk__in=[one.pk for one in advice])
        for row in rows.order_by("workspace_id", "kind").select_for_update(no_key=True):
            run.turn(row, Status.OBSOLETE, reasons[row.pk])
        _save(run.changed.values(), now)
        record_many(run.entries)
    return len(run.changed)


def refresh(row: Advice, proposal: Proposal, now: datetime) -> bool:
    """Take the figures of the same proposal over; True when one of them moved."""
    values = _figures(proposal, now)
    moved = any(getattr(row, name) != value for name, value in values.items() if name != "confirmed_at")
    for name, value in values.items():
        setattr(row, name, value)
    return moved


def entry_of(advice: Advice, before: str | None, *, action: str, actor: Actor, now: datetime, **context: Any) -> Entry:
    """What the audit log is told of a change of status."""
    return Entry(
        actor=actor.for_one_of(advice.organization_id) if actor.user_id is None else actor,
        action=action,
        resource_type="Advice",
        resource_id=str(advice.id),
        description=f"Advice {advice.id} is {advice.status}",
        changes={"before": {"status": before}, "after": {"status": str(advice.status)}},
        context={
            "workspace_id": str(advice.workspace_id),
            "kind": advice.kind,
            "action": advice.action,
            "changes": advice.changes,
            "saving_amount": str(advice.saving_amount),
            "currency": advice.currency,
            **context,
        },
        occurred_at=now,
    )


def _follow(run: _Run, row: Advice, proposal: Proposal | None) -> Proposal | None:
    """Bring a standing row into line with what was found; returns the proposal that a new row is to say, or None."""
    if row.status == Status.ACCEPTED:
        return None
    if proposal is not None and not row.proposes(proposal.action, proposal.changes):
        run.turn(row, Status.OBSOLETE, ANOTHER)
        run.kept.obsolete += 1
        return proposal
    if row.status == Status.DISMISSED:
        return None
    if proposal is None:
        run.turn(row, Status.OBSOLETE, NO_LONGER)
        run.kept.obsolete += 1
        return None
    moved = refresh(row, proposal, run.now)
    run.kept.updated += moved
    _settle_hold(run, row, proposal)
    run.changed[row.pk] = row
    return None


def _settle_hold(run: _Run, row: Advice, proposal: Proposal) -> None:
    """Snooze what a keep-alive or a lease holds, and open what nothing holds any more."""
    is_over = row.snoozed_until is not None and row.snoozed_until <= run.now
    is_by_itself = row.status == Status.SNOOZED and row.decided_by_id is None
    if proposal.held_because:
        if row.status == Status.OPEN or is_over:
            run.turn(row, Status.SNOOZED, f"{proposal.held_because}.", proposal.held_until)
            run.kept.held += 1
        elif is_by_itself:
            row.reason, row.snoozed_until = f"{proposal.held_because}.", proposal.held_until
    elif row.status == Status.SNOOZED and (is_over or is_by_itself):
        run.turn(row, Status.OPEN)
        run.kept.opened += 1


def _open(run: _Run, proposals: Sequence[Proposal]) -> None:
    rows = [_row_of(proposal, run.now) for proposal in proposals]
    if not rows:
        return
    made = {id_ for (id_,) in _fetched(_INSERT, rows, _ALL)}
    for row in rows:
        if row.pk in made:
            is_held = row.status == Status.SNOOZED
            run.kept.held += is_held
            run.kept.opened += not is_held
            run.note(row, None)


def _row_of(proposal: Proposal, now: datetime) -> Advice:
    is_held = bool(proposal.held_because)
    return Advice(
        id=uuid7(),
        organization_id=proposal.machine.organization_id,
        workspace_id=proposal.machine.id,
        kind=proposal.kind,
        action=proposal.action,
        changes=proposal.changes,
        status=Status.SNOOZED if is_held else Status.OPEN,
        reason=f"{proposal.held_because}." if is_held else "",
        decided_at=now if is_held else None,
        snoozed_until=proposal.held_until,
        created_at=now,
        updated_at=now,
        **_figures(proposal, now),
    )


def _figures(proposal: Proposal, now: datetime) -> dict[str, Any]:
    return {
        "saving_amount": proposal.saving,
        "currency": proposal.machine.organization.currency,
        "price_ids": proposal.price_ids,
        "confidence": str(proposal.confidence),
        "evidence": proposal.evidence,
        "possible_at": proposal.possible_at,
        "best_at": proposal.best_at,
        "before": asdict(Configuration.of(proposal.machine)),
        "confirmed_at": now,
    }


def _save(rows: Collection[Advice], now: datetime) -> None:
    for row in rows:
        row.updated_at = now
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, [_as_json(rows, ("id", *_MOVING))])


def _fetched(statement: str, rows: Sequence[Advice], columns: Iterable[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [_as_json(rows, columns)])
        return cursor.fetchall()


def _as_json(rows: Collection[Advice], columns: Iterable[str]) -> str:
    names = tuple(columns)
    return json.dumps([{name: getattr(row, name) for name in names} for row in rows], default=_text)


def _text(value: Any) -> Any:
    """What JSON does not know, as PostgreSQL reads it: ids, amounts, instants with their microseconds."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
