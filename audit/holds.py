"""Legal holds: placed, released, and asked for by whatever would take entries or values from the log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString

from django.db import connections, transaction
from django.db.models import Q
from psycopg import sql

from audit import actions
from audit.actors import Actor
from audit.models import AuditLog, LegalHold
from audit.searches import SearchTooWide, bounded
from audit.services import record
from forge.api.errors import BadRequest, Conflict, Denied, field_error
from forge.db.locks import advisory_key, advisory_lock

LOCK_NAME = "audit.holds"
ERASURE_LOCK = advisory_key("audit.erasure")
"""Held by the session that erases, and by one that moves or copies a month, in which an erasure would lose its way."""

COVERS: LiteralString = """
    hold.released_at IS NULL
    AND (hold.organization_id IS NULL OR hold.organization_id = entry.organization_id)
    AND (hold.user_id IS NULL OR hold.user_id = entry.user_id
         OR (entry.resource_type = 'User' AND entry.resource_id = hold.user_id::text))
    AND (hold.resource_type = '' OR (hold.resource_type = entry.resource_type AND hold.resource_id = entry.resource_id))
    AND (hold.period_start IS NULL OR hold.period_start <= entry."timestamp")
    AND (hold.period_end IS NULL OR hold.period_end > entry."timestamp")
"""
"""Whether the active `hold` covers the `entry`; SQL with these two names."""

_OVERLAPS: LiteralString = """
    SELECT hold.id FROM audit_legalhold AS hold
     WHERE hold.released_at IS NULL AND (hold.period_start IS NULL OR hold.period_start < %(end)s)
       AND (hold.period_end IS NULL OR hold.period_end > %(first)s)
"""
_HAS_ENTRY: LiteralString = """
       AND EXISTS (SELECT FROM {table} AS entry
                    WHERE entry."timestamp" >= %(first)s AND entry."timestamp" < %(end)s AND {covers})
