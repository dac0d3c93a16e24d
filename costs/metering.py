"""Metering: from the states of machines to cost records, daily sums, cost_to_date and the charges of budgets.

The work is one SQL function per chunk of machines (`costs_book`, migration 0008); here are the order of the locks, the
transactions and the hand-over to the budgets. Business time is always given: history is metered by the same code.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import Min, QuerySet

from audit.actors import Actor
from costs.charges import EPOCH, Charges
from costs.models import MeterMark
from forge.accounts.locks import lock_scopes
from forge.db import partitions, ports
from workspaces.models import WorkSpace

logger = logging.getLogger(__name__)

CHUNK = 1000
"""Machines per transaction, at most."""

MACHINE_HOURS = 24_000
"""Machine-hours per transaction, about: after an outage each machine of a chunk advances by its share of these."""

TABLE = "costs_costrecord"

# Ids of machines travel as the text of an array: Python has no use for each of them. Whom a machine belonged to before
# is among the payers: hours that are not booked yet may be theirs.
_DUE = """
    WITH mark AS MATERIALIZED (
        SELECT next_due_at, workspace_id, coalesce(least(dirty_from, metered_through), '-infinity') AS since
          FROM costs_metermark
         WHERE next_due_at < %s AND (next_due_at, workspace_id) > (%s, %s) AND workspace_id <> ALL (%s)
         ORDER BY next_due_at, workspace_id LIMIT %s
    ), payer AS (
        SELECT machine.owner_id, machine.team_id, machine.project_id, machine.organization_id
          FROM mark JOIN workspaces_workspace machine ON machine.id = mark.workspace_id
         UNION
        SELECT former.owner_id, former.team_id, former.project_id, former.organization_id
          FROM mark
          JOIN workspaces_attributionchange former
            ON former.workspace_id = mark.workspace_id AND former.occurred_at > mark.since
    )
    SELECT due.*, payers.*
      FROM (
          SELECT count(*), (array_agg(next_due_at ORDER BY next_due_at DESC, workspace_id DESC))[1],
                 (array_agg(workspace_id ORDER BY next_due_at DESC, workspace_id DESC))[1],
                 array_agg(workspace_id)::text
            FROM mark
      ) due,
      (
          SELECT array_agg(DISTINCT owner_id), array_agg(DISTINCT team_id),
                 array_remove(array_agg(DISTINCT project_id), NULL), array_agg(DISTINCT organization_id)
            FROM payer
      ) payers
"""

# A machine that somebody holds is passed over: it stays due, and the next sweep books it.
_LOCK_MACHINES = """
    SELECT count(*), array_agg(id)::text
      FROM (
          SELECT id FROM workspaces_workspace
           WHERE id = ANY (%s::uuid[]) AND owner_id = ANY (%s) AND team_id = ANY (%s)
             AND (project_id IS NULL OR project_id = ANY (%s::uuid[])) AND organization_id = ANY (%s)
           ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
      ) locked
"""

_BOOK = """
    SELECT cardinality(hours), workspace_ids::text, hours::text, amounts::text, machines, records, unpriced
      FROM costs_book(%s::uuid[], %s, %s, %s, %s)
