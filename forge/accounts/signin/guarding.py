"""The guard of an account: five failures in a row shut it for thirty minutes, for passwords and codes alike.

People are told neither that an account is shut nor that it exists: the page says the rule, and mail tells the owner.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, SignInGuard, User
from forge.accounts.services.authority import require_role
from forge.api.errors import Conflict
from forge.outbox.services import Owed, owe

CODE_LIFE = timedelta(minutes=2)
"""How long a code that was used is refused: longer than any code is valid."""


class NotLocked(Conflict):
    code = "account_not_locked"
    title = "The account is not locked"


def take(user: User) -> SignInGuard:
    """The person's guard, locked until the transaction ends."""
    SignInGuard.objects.bulk_create(
        [SignInGuard(user=user, organization_id=user.organization_id)], ignore_conflicts=True
    )
    return SignInGuard.objects.select_for_update(no_key=True).get(user=user)


def note_failure(guard: SignInGuard, *, actor: Actor, user: User, now: datetime) -> None:
    """Count a wrong password or code; the one that makes the limit shuts the account and tells its owner.

    Failures further apart than the lock is long do not add up.
    """
    life = timedelta(minutes=settings.FORGE_LOCKOUT_MINUTES)
    is_in_a_row = guard.failed_at is not None and now - guard.failed_at < life
    guard.failures = guard.failures + 1 if is_in_a_row else 1
    guard.failed_at = now
    if guard.failures >= settings.FORGE_LOCKOUT_FAILURES:
        guard.failures, guard.locked_until = 0, now + life
        _record_lock(guard, actor=actor, user=user, now=now)
    guard.save()


def note_success(guard: SignInGuard) -> None:
    """Begin to count anew."""
    if guard.failures or guard.locked_until is not None:
        guard.failures, guard.locked_until = 0, None
        guard.save()


def use_code(guard: SignInGuard, code: str, *, now: datetime) -> bool:
    """Take a code that fits; False where the same one was taken just before: somebody has read it over a shoulder."""
    digest = hashlib.sha256(code.encode()).hexdigest()
    if guard.used_code == digest and guard.used_code_at is not None and now - guard.used_code_at < CODE_LIFE:
        return False
    guard.used_code, guard.used_code_at = digest, now
    guard.save()
    return True


def unlock(*, actor: Actor, user: User, now: datetime) -> None:
    """Open an account that failures have shut; for admins. Raises MayNotManagePeople, NotLocked."""
    require_role(actor, user.organization_id, Membership.Role.ADMIN)
    with transaction.atomic():
        guard = take(user)
        if not guard.is_locked(now):
            raise NotLocked("Nothing keeps the person out.")
        before = guard.locked_until
        note_success(guard)
        record(
            actor=actor.in_organization(user.organization_id),
            action=actions.ACCOUNT_UNLOCK,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Unlocked the account of user {user.id}",
            changes={"before": {"locked_until": before}, "after": {"locked_until": None}},
        )


def is_locked(user: User, now: datetime) -> bool:
    """Whether failures keep the person out now."""
    return SignInGuard.objects.filter(user=user, locked_until__gt=now).exists()


def _record_lock(guard: SignInGuard, *, actor: Actor, user: User, now: datetime) -> None:
    record(
        actor=actor.in_organization(user.organization_id),
        action=actions.ACCOUNT_LOCK,
        resource_type="User",
        resource_id=str(user.id),
        description=f"Locked the account of user {user.id} after failures in a row",
        changes={"before": {"locked_until": None}, "after": {"locked_until": guard.locked_until}},
    )
    if user.organization_id is not None:
        owe(
            [
                Owed(
                    organization_id=user.organization_id,
                    recipient_id=user.id,
                    kind="account.locked",
                    target_type="User",
                    target_id=user.id,
                    once=now.isoformat(),
                    facts={
                        "until": guard.locked_until.isoformat() if guard.locked_until else "",
                        "at": now.isoformat(),
                    },
                    correlation_id=actor.correlation_id,
                )
            ],
            now=now,
        )
