"""What each entry says, whoever writes it: the twelve fields of an audit entry but for the clock's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

EMAIL = "ann@example.com"
PERSON = uuid.UUID(int=17)
"""Her id at Forge; the peers number their users."""
MACHINE = uuid.UUID(int=4_711)


@dataclass(frozen=True)
class Facts:
    """One change of the machine by Ann, in the portal; `timestamp` and `user_id` are the writer's own."""

    revision: int
    user_email: str = EMAIL
    action_type: str = "WORKSPACE_STATE_CHANGE"
    action_description: str = f"Running mode of machine {MACHINE} changed"
    resource_type: str = "machine"
    resource_id: str = str(MACHINE)
    result: str = "SUCCESS"
    source_ip: str = "192.0.2.17"
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
    interface: str = "PORTAL"
    context: dict[str, Any] = field(default_factory=lambda: {"ticket": "OPS-1204", "approved": True, "hours": 40})

    def of(self, *names: str) -> dict[str, Any]:
        """The named ones."""
        return {name: getattr(self, name) for name in names}
