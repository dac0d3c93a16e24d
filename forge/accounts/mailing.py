"""Whom a mail goes to: the port by which the outbox finds people."""

from __future__ import annotations

import uuid
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forge.accounts.models import User
from forge.outbox.letters import NothingToTell, Reader

UTC = ZoneInfo("UTC")


def reader(recipient_id: uuid.UUID) -> Reader:
    """The person as a reader of mail; raises NothingToTell where the account is switched off or gone."""
    user = User.objects.select_related("organization").filter(pk=recipient_id).first()
    if user is None or not user.is_active:
        raise NothingToTell("the account of its recipient is switched off or gone")
    if user.is_service:
        raise NothingToTell("a service account reads no mail")
    theirs = user.time_zone or (user.organization.timezone if user.organization is not None else "")
    return Reader(address=user.email, name=user.full_name, zone=_zone(theirs))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
