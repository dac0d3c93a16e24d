"""What a person wants of a machine, as the launch guards see it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from audit.actors import Actor
from blueprints.models import Blueprint
from forge.accounts.models import Organization, Project, Team, User
from workspaces.models import WorkSpace


@dataclass(frozen=True)
class LaunchSpec:
    """The body of a launch as validated; None where the caller left a choice to Forge."""

    service_type: str
    bundle_type: str
    operating_system: str
    running_mode: str
    blueprint_id: uuid.UUID | None = None
    application_ids: tuple[str, ...] = ()
    region: str | None = None
    team: str | None = None
    project: str | None = None
    owner: str | None = None
    name: str = ""
    auto_stop_timeout_minutes: int = 60
    max_lifetime_days: int = 90
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Intent:
    """One launch, start, modification, move or adoption on its way through the guards.

    A guard is called as `guard(intent, dry_run=…)` inside the launch's transaction; it returns figures for the
    answer, or raises a refusal. On a dry run it neither locks nor writes. Of a modification and
    of a move the fields say what the machine is to become, and `workspace` is what it is.
    """

    kind: Literal["launch", "start", "modify", "move", "adopt"]
    actor: Actor
    now: datetime
    organization: Organization
    owner: User
    team: Team
    project: Project | None
    role: str
    blueprint: Blueprint | None
    bundle_type: str
    operating_system: str
    running_mode: str
    region: str
    root_volume_gb: int
    user_volume_gb: int
    lifetime_end: datetime
    workspace_id: uuid.UUID
    operation_id: uuid.UUID
    correlation_id: uuid.UUID
    workspace: WorkSpace | None = None
    service_type: str = "WORKSPACES_PERSONAL"
    application_ids: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What the audit entry tells of it: ids and choices, no names."""
        return {
            "service_type": self.service_type,
            "bundle_type": self.bundle_type,
            "operating_system": self.operating_system,
            "running_mode": self.running_mode,
            "region": self.region,
            "owner_id": str(self.owner.id),
            "team_id": str(self.team.id),
            "project_id": str(self.project.id) if self.project else None,
            "blueprint_id": str(self.blueprint.id) if self.blueprint else None,
            **({"application_ids": list(self.application_ids)} if self.application_ids else {}),
            "operation_id": str(self.operation_id),
        }


class RepairFirst(Exception):
    """Raised by a guard whose books must be mended before it can judge.

    The service rolls back what it did, calls `repair()` without the guard's locks, and asks the guards once more.
    """

    def __init__(self, repair: Callable[[], None]) -> None:
        super().__init__("a guard asks for a repair before it can judge")
        self.repair = repair
