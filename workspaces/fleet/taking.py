"""What is taken over of a machine that no row describes: whose it is, who pays, the row it becomes, and why not."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.functions import Upper

from audit.actors import Actor
from blueprints.models import Blueprint
from forge.accounts.models import Team, User
from forge.api.errors import Problem, Refused
from forge.db.ids import uuid7
from workspaces import aws
from workspaces.intents import Intent
from workspaces.lifecycle import AWS_STATES, State
from workspaces.models import UnmanagedMachine, WorkSpace
from workspaces.resolve import MachineExists
from workspaces.services.launching import ask_guards
from workspaces.tagging.wanted import own_of

LIFETIME_DAYS = 365
"""How long an adopted machine may stay unless somebody says otherwise; it was there before anybody asked for an end."""

MOST_AUTO_STOP_MINUTES = 2880
"""The longest idle time that a machine here may have; AWS's own of an adopted one may be longer."""

SHOWN_REFUSALS = 100
"""A dry run and the result of a run name so many machines that are not taken over; the others are counted."""

TAKEN = ("workspaces_workspace_one_per_directory_user", "workspaces_workspace_provider_id_unique")
"""What of the database refuses a second row for a machine, or for a person in a directory."""

Verdict = UnmanagedMachine.Verdict


class NotAdoptable(Refused):
    code = "not_adoptable"
    title = "The machine cannot be taken over"
    suggested_action = "The machine's `verdict` says why; it is judged anew every five minutes."
    advice = "Its page says why; it is judged anew every five minutes."


@dataclass(frozen=True)
class Wish:
    """How machines are to be taken over: `team` pays where the owner's only team does not say who does."""

    team: Team | None = None
    max_lifetime_days: int = LIFETIME_DAYS


@dataclass
class Refusals:
    """Machines that are not taken over: the first of them by id with the code why, and how many there are."""

    refused: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def add(self, machine_id: uuid.UUID, code: str) -> None:
        self.count += 1
        if len(self.refused) < SHOWN_REFUSALS:
            self.refused[str(machine_id)] = code

    def as_json(self) -> dict[str, Any]:
        return {"refused": dict(self.refused), "refusals": self.count}


@dataclass
class Judge:
    """Says of machines what `adopt` would; the guards are asked once for each kind of machine and team."""

    actor: Actor
    wish: Wish
    now: datetime
    asked: dict[tuple[Any, ...], str | None] = field(default_factory=dict)

    def refusal_of(self, machine: UnmanagedMachine, *, is_known: bool) -> str | None:
        """The code of the refusal, or None; `is_known` = a row of ours may stand in the way."""
        try:
            owner, team = owner_and_team(machine, self.wish)
        except NotAdoptable as refusal:
            return refusal.code
        intent = intent_of(machine, owner, team, None, actor=self.actor, wish=self.wish, now=self.now)
        kind = (
            machine.provider_account_id, team.id, intent.bundle_type, intent.operating_system, intent.running_mode,
            intent.root_volume_gb, intent.user_volume_gb,
        )  # fmt: skip
        if kind not in self.asked:
            self.asked[kind] = None
            try:
                ask_guards(intent, dry_run=True)
            except Problem as refusal:
                self.asked[kind] = refusal.code
        if self.asked[kind] is None and is_known and _is_taken(WorkSpace(**columns_of(machine, intent, self.wish))):
            return MachineExists.code
        return self.asked[kind]


def with_facts(machines: Any) -> Any:
    return machines.select_related("organization", "owner", "provider_account")


def intent_of(
    machine: UnmanagedMachine,
    owner: User,
    team: Team,
    blueprint: Blueprint | None,
    *,
    actor: Actor,
    wish: Wish,
    now: datetime,
    operation_id: uuid.UUID | None = None,
) -> Intent:
    """What the guards judge; the dry run makes no blueprint."""
    return Intent(
        kind="adopt",
        actor=actor,
        now=now,
        organization=machine.organization,
        owner=owner,
        team=team,
        project=None,
        role="",
        blueprint=blueprint,
        bundle_type=machine.bundle_type,
        operating_system=aws.system_of(machine.operating_system),
        running_mode=machine.running_mode,
        region=machine.provider_account.region,
        root_volume_gb=machine.root_volume_gb,
        user_volume_gb=machine.user_volume_gb,
        lifetime_end=now + timedelta(days=wish.max_lifetime_days),
        workspace_id=uuid7(),
        operation_id=operation_id or uuid7(),
        correlation_id=actor.correlation_id,
    )