"""


class MeteringFailed(Exception):
    """Some machines could not be metered; all others were. Names them."""


@dataclass
class Figures:
    """What a sweep did: machines looked at, records written, charges handed on, and what could not be metered."""

    machines: int = 0
    records: int = 0
    charges: int = 0
    unpriced: int = 0
    transactions: int = 0


class _Place(NamedTuple):
    """A place in the order in which machines are due."""

    next_due_at: datetime
    workspace_id: uuid.UUID


class _Due(NamedTuple):
    """The next machines that are due, as the text of an array, with the scopes that they belong to."""

    machines: int
    place: _Place
    ids: str
    users: list[uuid.UUID]
    teams: list[uuid.UUID]
    projects: list[uuid.UUID]
    organizations: list[uuid.UUID]


def meter(*, now: datetime, chunk: int = CHUNK, dry_run: bool = False) -> dict[str, Any]:
    """Book everything that is due at `now`, in transactions of at most `chunk` machines; returns Figures as a dict.

    Any number of sweeps may run at once, late or twice: each takes the machines that nobody holds, and what is booked
    is not due any more. A dry run does the first step of each machine and takes it back; it makes no partitions, and
    where one is missing it only counts the machines. A machine that cannot be booked does not keep the others from it:
    MeteringFailed is raised at the end. Raises OperationalError when the database does not answer.
    """
    figures = Figures()
    failed: list[uuid.UUID] = []
    oldest = _oldest_due(now)
    if oldest is not None and dry_run and not partitions.has_span(TABLE, oldest, now):
        figures.machines = MeterMark.objects.filter(next_due_at__lt=now).count()
    elif oldest is not None:
        if not dry_run:
            ensure_months(oldest, now)
        while _sweep(now=now, chunk=chunk, dry_run=dry_run, figures=figures, failed=failed) and not dry_run:
            pass
    if failed:
        raise MeteringFailed(f"{len(failed)} machines were not metered: {', '.join(map(str, failed[:20]))}")
    return asdict(figures)


def close(*, workspaces: Sequence[WorkSpace], actor: Actor, now: datetime) -> None:
    """Book machines that have just ended to their end, with the fees that they owe for the rest of the month.

    The END hook: runs in the transaction of whoever ended them, who holds their scope rows and their own rows and has
    saved their state. A machine without a price stays due, so that metering books it once there is one.
    """
    by_id = {workspace.pk: workspace for workspace in workspaces}
    charges, _ = _book(sorted(by_id), now, timedelta(0), to_the_end=True)
    for workspace_id, amount in zip(charges.workspace_ids, charges.amounts, strict=True):
        by_id[workspace_id].cost_to_date += amount
    _settle(charges, now, ending=sorted(by_id))


def advance(*, workspace: WorkSpace, now: datetime, locking: Sequence[uuid.UUID]) -> None:
    """Book one machine to `now`, before those whom it is charged to change.

    The caller holds its scope rows and its own row, and takes the budgets `locking` next: they are locked together with
    those that are charged, in the order of their ids. A machine without a price stays due.
    """
    charges, _ = _book([workspace.pk], now, timedelta(0), to_the_end=True)
    workspace.cost_to_date += sum(charges.amounts, Decimal(0))
    _settle(charges, now, locking=locking)


def lag(now: datetime) -> timedelta:
    """The age of the oldest machine-hour that is not booked yet; zero when all are."""
    oldest = _oldest_due(now)
    return timedelta(0) if oldest is None else now - oldest


def metered_until(organization_id: uuid.UUID, now: datetime) -> datetime:
    """The instant to which all machines of the organization are booked; `now` where nothing is due."""
    oldest = _due(now).filter(organization_id=organization_id).aggregate(oldest=Min("next_due_at"))["oldest"]
    return now if oldest is None else oldest


def ensure_months(first: datetime, last: datetime) -> None:
    """Make the partitions from `first` to `last` where one is missing; call it before a transaction begins."""
    partitions.ensure_span(TABLE, first, last)


def _oldest_due(now: datetime) -> datetime | None:
    return _due(now).aggregate(oldest=Min("next_due_at"))["oldest"]


def _due(now: datetime) -> QuerySet[MeterMark]:
    return MeterMark.objects.filter(next_due_at__lt=now)


def _sweep(*, now: datetime, chunk: int, dry_run: bool, figures: Figures, failed: list[uuid.UUID]) -> bool:
    """Walk once through what is due, in the order of when; True when a machine advanced, and so may be due again.

    The machines of a chunk that fails are tried again one by one, so that only the one at fault is left behind.
    """
    place = _Place(EPOCH, uuid.UUID(int=0))
    advanced = False
    alone = 0
    figures.unpriced = 0
    while due := _next_due(now, place, 1 if alone else chunk, failed):
        try:
            advanced |= _book_chunk(due, now=now, dry_run=dry_run, figures=figures)
        except (IntegrityError, DataError):
            if due.machines > 1:
                alone = due.machines
                continue
            logger.exception("Machine %s cannot be metered", due.place.workspace_id)
            failed.append(due.place.workspace_id)
        place = due.place
        alone = max(0, alone - 1)
    return advanced


def _next_due(now: datetime, after: _Place, limit: int, failed: list[uuid.UUID]) -> _Due | None:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [now, *after, failed, limit])
        count, next_due_at, workspace_id, *rest = cursor.fetchone()
    return _Due(count, _Place(next_due_at, workspace_id), *rest) if count else None


def _book_chunk(due: _Due, *, now: datetime, dry_run: bool, figures: Figures) -> bool:
    """Book the machines in one transaction, locks first and in their order; True when one advanced."""
    with transaction.atomic():
        lock_scopes(
            user_ids=due.users, team_ids=due.teams, project_ids=due.projects, organization_ids=due.organizations
        )
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_MACHINES, [due.ids, due.users, due.teams, due.projects, due.organizations])
            count, locked = cursor.fetchone()
        if not count:
            return False
        charges, (machines, records, unpriced) = _book(locked, now, timedelta(hours=max(1, MACHINE_HOURS // count)))
        _settle(charges, now)
        transaction.set_rollback(dry_run)
    figures.machines += machines
    figures.records += records
    figures.charges += len(charges)
    figures.unpriced += unpriced
    figures.transactions += 1
    return machines > 0


def _book(
    ids: str | list[uuid.UUID], now: datetime, span: timedelta, *, to_the_end: bool = False
) -> tuple[Charges, tuple[int, int, int]]:
    with connection.cursor() as cursor:
        asked: list[Any] = [ids, now, span, to_the_end, settings.FORGE_PRICE_STALE_DAYS]
        cursor.execute(_BOOK, asked)
        *arrays, machines, records, unpriced = cursor.fetchone()
    return Charges.of_arrays(*arrays), (machines, records, unpriced)


def _settle(charges: Charges, now: datetime, **more: Sequence[uuid.UUID]) -> None:
    if len(charges):
        ports.call_all("FORGE_SPEND_HOOKS", charges=charges, now=now, **more)
