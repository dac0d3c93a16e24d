"""Taking machines of an existing fleet over: each becomes a machine of ours, with its owner, money and entry."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from blueprints.services import BundleOffer, of_adopted
from forge.accounts.locks import lock_scopes
from forge.accounts.models import Membership, Team, User
from forge.api.errors import Conflict, Denied, NotFound, Refused
from forge.db.ids import uuid7
from forge.db.integrity import refusing
from forge.operations.models import Operation
from forge.operations.services import enqueue
from workspaces import actions, aws
from workspaces.intents import Intent
from workspaces.lifecycle import AWS_STATES, State
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.resolve import MachineExists
from workspaces.services.launching import ask_guards, with_repairs
from workspaces.transitions import record_change

KIND = "fleet.adopt"
LIFETIME_DAYS = 365
"""How long an adopted machine may stay unless somebody says otherwise; it was there before anybody asked for an end."""

MOST_AUTO_STOP_MINUTES = 2880
"""The longest idle time that a machine here may have; AWS's own of an adopted one may be longer."""

Verdict = UnmanagedMachine.Verdict


class MayNotAdopt(Denied):
    code = "may_not_adopt"
    title = "Only admins of the organization take machines over"


class NotAdoptable(Refused):
    code = "not_adoptable"
    title = "The machine cannot be taken over"
    suggested_action = "The machine's `verdict` says why; it is judged anew every five minutes."


class AdoptionUnderWay(Conflict):
    code = "adoption_under_way"
    title = "Machines of this account are being taken over already"


class TeamNotFound(Refused):
    code = "team_not_found"
    title = "There is no such team"


@dataclass(frozen=True)
class Wish:
    """How machines are to be taken over: `team` pays where the owner's only team does not say who does."""

    team: Team | None = None
    max_lifetime_days: int = LIFETIME_DAYS


def team_of(organization_id: uuid.UUID | None, slug: str | None) -> Team | None:
    """The team of that slug, None for none; raises TeamNotFound."""
    if slug is None or organization_id is None:
        return None
    team = Team.objects.filter(organization_id=organization_id, slug=slug).first()
    if team is None:
        raise TeamNotFound(f"Your organization has no team {slug!r}.")
    return team


def may_adopt(user: object, organization_id: uuid.UUID) -> bool:
    """True for admins of the organization."""
    return isinstance(user, User) and user.organization_id == organization_id and user.has_role(Membership.Role.ADMIN)


def preview(*, account: ProviderAccount, wish: Wish) -> dict[str, Any]:
    """What adopting the account's fleet would take over and what it would leave, by verdict; changes nothing."""
    standing = UnmanagedMachine.objects.standing().filter(provider_account=account)
    counts = {verdict.value: standing.filter(verdict=verdict).count() for verdict in Verdict}
    taken = counts[Verdict.ADOPTABLE] + (counts[Verdict.TEAM_UNCLEAR] if wish.team else 0)
    return {"would_adopt": taken, "would_leave": sum(counts.values()) - taken, "verdicts": counts}


def ask(*, actor: Actor, account: ProviderAccount, wish: Wish, now: datetime) -> Operation:
    """Queue the adoption of all machines of an account that can be taken over; raises MayNotAdopt, AdoptionUnderWay."""
    _require(actor, account.organization_id)
    with transaction.atomic():
        ProviderAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        running = Operation.objects.open().filter(target_id=account.id, kind=KIND).first()
        if running is not None:
            raise AdoptionUnderWay(f"Operation {running.id}.", extra={"operation": str(running.id)})
        operation = enqueue(
            id=uuid7(),
            organization_id=account.organization_id,
            actor_id=actor.user_id,
            owner_id=actor.user_id,
            kind=KIND,
            target_type="ProviderAccount",
            target_id=account.id,
            spec={"team": wish.team.id if wish.team else None, "max_lifetime_days": wish.max_lifetime_days},
            correlation_id=actor.correlation_id,
            now=now,
        )
        record(
            actor=actor.in_organization(account.organization_id),
            action=actions.FLEET_ADOPT,
            resource_type="ProviderAccount",
            resource_id=str(account.id),
            description=f"Request to adopt the fleet of provider account {account.id}",
            changes={"before": {"operation": None}, "after": {"operation": KIND}},
            context={"operation_id": operation.id, **operation.spec},
            occurred_at=now,
        )
    return operation


def candidates(account_id: uuid.UUID, wish: Wish) -> Any:
    """The machines of an account that can be taken over, by id."""
    verdicts = [Verdict.ADOPTABLE, *([Verdict.TEAM_UNCLEAR] if wish.team else [])]
    standing = UnmanagedMachine.objects.standing().filter(provider_account_id=account_id, verdict__in=verdicts)
    return standing.order_by("id").values_list("id", flat=True)