def columns_of(machine: UnmanagedMachine, intent: Intent, wish: Wish) -> dict[str, Any]:
    seen = AWS_STATES[machine.provider_state]
    own_tags = own_of(machine.tags)
    return {
        "id": intent.workspace_id,
        "organization": intent.organization,
        "owner": intent.owner,
        "team": intent.team,
        "name": f"{machine.directory_user}-{machine.provider_id[-6:]}",
        "bundle_type": intent.bundle_type,
        "operating_system": intent.operating_system,
        "running_mode": intent.running_mode,
        "blueprint": intent.blueprint,
        "root_volume_gb": machine.root_volume_gb,
        "user_volume_gb": machine.user_volume_gb,
        "state": seen.state,
        "state_since": intent.now,
        "launched_at": intent.now,
        "stopped_at": intent.now if seen.state == State.STOPPED else None,
        "created_at": intent.now,
        "provider_account": machine.provider_account,
        "aws_account": machine.provider_account.account,
        "directory_id": machine.directory_id,
        "directory_user": machine.directory_user,
        "provider_id": machine.provider_id,
        "provider_state": machine.provider_state,
        "health": seen.health,
        "region": intent.region,
        # AWS makes no machine AVAILABLE or STOPPED that has not joined its domain.
        "domain_joined": True,
        "domain_join_status": WorkSpace.DomainJoin.JOINED,
        "auto_stop_timeout_minutes": min(machine.auto_stop_minutes or 60, MOST_AUTO_STOP_MINUTES),
        "max_lifetime_days": wish.max_lifetime_days,
        "next_action": "terminate",
        "next_action_at": intent.lifetime_end,
        "tags": own_tags,
        # They stand in AWS, and are Forge's to take off from now on, as if it had written them.
        "applied_tags": own_tags,
    }


def owner_and_team(machine: UnmanagedMachine, wish: Wish) -> tuple[User, Team]:
    """Whose it is and who pays: the only team that the owner is in now, else that of the wish.

    Raises NotAdoptable, naming the verdict.
    """
    possible = machine.verdict in (Verdict.ADOPTABLE, Verdict.TEAM_UNCLEAR)
    if not possible or machine.owner is None or machine.gone_at or machine.adopted_at:
        raise NotAdoptable(f"{machine.provider_id}: {machine.get_verdict_display()}.", extra=why(machine))
    if not machine.provider_account.enabled:
        raise NotAdoptable(
            f"{machine.provider_id}: its provider account is switched off.",
            extra=why(machine),
            suggested_action="Switch the provider account on, or adopt it into another that has its directory.",
        )
    team = _only_team(machine.owner) or wish.team
    if team is None:
        raise NotAdoptable(
            f"{machine.provider_id}: its owner is in no team, or in several.",
            extra=why(machine),
            suggested_action="Send `team` with the slug of the team that pays.",
        )
    return machine.owner, team


def _only_team(owner: User) -> Team | None:
    """The team that somebody is in, None for none or several; the list of machines may know an older one."""
    teams = [membership.team for membership in owner.memberships.all() if membership.team is not None]
    return teams[0] if len(teams) == 1 else None


def ids_of_rows(machines: Sequence[UnmanagedMachine]) -> set[str]:
    """Which of the machines share AWS's id, or the directory user, with a row of ours, also of one that has ended."""
    ids = [machine.provider_id for machine in machines]
    found = set(WorkSpace.objects.filter(provider_id__in=ids).values_list("provider_id", flat=True))
    rows = WorkSpace.objects.live().filter(directory_id__in={machine.directory_id for machine in machines})
    names = rows.annotate(upper_user=Upper("directory_user")).filter(
        upper_user__in=[machine.directory_user.upper() for machine in machines]
    )
    users = set(names.values_list("directory_id", "upper_user"))
    return found | {one.provider_id for one in machines if (one.directory_id, one.directory_user.upper()) in users}


def _is_taken(workspace: WorkSpace) -> bool:
    """Whether the database would refuse the row, which is not saved, for one that stands there."""
    for constraint in WorkSpace._meta.constraints:
        if constraint.name in TAKEN:
            try:
                constraint.validate(WorkSpace, workspace)
            except ValidationError:
                return True
    return False


def why(machine: UnmanagedMachine) -> dict[str, Any]:
    return {"verdict": str(machine.verdict), "workspace": str(machine.workspace_id) if machine.workspace_id else None}
