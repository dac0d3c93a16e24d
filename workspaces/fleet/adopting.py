"""Taking machines of an existing fleet over: each becomes a machine of ours, with its owner, money and entry."""

from __future__ import annotations

import uuid
from datetime import datetime
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
from workspaces.fleet.taking import (
    TAKEN,
    Judge,
    NotAdoptable,
    Refusals,
    Verdict,
    Wish,
    columns_of,
    ids_of_rows,
    intent_of,
    owner_and_team,
    why,
    with_facts,
)
from workspaces.intents import Intent
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.resolve import MachineExists
from workspaces.services.launching import ask_guards, with_repairs
from workspaces.transitions import record_change

KIND = "fleet.adopt"
CHUNK = 500


class MayNotAdopt(Denied):
    code = "may_not_adopt"
    title = "Only admins of the organization take machines over"


class AdoptionUnderWay(Conflict):
    code = "adoption_under_way"
    title = "Machines of this account are being taken over already"


class TeamNotFound(Refused):
    code = "team_not_found"
    title = "There is no such team"


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


def preview(*, actor: Actor, account: ProviderAccount, wish: Wish, now: datetime) -> dict[str, Any]:
    """What adopting the account's fleet would take over and what it would leave, by verdict; changes nothing.

    Each machine is judged as the run judges it: `refused` names the first that it would not take with the code why, and
    `refusals` counts them.
    """
    standing = UnmanagedMachine.objects.standing().filter(provider_account=account)
    counts = {verdict.value: standing.filter(verdict=verdict).count() for verdict in Verdict}
    refusals, adopted = Refusals(), 0
    judge = Judge(actor=actor, wish=wish, now=now)
    pending = candidates(account.id, wish)
    after: uuid.UUID | None = None
    while ids := list((pending.filter(id__gt=after) if after else pending)[:CHUNK]):
        shown = with_facts(UnmanagedMachine.objects.filter(id__in=ids)).prefetch_related("owner__memberships__team")
        machines = list(shown.order_by("id"))
        known = ids_of_rows(machines)
        for machine in machines:
            code = judge.refusal_of(machine, is_known=machine.provider_id in known)
            if code is None:
                adopted += 1
            else:
                refusals.add(machine.id, code)
        after = ids[-1]
    return {
        "would_adopt": adopted,
        "would_leave": sum(counts.values()) - adopted,
        "verdicts": counts,
        **refusals.as_json(),
    }


def ask(*, actor: Actor, account: ProviderAccount, wish: Wish, now: datetime) -> Operation:
    """Queue the adoption of all machines of an account that can be taken over; raises MayNotAdopt, AdoptionUnderWay."""
    require_may_adopt(actor, account.organization_id)
    with transaction.atomic():
        ProviderAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        running = Operation.objects.open().filter(target_id=account.id, kind=KIND).first()
        if running is not None:
            raise AdoptionUnderWay(
                "The machines of this account are being taken over.", extra={"operation": str(running.id)}
            )
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
    machine = with_facts(UnmanagedMachine.objects.filter(pk=machine_id)).first()
    if machine is None:
        raise NotFound("No such machine.")
    require_may_adopt(actor, machine.organization_id)
    owner, team = owner_and_team(machine, wish)
    blueprint = of_adopted(
        actor=actor,
        organization=machine.organization,
        operating_system=aws.system_of(machine.operating_system),
        offer=BundleOffer(machine.provider_account.region, machine.bundle_type, machine.bundle_id),
        now=now,
    )

    def take() -> WorkSpace:
        intent = intent_of(machine, owner, team, blueprint, actor=actor, wish=wish, now=now, operation_id=operation_id)
        return _take_over(actor=actor, machine=machine, intent=intent, wish=wish, operation_id=operation_id)

    return with_repairs(take)


def _take_over(
    *, actor: Actor, machine: UnmanagedMachine, intent: Intent, wish: Wish, operation_id: uuid.UUID | None
) -> WorkSpace:
    lock_scopes(user_ids=[intent.owner.id], team_ids=[intent.team.id], organization_ids=[intent.organization.id])
    locked = with_facts(UnmanagedMachine.objects.select_for_update(no_key=True, of=("self",))).get(pk=machine.pk)
    _require_as_judged(locked, machine)
    if owner_and_team(locked, wish) != (intent.owner, intent.team):
        raise NotAdoptable(f"The team of {machine.provider_id}'s owner has changed just now.", extra=why(locked))
    figures = ask_guards(intent, dry_run=False)
    exists = MachineExists(
        "The person has a machine in this directory already.", extra={"directory_user": machine.directory_user}
    )
    with refusing(dict.fromkeys(TAKEN, exists)):
        workspace = WorkSpace.objects.create(**columns_of(locked, intent, wish))
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


def _require_as_judged(locked: UnmanagedMachine, machine: UnmanagedMachine) -> None:
    """Raises NotAdoptable when the machine has changed since it was read."""
    names = ("verdict", "owner_id", "provider_state", "running_mode", "bundle_type", "bundle_id")
    same = all(getattr(locked, name) == getattr(machine, name) for name in names)
    if not same or locked.gone_at or locked.adopted_at:
        raise NotAdoptable(f"{machine.provider_id} has changed just now.", extra=why(locked))


def require_may_adopt(actor: Actor, organization_id: uuid.UUID) -> None:
    """Raises MayNotAdopt for whoever is no admin of the organization."""
    if actor.kind != Kind.COMMAND and not may_adopt(actor.user, organization_id):
        raise MayNotAdopt("This needs the role: admin.")