def adopt(
    *, actor: Actor, machine_id: uuid.UUID, wish: Wish, now: datetime, operation_id: uuid.UUID | None = None
) -> WorkSpace:
    """Make a machine of ours of one that AWS shows; its costs and lifetime count from `now`.

    Its money is set aside in the budgets that bind, whether they have room or not: the machine costs already. Raises
    MayNotAdopt, NotAdoptable, MachineExists, and what the guards refuse (a kind without a price).
    """
    machine = UnmanagedMachine.objects.select_related("organization", "owner", "team").filter(pk=machine_id).first()
    if machine is None:
        raise NotFound("No such machine.")
    _require(actor, machine.organization_id)
    owner, team = _owner_and_team(machine, wish)
    blueprint = of_adopted(
        actor=actor,
        organization=machine.organization,
        operating_system=aws.system_of(machine.operating_system),
        offer=BundleOffer(machine.provider_account.region, machine.bundle_type, machine.bundle_id),
        now=now,
    )

    def take() -> WorkSpace:
        intent = Intent(
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
            operating_system=blueprint.operating_system,
            running_mode=machine.running_mode,
            region=machine.provider_account.region,
            root_volume_gb=machine.root_volume_gb,
            user_volume_gb=machine.user_volume_gb,
            lifetime_end=now + timedelta(days=wish.max_lifetime_days),
            workspace_id=uuid7(),
            operation_id=operation_id or uuid7(),
            correlation_id=actor.correlation_id,
        )
        return _take_over(actor=actor, machine=machine, intent=intent, wish=wish, operation_id=operation_id)

    return with_repairs(take)


def _take_over(
    *, actor: Actor, machine: UnmanagedMachine, intent: Intent, wish: Wish, operation_id: uuid.UUID | None
) -> WorkSpace:
    lock_scopes(user_ids=[intent.owner.id], team_ids=[intent.team.id], organization_ids=[intent.organization.id])
    locked = UnmanagedMachine.objects.select_for_update(no_key=True, of=("self",)).get(pk=machine.pk)
    _require_as_judged(locked, machine)
    figures = ask_guards(intent, dry_run=False)
    exists = MachineExists(
        "The person has a machine in this directory already.", extra={"directory_user": machine.directory_user}
    )
    taken = ("workspaces_workspace_one_per_directory_user", "workspaces_workspace_provider_id_unique")
    with refusing(dict.fromkeys(taken, exists)):
        workspace = WorkSpace.objects.create(**_columns(locked, intent, wish))
    change = record_change(
        workspace=workspace, source=None, occurred_at=intent.now, reason="adopted from AWS", actor=actor
    )
    locked.workspace, locked.adopted_at, locked.operation_id = workspace, intent.now, operation_id
    locked.save(update_fields=["workspace", "adopted_at", "operation_id", "updated_at"])
    record(
        actor=actor.in_organization(intent.organization.id).with_correlation(change.correlation_id),
        action=actions.WORKSPACE_ADOPT,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Adopted machine {workspace.id}",
        changes={
            "before": None,
            "after": {**intent.facts, "provider_id": locked.provider_id, "state": str(workspace.state)},
        },
        context={"unmanaged_machine_id": locked.id, "budgets_over_limit": len(figures.get("over_limit", []))},
        occurred_at=intent.now,
    )
    return workspace


def _columns(machine: UnmanagedMachine, intent: Intent, wish: Wish) -> dict[str, Any]:
    seen = AWS_STATES[machine.provider_state]
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
        "tags": {key: value for key, value in machine.tags.items() if not key.startswith(("forge:", "aws:"))},
    }


def _owner_and_team(machine: UnmanagedMachine, wish: Wish) -> tuple[User, Team]:
    """Whose it is and who pays; raises NotAdoptable, naming the verdict."""
    team = machine.team or wish.team
    possible = machine.verdict in (Verdict.ADOPTABLE, Verdict.TEAM_UNCLEAR)
    if not possible or machine.owner is None or machine.gone_at or machine.adopted_at:
        raise NotAdoptable(f"{machine.provider_id}: {machine.get_verdict_display()}.", extra=_why(machine))
    if team is None:
        raise NotAdoptable(
            f"{machine.provider_id}: its owner is in no team, or in several.",
            extra=_why(machine),
            suggested_action="Send `team` with the slug of the team that pays.",
        )
    return machine.owner, team


def _require_as_judged(locked: UnmanagedMachine, machine: UnmanagedMachine) -> None:
    """Raises NotAdoptable when the machine has changed since it was read."""
    names = ("verdict", "owner_id", "team_id", "provider_state", "running_mode", "bundle_type", "bundle_id")
    same = all(getattr(locked, name) == getattr(machine, name) for name in names)
    if not same or locked.gone_at or locked.adopted_at:
        raise NotAdoptable(f"{machine.provider_id} has changed just now.", extra=_why(locked))


def _why(machine: UnmanagedMachine) -> dict[str, Any]:
    return {"verdict": str(machine.verdict), "workspace": str(machine.workspace_id) if machine.workspace_id else None}


def _require(actor: Actor, organization_id: uuid.UUID) -> None:
    if actor.kind != Kind.COMMAND and not may_adopt(actor.user, organization_id):
        raise MayNotAdopt("This needs the role: admin.")
