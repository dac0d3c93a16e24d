"""Putting a machine into quarantine, handing it over, and giving it back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.accounts.models import Membership, User
from forge.api.errors import Conflict, Denied, Refused
from forge.outbox.services import owe
from workspaces import actions, mails
from workspaces.lifecycle import ACTIONS
from workspaces.models import Quarantine, WorkSpace
from workspaces.permissions import may
from workspaces.services.calling_off import call_off_automatic, refuse_while_under_way
from workspaces.services.control import take
from workspaces.services.keeping import KeepAliveOutOfRange, hold, require_in_range
from workspaces.transitions import lock_machine, lock_scopes_of

Role = Membership.Role
REASON = "quarantine"
"""The reason of the keep-alive that comes with a quarantine, by which it is known again when the owner returns."""


class MayNotHandOver(Denied):
    code = "may_not_hand_over"
    title = "Admins hand machines over"


class NotInQuarantine(Conflict):
    code = "not_in_quarantine"
    title = "The machine's owner is not switched off"
    suggested_action = "Switch the owner off first, and wait for the next run of quarantine_leavers."
    advice = "Switch the owner off first, and wait for a few minutes."


class CannotBeHandedOver(Refused):
    code = "cannot_be_handed_over"
    title = "There is nothing on the machine to hand over"
    suggested_action = "Let the heir launch a machine of their own, and end this one."
    advice = "Let the heir launch a machine of their own, and end this one."


class HeirCannotUseIt(Refused):
    code = "heir_cannot_use_it"
    title = "This person may not control the machine"
    suggested_action = "Name a lead of the machine's team, or an admin."


class UnknownHeir(Refused):
    code = "unknown_heir"
    title = "The organization has nobody with this email"


def begin(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> Quarantine | None:
    """Bar a machine whose owner is switched off, keep it for FORGE_QUARANTINE_DAYS and tell the heir.

    None where that is done, or no longer to be done: the owner is back, or the machine ends. Whoever runs it at the
    same time waits at the machine's lock and finds it done.
    """
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        seen = WorkSpace.objects.select_related("owner").get(pk=workspace_id)
        if not _is_to_be_barred(seen):
            return None
        call_off_automatic("terminate", of="keep-alive", actor=actor, workspace_id=workspace_id, now=now)
        workspace = lock_machine(workspace_id)
        if not _is_to_be_barred(workspace):
            transaction.set_rollback(True)  # with the calling off that went before
            return None
        own = _own_keep_alive(workspace, now)
        until = now + timedelta(days=settings.FORGE_QUARANTINE_DAYS)
        kept_until = _keep(workspace, own, until=until, actor=actor, now=now)
        aside = own if own and workspace.keep_alive_until != own.until else None
        heirs = _heirs(workspace)
        made = Quarantine.objects.create(
            organization_id=workspace.organization_id,
            workspace=workspace,
            began_at=now,
            kept_until=kept_until,
            put_aside_until=aside.until if aside else None,
            put_aside_reason=aside.reason if aside else "",
            heir=heirs[0] if heirs else None,
        )
        _bar(workspace, now)
        _record(workspace, actions.WORKSPACE_QUARANTINE, made, before=None, actor=actor, now=now)
        _tell(workspace, made, mails.QUARANTINED, heirs[:1] or _admins(workspace), actor=actor, now=now)
    return made


def hand_over(
    *,
    actor: Actor,
    workspace_id: uuid.UUID,
    heir_email: str,
    until: datetime,
    reason: str,
    now: datetime,
    if_match: frozenset[str] | None = None,
) -> Quarantine:
    """Give the heir the use of a machine in quarantine until a time, and tell how its data are saved.

    For admins. Raises MayNotHandOver, CannotBeHandedOver, NotInQuarantine, UnknownHeir, HeirCannotUseIt,
    KeepAliveOutOfRange, EndUnderWay.
    """
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        seen = WorkSpace.objects.get(pk=workspace_id)
        _require_admin(actor, seen)
        if not seen.capabilities.can_be_handed_over:
            raise CannotBeHandedOver(
                f"{seen.get_service_type_display()} keeps nothing between sessions, and AWS binds it to one user name."
            )
        if not Quarantine.objects.open().filter(workspace_id=workspace_id).exists():
            raise NotInQuarantine(f"Machine {seen.name} is not in quarantine.")
        call_off_automatic("terminate", of="keep-alive", actor=actor, workspace_id=workspace_id, now=now)
        workspace = take(
            actor=actor, workspace_id=workspace_id, action="keep-alive", if_match=if_match, exclusive=False
        )
        made = workspace.quarantines.open().select_for_update(no_key=True).first()
        if made is None:
            raise NotInQuarantine(f"Machine {seen.name} is not in quarantine any more.")
        heir = _heir(workspace, heir_email)
        before = _facts(made)
        _keep_for_the_heir(workspace, made, until=until, actor=actor, now=now)
        made.heir, made.handed_over_at, made.hand_over_reason = heir, now, reason
        made.kept_until, made.reminded_at = until, None
        made.save()
        workspace.quarantined_at = None
        workspace.save(update_fields=["quarantined_at", "updated_at"])
        record(
            actor=actor.in_organization(workspace.organization_id),
            action=actions.WORKSPACE_HAND_OVER,
            resource_type="WorkSpace",
            resource_id=str(workspace.id),
            description=f"Machine {workspace.id} is handed over to user {heir.id}",
            changes={"before": before, "after": _facts(made)},
            context={"reason": reason},
            occurred_at=now,
        )
        _tell(workspace, made, mails.HANDED_OVER, [heir], actor=actor, now=now)
    return made


def resume(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> bool:
    """Bar a machine again whose hand-over is over; True when this call did."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        made = workspace.quarantines.open().select_for_update(no_key=True).first()
        if made is None or workspace.quarantined_at is not None or made.is_handed_over(now):
            return False
        _bar(workspace, now)
        before = _facts(made) | {"is_barred": False}
        _record(workspace, actions.WORKSPACE_QUARANTINE, made, before=before, actor=actor, now=now)
    return True


