"""The audit tab of a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.about import entries_about
from forge.console.links import address

SHOWN = 20


def audit_tab(resource_id: Any, user: Any, opens: Callable[[str], bool]) -> dict[str, Any] | None:
    """The newest entries about a row and where all of them are; None for those who may not see the log."""
    if not opens("audit.auditlog"):
        return None
    return {
        "entries": entries_about(resource_id, user=user, most=SHOWN),
        "all": address("audit.auditlog", resource_id__exact=resource_id),
    }
