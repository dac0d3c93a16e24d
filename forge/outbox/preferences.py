"""Choosing what one hears of by mail: each kind is told until it is switched off, and some are always told.

A choice counts when a mail is sent, for those that are owed already too. Webhooks are no part of it: they belong to the
organization.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Refused
from forge.db.ids import uuid7
from forge.outbox import actions
from forge.outbox.letters import kinds
from forge.outbox.models import NotificationPreference

MAIL = NotificationPreference.Channel.MAIL


class AlwaysTold(Refused):
    code = "always_told"
    title = "Mail of this kind is always sent"


class UnknownMailKind(Refused):
    code = "unknown_mail_kind"
    title = "There is no mail of this kind"


def is_always_told(kind: str) -> bool:
    """Whether nobody can switch this kind off, as it warns of a loss."""
    return kind in settings.FORGE_MAIL_ALWAYS


def is_wanted(recipient_id: uuid.UUID, kind: str) -> bool:
    """Whether the person has mail of this kind sent."""
    if is_always_told(kind):
        return True
    off = NotificationPreference.objects.filter(user_id=recipient_id, kind=kind, channel=MAIL, is_on=False)
    return not off.exists()


def chosen(user_id: uuid.UUID) -> dict[str, bool]:
    """Each kind of mail and whether the person has it sent."""
    rows = NotificationPreference.objects.filter(user_id=user_id, channel=MAIL, is_on=False)
    off = set(rows.values_list("kind", flat=True))
    return {kind: is_always_told(kind) or kind not in off for kind in kinds()}


def choose(*, actor: Actor, wanted: Mapping[str, bool], now: datetime) -> dict[str, bool]:
    """Have mail of these kinds sent to the acting person, or not; answers `chosen`.

    What is so already is written nowhere; the entry of such a wish tells of no change.
    Raises UnknownMailKind, AlwaysTold.
    """
    user = actor.user
    for kind, is_on in wanted.items():
        if kind not in kinds():
            raise UnknownMailKind(f"{kind!r} is not one of: {', '.join(kinds())}.")
        if is_always_told(kind) and not is_on:
            raise AlwaysTold(f"{kind} warns of a loss, so it is sent whatever is chosen.")
    with transaction.atomic():
        before = chosen(user.id)
        changed = {kind: is_on for kind, is_on in wanted.items() if is_on != before[kind]}
        rows = [
            NotificationPreference(
                id=uuid7(),
                organization_id=user.organization_id,
                user_id=user.id,
                kind=kind,
                channel=MAIL,
                is_on=is_on,
                created_at=now,
                updated_at=now,
            )
            for kind, is_on in sorted(changed.items())
        ]
        NotificationPreference.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["user_id", "kind", "channel"],
            update_fields=["is_on", "updated_at"],
        )
        record(
            actor=actor,
            action=actions.NOTIFICATIONS_CHOOSE,
            resource_type="NotificationPreference",
            resource_id=str(user.id),
            description=f"User {user.id} chose which mail to get",
            changes={"before": {kind: before[kind] for kind in changed}, "after": changed} if changed else None,
            occurred_at=now,
        )
        return chosen(user.id)