"""


class MayNotHold(Denied):
    code = "may_not_hold"
    title = "Admins place and release the holds of their organization, operators of the installation all"


class HoldWithoutCriterion(BadRequest):
    code = "hold_without_criterion"
    title = "A hold names a person, a resource or a period"
    suggested_action = "Give user_id, or resource_type with resource_id, or period_start, or period_end."
    advice = "Name a person, a resource, or the begin or end of a period."


class HoldReleased(Conflict):
    code = "hold_released"
    title = "This hold was released already"
    suggested_action = "Place a new hold."


def place(
    *,
    actor: Actor,
    reason: str,
    now: datetime,
    organization_id: uuid.UUID | None = None,
    user_id: uuid.UUID | None = None,
    resource_type: str = "",
    resource_id: str = "",
    period_start: datetime | None = None,
    period_end: datetime | None = None,
) -> LegalHold:
    """A new hold; without `organization_id` an admin's own, an operator's over the whole installation.

    When this returns, no erasure that was under way goes on against it. Raises MayNotHold, HoldWithoutCriterion, and
    BadRequest for half a resource or a period that ends before it begins.
    """
    user = _holder(actor)
    hold = LegalHold(
        organization_id=organization_id or user.organization_id,
        user_id=user_id,
        resource_type=resource_type,
        resource_id=resource_id,
        period_start=period_start,
        period_end=period_end,
        reason=reason,
        placed_by=user.id,
        placed_at=now,
    )
    _require_may_hold(user, hold)
    _check(hold)
    with transaction.atomic():
        block_erasure()
        hold.save(force_insert=True)
        _record(
            actor,
            actions.LEGAL_HOLD_PLACE,
            hold,
            f"Placed hold {hold.id}",
            reason,
            {"before": None, "after": hold.criteria},
        )
    return hold


def covers_entries(hold: LegalHold) -> bool | None:
    """Whether the log has an entry that the hold covers; None where that cannot be said within seconds.

    One that covers none keeps nothing: often an id or a type that was mistyped.
    """
    found = AuditLog.objects.all()
    if hold.organization_id is not None:
        found = found.filter(organization_id=hold.organization_id)
    if hold.user_id is not None:
        found = found.filter(Q(user_id=hold.user_id) | Q(resource_type="User", resource_id=str(hold.user_id)))
    if hold.resource_type:
        found = found.filter(resource_type=hold.resource_type, resource_id=hold.resource_id)
    if hold.period_start is not None:
        found = found.filter(timestamp__gte=hold.period_start)
    if hold.period_end is not None:
        found = found.filter(timestamp__lt=hold.period_end)
    try:
        with bounded():
            return found.exists()
    except SearchTooWide:
        return None


def release(*, actor: Actor, hold: LegalHold, reason: str, now: datetime) -> LegalHold:
    """End the hold. Raises MayNotHold, HoldReleased."""
    user = _holder(actor)
    _require_may_hold(user, hold)
    with transaction.atomic():
        locked = LegalHold.objects.select_for_update().get(pk=hold.pk)
        if not locked.is_active:
            raise HoldReleased()
        locked.released_by, locked.released_at, locked.release_reason = user.id, now, reason
        locked.save(update_fields=["released_by", "released_at", "release_reason"])
        description = f"Released hold {locked.id}"
        _record(
            actor, actions.LEGAL_HOLD_RELEASE, locked, description, reason, {"before": locked.criteria, "after": None}
        )
    return locked


def over_period(
    first: datetime, end: datetime, *, table: str | None = "audit_auditlog", using: str = "owner"
) -> list[LegalHold]:
    """The active holds that keep [first, end): those that cover at least one entry of it, the oldest first.

    `table` holds the entries (`schema.name` for a month that is detached). None asks for every hold whose period meets
    this one, whatever it covers: for rows that are no entries of the log.
    """
    statement: sql.Composable = sql.SQL(_OVERLAPS)
    if table is not None:
        names = {"table": sql.Identifier(*table.split(".")), "covers": sql.SQL(COVERS)}
        statement += sql.SQL(_HAS_ENTRY).format(**names)
    with connections[using].cursor() as cursor:
        cursor.execute(statement, {"first": first, "end": end})
        ids = [id_ for (id_,) in cursor.fetchall()]
    return list(LegalHold.objects.using(using).filter(id__in=ids).order_by("placed_at", "id"))


def block_erasure(using: str = "default") -> None:
    """Until this transaction ends nobody erases, drops or places a hold: whoever takes entries calls this, then asks
    for holds in a statement of its own."""
    advisory_lock(LOCK_NAME, using=using)


@contextmanager
def without_erasure() -> Iterator[bool]:
    """Whether nobody erases, from the first step to the last, as long as the block lasts; waits for nobody."""
    wrapper = connections.create_connection("owner")
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [ERASURE_LOCK])
            yield cursor.fetchone()[0]
    finally:
        wrapper.close()


def may_hold(user: Any, hold: LegalHold) -> bool:
    """Whether the person may place or release this hold."""
    return user.is_operator or (user.organization_id == hold.organization_id and user.has_role("admin"))


def _holder(actor: Actor) -> Any:
    if actor.user is None:
        raise MayNotHold("A hold is placed and released by a person.")
    return actor.user


def _require_may_hold(user: Any, hold: LegalHold) -> None:
    if not may_hold(user, hold):
        raise MayNotHold("This needs the role admin in the organization of the hold.")


def _check(hold: LegalHold) -> None:
    if not hold.criteria:
        raise HoldWithoutCriterion()
    if bool(hold.resource_type) != bool(hold.resource_id):
        missing = "resource_id" if hold.resource_type else "resource_type"
        _refuse(missing, "required", "A resource is a type and an id.")
    if hold.period_start and hold.period_end and hold.period_start >= hold.period_end:
        _refuse("period_end", "invalid", "The period ends before it begins.")


def _refuse(field: str, code: str, message: str) -> None:
    raise BadRequest("Some fields are not valid.", errors=[field_error((field,), code, message)])


def _record(
    actor: Actor, action: str, hold: LegalHold, description: str, reason: str, changes: Mapping[str, Any]
) -> None:
    record(
        actor=actor,
        action=action,
        organization_id=hold.organization_id,
        resource_type="LegalHold",
        resource_id=str(hold.id),
        description=description,
        changes=changes,
        context={"reason": reason},
    )
