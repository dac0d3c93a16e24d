"""Keeping the advice: what a run found to hold opens, changes and ends the rows, each change of status audited."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from audit.actors import Actor
from audit.services import Entry, record_many
from costs import actions
from costs.advice.judging import Proposal
from costs.models import Advice
from forge.db.ids import uuid7
from workspaces.models import WorkSpace
from workspaces.resizing import Configuration

Status = Advice.Status

NO_LONGER = "It holds no longer."
ANOTHER = "Another proposal took its place."
ENDED = "The machine has ended."

_FIGURES = (
    "saving_amount", "currency", "price_ids", "confidence", "evidence", "possible_at", "best_at", "before",
    "confirmed_at",
)  # fmt: skip
_STATUS = ("status", "reason", "decided_by_id", "decided_at", "snoozed_until")
_COLUMNS = (
    "id", "organization_id", "workspace_id", "kind", "action", "changes", "created_at", "updated_at", "basis",
    *_FIGURES, *_STATUS,
)  # fmt: skip

# Of two runs at once the second waits at the unique index, and adds nothing.
_INSERT = f"""
    INSERT INTO costs_advice ({", ".join(_COLUMNS)}) VALUES ({", ".join(["%s"] * len(_COLUMNS))})
    ON CONFLICT (workspace_id, kind)
          WHERE status IN ('OPEN', 'SNOOZED', 'DISMISSED') OR (status = 'ACCEPTED' AND effective_at IS NULL)
    DO NOTHING
    RETURNING id
"""  # noqa: S608  (names of columns, no values)


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
    changed: list[Advice]

    def turn(self, advice: Advice, status: str, reason: str = "", until: datetime | None = None) -> None:
        """Give the row another status by itself, and note the entry that tells of it."""
        before = str(advice.status)
        advice.status, advice.reason, advice.snoozed_until = status, reason, until
        advice.decided_by_id, advice.decided_at = None, None if status == Status.OPEN else self.now
        self.changed.append(advice)
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
        run = _Run(actor, now, Kept(), [], [])
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
        _save(run.changed, now)
        for one in sorted(fresh, key=lambda one: (one.machine.id, one.kind)):
            _open(run, one)
        record_many(run.entries)
    return run.kept


def drop_ended(*, advice: Sequence[Advice], reasons: Mapping[uuid.UUID, str], actor: Actor, now: datetime) -> int:
    """Make rows OBSOLETE for the reason of each, those that are live still; returns how many that were."""
    with transaction.atomic():
        run = _Run(actor, now, Kept(), [], [])
        rows = Advice.objects.live().filter(pk__in=[one.pk for one in advice])
        for row in rows.order_by("workspace_id", "kind").select_for_update(no_key=True):
            run.turn(row, Status.OBSOLETE, reasons[row.pk])
        _save(run.changed, now)
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
    if row not in run.changed:
        run.changed.append(row)
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


def _open(run: _Run, proposal: Proposal) -> None:
    is_held = bool(proposal.held_because)
    row = Advice(
        id=uuid7(),
        organization_id=proposal.machine.organization_id,
        workspace_id=proposal.machine.id,
        kind=proposal.kind,
        action=proposal.action,
        changes=proposal.changes,
        status=Status.SNOOZED if is_held else Status.OPEN,
        reason=f"{proposal.held_because}." if is_held else "",
        decided_at=run.now if is_held else None,
        snoozed_until=proposal.held_until,
        created_at=run.now,
        updated_at=run.now,
        **_figures(proposal, run.now),
    )
    values: list[Any] = [getattr(row, name) for name in _COLUMNS]
    values = [Jsonb(value) if isinstance(value, dict) else value for value in values]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        if cursor.fetchone() is None:
            return
    run.kept.held += is_held
    run.kept.opened += not is_held
    run.note(row, None)


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


def _save(rows: Sequence[Advice], now: datetime) -> None:
    for row in rows:
        row.updated_at = now
    decided = ("status", "reason", "decided_by", "decided_at", "snoozed_until", "updated_at")
    Advice.objects.bulk_update(rows, [*_FIGURES, *decided], batch_size=500)
