"""What the log says of one thing, for the pages of other rooms."""

from __future__ import annotations

from typing import Any

from audit.models import AuditLog


def entries_about(resource_id: Any, *, user: Any, most: int) -> list[AuditLog]:
    """The newest entries about a resource, by its id, that the person may see."""
    entries = AuditLog.objects.visible_to(user).filter(resource_id=str(resource_id))
    return list(entries.order_by("-timestamp", "-id")[:most])
