"""Exports of the log: streamed at once, or written as a file by an operation; each leaves its audit entry."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from audit import actions
from audit.actors import Actor
from audit.exports import rows
from audit.exports.formats import FORMATS, shown
from audit.models import AuditExport, AuditExportPart, AuditLog
from audit.searches import bounded
from audit.services import Entry, record, record_many
from forge.api import turns
from forge.api.errors import Conflict, NotFound, Refused
from forge.db.ids import uuid7
from forge.operations.models import Operation
from forge.operations.services import enqueue

KIND = "audit.export"
JOB = "purge_audit_exports"
PURGED_AT_ONCE = 20

logger = logging.getLogger(__name__)


class ExportTooLarge(Refused):
    code = "export_too_large"
    title = "This is too much for one answer"
    suggested_action = "Have /api/v1/audit/exports/ write a file of the same filters, or narrow the time."


class OrganizationRequired(Refused):
    code = "organization_required"
    title = "A file holds the entries of one organization"
    suggested_action = "Name it by the filter organization_id."
    advice = "Choose an organization in the filter."


class ExportNotReady(Conflict):
    code = "export_not_ready"
    title = "The file is still being written"
    suggested_action = "Look at its operation, and come back when that has succeeded."
    retryable = True


class ExportGone(NotFound):
    code = "export_gone"
    title = "The file is no longer kept"
    suggested_action = "Ask for a new export."


class ExportCut(RuntimeError):
    """Fewer or more entries were read than the log held: the stream ends without its last line."""


def stream(
    *,
    actor: Actor,
    queryset: QuerySet[AuditLog],
    form: str,
    filters: Mapping[str, str],
    organization_id: uuid.UUID | None = None,
) -> tuple[str, Iterable[bytes]]:
    """The file's name and its content, piece by piece; its entry in the log is committed before the first byte.

    `queryset` is what the person may see of what `filters` (kept in that entry) ask for. `organization_id` is the
    one that an operator asks about, which is to see the entry too. The person's turn (forge.api.turns) lasts until
    the content is closed. Raises ExportTooLarge, SearchTooWide, what `record` raises, and what forge.api.turns
    raises where it is not their turn.
    """
    limit, person = settings.FORGE_EXPORT_STREAM_ENTRIES, actor.user_id
    with ExitStack() as unless_told:
        if person is not None:
            turns.take(person)
            unless_told.callback(turns.leave, person)
        with bounded():
            if person is not None:
                turns.require_alone(person)
            count, held = rows.count(queryset, limit=limit)
        if count > limit:
            raise ExportTooLarge(f"More than {limit} entries are asked for.", extra={"limit": limit})
        with transaction.atomic():
            record(
                actor=actor,
                action=actions.AUDIT_EXPORT,
                resource_type="AuditLog",
                organization_id=organization_id,
                description=f"Exported {count} entries of the audit log as {form}",
                context={"format": form, "count": count, "filters": urlencode(filters), "as_of": held.as_of},
            )
        unless_told.pop_all()
    pieces = _lines(queryset, held, form, count)
    name = f"audit-{held.as_of:%Y%m%dT%H%M%SZ}.{form}"
    return name, pieces if person is None else turns.InTurn(person, pieces)


def _lines(queryset: QuerySet[AuditLog], held: rows.Cut, form: str, count: int) -> Generator[bytes]:
    """The file in pieces of a read each; without its last line when it was cut, which is logged."""
    writer = FORMATS[form]
    written, is_whole = 0, False
    try:
        yield writer.head()
        for page in rows.entries(queryset, held):
            yield b"".join(writer.line(shown(entry)) for entry in page)
            written += len(page)
        if written != count:
            raise ExportCut(f"{written} entries were read of {count}")
        yield writer.tail(written)
        is_whole = True
    finally:
        if not is_whole:
            logger.error("An export of %s audit entries was cut after %s.", count, written, exc_info=True)


def ask(
    *, actor: Actor, organization_id: uuid.UUID | None, form: str, filters: Mapping[str, str], now: datetime
) -> tuple[AuditExport, Operation]:
    """Have a file written of what the log of the organization holds now; raises OrganizationRequired.

    `filters` are valid already, and the actor may export that organization's log.
    """
    if organization_id is None:
        raise OrganizationRequired()
    with transaction.atomic():
        held = rows.cut()
        operation_id = uuid7()
        export = AuditExport.objects.create(
            organization_id=organization_id,
            asked_by_id=actor.user_id,
            operation_id=operation_id,
            format=form,
            filters=dict(filters),
            as_of=held.as_of,
            heads=dict(held.heads),
            expires_at=_expiry(now),
        )
        operation = enqueue(
            id=operation_id,
            organization_id=organization_id,
            actor_id=actor.user_id,
            owner_id=actor.user_id,
            kind=KIND,
            target_type="AuditExport",
            target_id=export.id,
            spec={"format": form},
            correlation_id=actor.correlation_id,
            now=now,
        )
        record(
            actor=actor.in_organization(organization_id),
            action=actions.AUDIT_EXPORT_REQUEST,
            resource_type="AuditExport",
            resource_id=str(export.id),
            description=f"Asked for export {export.id} of the audit log as {form}",
            changes={"before": None, "after": {"format": form, "as_of": held.as_of, "state": export.state}},
            context={"format": form, "filters": urlencode(filters), "operation_id": operation.id},
        )
    return export, operation


def require_ready(export: AuditExport, *, now: datetime) -> None:
    """Whether the whole file is there; raises ExportNotReady, ExportGone."""
    if export.purged_at is not None or export.is_expired(now):
        raise ExportGone(f"It was kept until {export.expires_at:%Y-%m-%d %H:%M} UTC.")
    if export.finished_at is None:
        raise ExportNotReady(extra={"operation": str(export.operation_id)})


def download(*, actor: Actor, export: AuditExport, now: datetime) -> Iterable[bytes]:
    """The file piece by piece; the entry of its download is committed first.

    The person's turn (forge.api.turns) lasts until the content is closed: however slowly it is read, it takes a thread
    for as long. Raises ExportNotReady, ExportGone, and what forge.api.turns raises where it is not their turn.
    """
    require_ready(export, now=now)
    person = actor.user_id
    with ExitStack() as unless_told:
        if person is not None:
            turns.take(person)
            unless_told.callback(turns.leave, person)
        with transaction.atomic():
            record(
                actor=actor.in_organization(export.organization_id),
                action=actions.AUDIT_EXPORT_DOWNLOAD,
                resource_type="AuditExport",
                resource_id=str(export.id),
                description=f"Downloaded export {export.id} of the audit log",
                context={"count": export.entries, "size": export.size, "sha256": export.sha256},
            )
        unless_told.pop_all()
    pieces = content(export)
    return pieces if person is None else turns.InTurn(person, pieces)


def content(export: AuditExport) -> Generator[bytes]:
    """The bytes of the file as far as it is written, a part at a time, each read by a statement of its own."""
    numbers = export.parts.order_by("number").values_list("number", flat=True)
    for number in list(numbers):
        yield export.parts.get(number=number).plain


def is_outdated(export: AuditExport) -> bool:
    """Whether personal values were erased in its organization since the export began, which it may still hold."""
    erasures = AuditLog.objects.filter(organization_id=export.organization_id, action_type=actions.AUDIT_ERASE)
    return erasures.filter(timestamp__gte=export.as_of).exists()


def finish(export: AuditExport, *, sha256: str, now: datetime) -> None:
    """The whole file is there: note its hash, and keep it for its days from now on."""
    export.sha256, export.finished_at, export.expires_at = sha256, now, _expiry(now)
    export.save(update_fields=["sha256", "finished_at", "expires_at", "updated_at"])


def discard(export: AuditExport, *, now: datetime) -> None:
    """Delete the content and forget the filters, which may hold an address; the row stays."""
    AuditExportPart.objects.filter(export=export).delete()
    export.purged_at, export.filters = now, {}
    export.save(update_fields=["purged_at", "filters", "updated_at"])


def purge_exports(*, now: datetime) -> dict[str, int]:
    """Delete the content of exports past their time whose operation has ended; returns {"purged": n}.

    A transaction for a few at a time; what another run holds is passed over.
    """
    purged = 0
    ended = Operation.objects.filter(finished_at__isnull=False).values("id")
    due = AuditExport.objects.filter(purged_at=None, expires_at__lte=now, operation_id__in=ended).order_by("expires_at")
    while True:
        with transaction.atomic():
            batch = list(due.select_for_update(of=("self",), skip_locked=True)[:PURGED_AT_ONCE])
            for export in batch:
                discard(export, now=now)
            record_many(_purged(export) for export in batch)
        purged += len(batch)
        if len(batch) < PURGED_AT_ONCE:
            return {"purged": purged}


def _purged(export: AuditExport) -> Entry:
    return Entry(
        actor=Actor.job(JOB, export.organization_id),
        action=actions.AUDIT_EXPORT_PURGE,
        resource_type="AuditExport",
        resource_id=str(export.id),
        description=f"Deleted the file of export {export.id}",
        context={"count": export.entries, "sha256": export.sha256 or None},
    )


def _expiry(now: datetime) -> datetime:
    return now + timedelta(days=settings.FORGE_EXPORT_DAYS)