def release(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> bool:
    """Give a machine back to an owner who is switched on again, or close the books of one that has ended."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        made = workspace.quarantines.open().select_for_update(no_key=True).first()
        if made is None or (workspace.is_live and not workspace.owner.is_active):
            return False
        before = _facts(made)
        made.ended_at = now
        made.outcome = Quarantine.Outcome.RETURNED if workspace.is_live else Quarantine.Outcome.MACHINE_ENDED
        made.save(update_fields=["ended_at", "outcome", "updated_at"])
        workspace.quarantined_at = None
        workspace.version += 1
        workspace.save(update_fields=["quarantined_at", "version", "updated_at"])
        if workspace.keep_alive_reason == REASON and workspace.state in ACTIONS["keep-alive"]:
            aside = made.put_aside_until
            own = aside if aside and aside > now else None
            hold(workspace, actor=actor, until=own, reason=made.put_aside_reason, now=now, granted_until=own)
        _record(workspace, actions.WORKSPACE_QUARANTINE_END, made, before=before, actor=actor, now=now)
    return True


def remind(*, actor: Actor, quarantine_id: uuid.UUID, now: datetime) -> bool:
    """Tell the heir, or the admins, that the machine is kept for few days more; once for each date."""
    with transaction.atomic():
        made = Quarantine.objects.select_for_update(no_key=True, of=("self",)).get(pk=quarantine_id)
        if made.reminded_at is not None or made.ended_at is not None:
            return False
        made.reminded_at = now
        made.save(update_fields=["reminded_at", "updated_at"])
        workspace = made.workspace
        readers = [made.heir] if made.heir and made.heir.is_active else _admins(workspace)
        _tell(workspace, made, mails.KEPT_NO_LONGER, readers, actor=actor, now=now)
    return True


def _is_to_be_barred(workspace: WorkSpace) -> bool:
    is_left = not workspace.owner.is_active and workspace.state in ACTIONS["keep-alive"]
    return is_left and not workspace.quarantines.open().exists()


@dataclass(frozen=True)
class _Own:
    """A keep-alive that a person asked for; `until` None = without an end."""

    until: datetime | None
    reason: str

    def reaches(self, at: datetime) -> bool:
        return self.until is None or self.until >= at


def _own_keep_alive(workspace: WorkSpace, now: datetime) -> _Own | None:
    """The one that holds now, unless it is a quarantine's."""
    if not workspace.is_kept_alive(now) or workspace.keep_alive_reason == REASON:
        return None
    return _Own(workspace.keep_alive_until, workspace.keep_alive_reason)


def _keep(workspace: WorkSpace, own: _Own | None, *, until: datetime, actor: Actor, now: datetime) -> datetime:
    """Protect it from the rules until then, or until the most that is allowed; a person's own is never shortened."""
    if own is not None and own.reaches(until):
        return until
    try:
        hold(workspace, actor=actor, until=until, reason=REASON, now=now)
    except KeepAliveOutOfRange as refused:
        until = refused.extra["latest"]
        if own is not None and own.until is not None and own.until >= until:
            return own.until
        hold(workspace, actor=actor, until=until, reason=REASON, now=now)
    return until


def _keep_for_the_heir(workspace: WorkSpace, made: Quarantine, *, until: datetime, actor: Actor, now: datetime) -> None:
    """The same until the end of a hand-over, which an admin names."""
    own = _own_keep_alive(workspace, now)
    if own is not None and own.reaches(until):
        require_in_range(workspace, until=until, now=now, granted_until=own.until)
        refuse_while_under_way("terminate", workspace)
        workspace.version += 1
        workspace.save(update_fields=["version", "updated_at"])
        return
    if own is not None:
        made.put_aside_until, made.put_aside_reason = own.until, own.reason
    hold(workspace, actor=actor, until=until, reason=REASON, now=now, granted_until=made.put_aside_until)


def _bar(workspace: WorkSpace, now: datetime) -> None:
    workspace.quarantined_at = now
    workspace.version += 1
    workspace.save(update_fields=["quarantined_at", "version", "updated_at"])


def _heir(workspace: WorkSpace, email: str) -> User:
    heir = User.objects.filter(organization_id=workspace.organization_id, email__iexact=email, is_active=True).first()
    if heir is None:
        raise UnknownHeir("The organization has nobody with this email who is switched on.")
    if heir.id == workspace.owner_id or not may(heir, "start", workspace):
        raise HeirCannotUseIt(f"{heir.email} may not control machine {workspace.name}.", extra={"user": str(heir.id)})
    return heir


def _heirs(workspace: WorkSpace) -> Sequence[User]:
    """The leads of the machine's team who are switched on."""
    leads = Membership.objects.filter(team_id=workspace.team_id, role=Role.TEAM_LEAD).exclude(
        user_id=workspace.owner_id
    )
    return list(User.objects.filter(id__in=leads.values("user_id"), is_active=True).order_by("id"))


def _admins(workspace: WorkSpace) -> Sequence[User]:
    admins = Membership.objects.filter(organization_id=workspace.organization_id, role=Role.ADMIN).values("user_id")
    return list(User.objects.filter(id__in=admins, is_active=True).order_by("id"))


def _require_admin(actor: Actor, workspace: WorkSpace) -> None:
    if actor.kind == Kind.COMMAND:
        return
    user = actor.user
    if user is None or user.organization_id != workspace.organization_id or not user.has_role(Role.ADMIN):
        raise MayNotHandOver(f"You may not hand machine {workspace.name} over.", extra={"workspace": str(workspace.id)})


def _facts(made: Quarantine) -> dict[str, Any]:
    return {
        "is_barred": made.ended_at is None and made.handed_over_at is None,
        "heir_id": str(made.heir_id) if made.heir_id else None,
        "kept_until": made.kept_until.isoformat(),
        "outcome": made.outcome or None,
    }


def _record(
    workspace: WorkSpace, action: str, made: Quarantine, *, before: dict[str, Any] | None, actor: Actor, now: datetime
) -> None:
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=action,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Quarantine of machine {workspace.id}",
        changes={"before": before, "after": _facts(made) | {"is_barred": workspace.quarantined_at is not None}},
        context={"quarantine_id": str(made.id), "owner_id": str(workspace.owner_id)},
        occurred_at=now,
    )


def _tell(
    workspace: WorkSpace, made: Quarantine, kind: str, readers: Sequence[User], *, actor: Actor, now: datetime
) -> None:
    facts = {"kept_until": made.kept_until.isoformat()}
    once = f"{made.id}:{made.kept_until.timestamp():.0f}:{now.timestamp():.0f}"
    owed = partial(mails.about, workspace, kind, actor=actor, once=once, facts=facts)
    told = [owed(recipient_id=reader.id) for reader in readers]
    owe(told, now=now, events=[owed(recipient_id=workspace.owner_id).event])
