"""Attesting group policies of a directory: who says so, since when and until when; for admins of the organization."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts.models import Membership, User
from forge.api.errors import Conflict, Denied, Refused
from workspaces import actions
from workspaces.models import Attestation, ProviderAccount, WorkSpace
from workspaces.posture.checks import ATTESTATION, Deviation

LONGEST = timedelta(days=366)
"""So long an attestation may hold: somebody looks again at least once a year."""


class MayNotAttest(Denied):
    code = "may_not_attest"
    title = "Only admins of the organization attest group policies"


class AttestationRefused(Refused):
    code = "attestation_refused"
    title = "This is no attestation"


class UnknownDirectory(Refused):
    code = "unknown_directory"
    title = "The provider account has no such directory"


class AttestationWithdrawn(Conflict):
    code = "attestation_withdrawn"
    title = "The attestation has been withdrawn already"


def may_attest(user: object, organization_id: Any) -> bool:
    """True for admins of the organization."""
    return isinstance(user, User) and user.organization_id == organization_id and user.has_role(Membership.Role.ADMIN)


def attest(
    *,
    actor: Actor,
    account: ProviderAccount,
    controls: Sequence[str],
    valid_until: datetime,
    note: str,
    now: datetime,
    directory_id: str = "",
) -> list[Attestation]:
    """Put down the actor's word that these policies of a directory (empty = the account's) are as they should be.

    Raises MayNotAttest, AttestationRefused and UnknownDirectory.
    """
    user = _require_admin(actor, account.organization_id)
    directory_id = directory_id or account.directory_id
    if not controls or len(set(controls)) != len(controls) or not set(controls) <= set(Attestation.Control.values):
        raise AttestationRefused("Name each policy once.", extra={"controls": list(Attestation.Control.values)})
    if not now < valid_until <= now + LONGEST:
        raise AttestationRefused(
            f"`valid_until` must lie in the future, at most {LONGEST.days} days ahead.",
            extra={"after": now, "latest": now + LONGEST},
        )
    if not note.strip():
        raise AttestationRefused("`note` must say what was looked at.")
    standing = WorkSpace.objects.live().filter(provider_account=account, directory_id=directory_id)
    if directory_id != account.directory_id and not standing.exists():
        raise UnknownDirectory(f"Neither the account nor a machine of it is in {directory_id}.")
    with transaction.atomic():
        made = [
            Attestation.objects.create(
                organization_id=account.organization_id,
                provider_account=account,
                directory_id=directory_id,
                control=control,
                attested_by=user,
                attested_at=now,
                valid_until=valid_until,
                note=note,
            )
            for control in sorted(controls)
        ]
        for one in made:
            _record(one, actions.ATTESTATION_CREATE, None, actor, now)
    return made


def withdraw(*, actor: Actor, attestation_id: uuid.UUID, now: datetime) -> Attestation:
    """Take an attestation back: it holds no longer, and stays as history. Raises MayNotAttest, AttestationWithdrawn."""
    with transaction.atomic():
        held = Attestation.objects.select_for_update(no_key=True).get(pk=attestation_id)
        _require_admin(actor, held.organization_id)
        if held.withdrawn_at is not None:
            raise AttestationWithdrawn(
                f"The attestation of {held.control} was withdrawn.",
                extra={"attestation": str(held.id), "withdrawn_at": held.withdrawn_at},
            )
        before = _facts(held)
        held.withdrawn_at = max(now, held.attested_at)
        held.save(update_fields=["withdrawn_at"])
        _record(held, actions.ATTESTATION_WITHDRAW, before, actor, now)
    return held


def newest(account: ProviderAccount, directory_ids: Iterable[str]) -> dict[tuple[str, str], Attestation]:
    """Of each directory and policy the attestation that holds longest, also one that is over."""
    rows = Attestation.objects.filter(
        provider_account=account, directory_id__in=list(directory_ids), withdrawn_at__isnull=True
    )
    longest = rows.order_by("directory_id", "control", "-valid_until", "-id").distinct("directory_id", "control")
    return {(row.directory_id, row.control): row for row in longest.select_related("attested_by")}


def unattested(account: ProviderAccount, directory_ids: Sequence[str], *, now: datetime) -> list[Deviation]:
    """The directories of which not every policy is attested at `now`, with what is known of each.

    Whoever attested stands there by id; names are shown where they are asked for.
    """
    known = newest(account, directory_ids)
    found = []
    for directory_id in directory_ids:
        held = {control: known.get((directory_id, control)) for control in Attestation.Control.values}
        missing = [control for control, row in held.items() if row is None]
        expired = [control for control, row in held.items() if row is not None and row.valid_until <= now]
        if missing or expired:
            attested = {
                control: {
                    "on": row.attested_at.isoformat(),
                    "by": str(row.attested_by_id),
                    "until": row.valid_until.isoformat(),
                }
                for control, row in held.items()
                if row is not None
            }
            detail = {"never": missing, "expired": expired, "attested": attested}
            found.append(Deviation(directory_id, ATTESTATION, detail))
    return found


def _require_admin(actor: Actor, organization_id: Any) -> User:
    user = actor.user
    if not isinstance(user, User) or not may_attest(user, organization_id):
        raise MayNotAttest("This needs the role: admin.")
    return user


def _record(row: Attestation, action: str, before: dict[str, Any] | None, actor: Actor, now: datetime) -> None:
    record(
        actor=actor.in_organization(row.organization_id),
        action=action,
        resource_type="Attestation",
        resource_id=str(row.id),
        description=f"Attestation {row.id}",
        changes={"before": before, "after": _facts(row)},
        context={"note": row.note},
        occurred_at=now,
    )


def _facts(row: Attestation) -> dict[str, Any]:
    return {
        "provider_account_id": str(row.provider_account_id),
        "directory_id": row.directory_id,
        "control": row.control,
        "valid_until": row.valid_until.isoformat(),
        "is_withdrawn": row.withdrawn_at is not None,
    }
