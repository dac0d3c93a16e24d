"""The operation that writes an export's file, part by part, and goes on where a killed worker stopped."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from audit import actions
from audit.actors import Actor
from audit.api.filters import AuditLogFilterSet
from audit.entries import FAILURE, SUCCESS
from audit.exports import rows, services
from audit.exports.formats import FORMATS, shown
from audit.holds import block_erasure
from audit.models import AuditExport, AuditExportPart, AuditLog
from audit.services import record
from forge.api.errors import Conflict
from forge.api.filters import filtered
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation

PART_BYTES = 16 * 1024 * 1024
"""A part ends with the read by which it has so much, before it is compressed."""
STRETCH_SECONDS = 10.0
"""After so long the worker lets other operations have their turn."""


class ExportIsOver(Conflict):
    code = "export_is_over"
    title = "An export that has failed or was called off is not tried again"
    suggested_action = "Ask for a new export."


class WriteExport(Handler):
    """Each part commits with the place behind its last entry, under the operation's lock."""

    def run(self, claim: Claim) -> None:
        export = AuditExport.objects.get(id=claim.operation.target_id)
        until = time.monotonic() + STRETCH_SECONDS
        while export.written_at is None:
            write_part(claim, export)
            if export.entries > settings.FORGE_EXPORT_MOST_ENTRIES:
                self._fail(claim, "export_too_large", f"It is more than {settings.FORGE_EXPORT_MOST_ENTRIES} entries.")
                return
            claim.step("write", {"entries": export.entries}, progress=_progress(export))
            if time.monotonic() >= until:
                with transaction.atomic():
                    claim.lock()
                    claim.wait(claim.now())
                return
        sha256 = hash_of(export, Pulse(claim))
        with transaction.atomic():
            operation = claim.lock()
            block_erasure()
            if services.is_outdated(export):
                self._end(
                    claim, operation, "entries_erased", "Values in it were erased meanwhile: ask for a new export."
                )
                return
            services.finish(export, sha256=sha256, now=claim.now())
            figures: dict[str, Any] = {"count": export.entries, "size": export.size, "sha256": sha256}
            _record(claim.operation, export, result=SUCCESS, outcome="succeeded", **figures)
            claim.succeed({"download": f"/api/v1/audit/exports/{export.id}/download/", **figures})

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        export = _discarded(operation, now)
        _record(operation, export, result=FAILURE, outcome="cancelled", actor=actor)

    def cancel_requested(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        export = AuditExport.objects.get(id=operation.target_id)
        _record(operation, export, result=FAILURE, outcome="cancel_requested", actor=actor)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        raise ExportIsOver()

    def is_retryable(self, operation: Operation) -> bool:
        return False

    def on_exhausted(self, claim: Claim) -> None:
        self._fail(claim, "export_failed", "Too many attempts in a row failed.")

    def _fail(self, claim: Claim, code: str, detail: str) -> None:
        with transaction.atomic():
            self._end(claim, claim.lock(), code, detail)

    def _end(self, claim: Claim, operation: Operation, code: str, detail: str) -> None:
        export = _discarded(operation, claim.now())
        _record(operation, export, result=FAILURE, outcome="failed", code=code)
        claim.fail(code, detail)


write_export = WriteExport()


def write_part(claim: Claim, export: AuditExport) -> None:
    """Read on from the export's place and commit what was read as its next part; the last one has the last line."""
    form = FORMATS[export.format]
    place = _place(export)
    pieces = [form.head()] if place is None else []
    entries, is_last = 0, True
    beat = Pulse(claim)
    for page in rows.entries(_queryset(export), rows.Cut(export.as_of, export.heads), after=place):
        beat()
        if page:
            pieces.append(b"".join(form.line(shown(entry)) for entry in page))
            entries += len(page)
            place = rows.Place(page[-1].timestamp, page[-1].id)
        if sum(map(len, pieces)) >= PART_BYTES:
            is_last = False
            break
    if is_last:
        pieces.append(form.tail(export.entries + entries))
    _commit_part(claim, export, b"".join(pieces), place=place, entries=entries, is_last=is_last)


def hash_of(export: AuditExport, beat: Callable[[], None]) -> str:
    """SHA-256 of the whole file, in hexadecimal; `beat` is called for each part."""
    whole = hashlib.sha256()
    for piece in services.content(export):
        beat()
        whole.update(piece)
    return whole.hexdigest()


class Pulse:
    """Renews a claim's lease, called as often as one likes, four times in its length."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._pause = settings.FORGE_OPERATION_LEASE_SECONDS / 4
        self._next = time.monotonic() + self._pause

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._claim.heartbeat()
            self._next = time.monotonic() + self._pause


def _commit_part(
    claim: Claim, export: AuditExport, plain: bytes, *, place: rows.Place | None, entries: int, is_last: bool
) -> None:
    packed = zlib.compress(plain)
    with transaction.atomic():
        claim.lock()
        AuditExportPart.objects.create(export=export, number=export.parts.count(), content=packed)
        if place is not None:
            export.place_timestamp, export.place_id = place.timestamp, place.id
        export.entries += entries
        export.size += len(plain)
        export.written_at = claim.now() if is_last else None
        export.save()


def _place(export: AuditExport) -> rows.Place | None:
    if export.place_timestamp is None or export.place_id is None:
        return None
    return rows.Place(export.place_timestamp, export.place_id)


def _queryset(export: AuditExport) -> Any:
    here = AuditLog.objects.filter(organization_id=export.organization_id)
    return filtered(here, AuditLogFilterSet, export.filters)


def _progress(export: AuditExport) -> int:
    """Per cent of the time from the log's beginning to `as_of` that is written; the hash is the last of it."""
    first = rows.first_time()
    if export.written_at is not None or first is None or export.place_timestamp is None:
        return 99
    whole = (export.as_of - first).total_seconds()
    return int(99 * (export.place_timestamp - first).total_seconds() / whole) if whole > 0 else 0


def _discarded(operation: Operation, now: datetime) -> AuditExport:
    export = AuditExport.objects.select_for_update(no_key=True).get(id=operation.target_id)
    services.discard(export, now=now)
    return export


def _record(
    operation: Operation,
    export: AuditExport,
    *,
    result: str,
    outcome: str,
    actor: Actor | None = None,
    **figures: Any,
) -> None:
    record(
        actor=(actor or Actor.of_operation(operation, job=services.KIND)).in_organization(operation.organization_id),
        action=actions.AUDIT_EXPORT,
        resource_type="AuditExport",
        resource_id=str(export.id),
        result=result,
        description=f"Export {export.id} of the audit log: {outcome.replace('_', ' ')}",
        context={"format": export.format, "operation_id": operation.id, "outcome": outcome, **figures},
    )
