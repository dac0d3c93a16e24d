"""Mail by which somebody new comes in: owed when the account is made, and once more on request."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions, links
from forge.accounts.models import Membership, Organization, User
from forge.accounts.passwords import set_password
from forge.accounts.services.authority import MayNotManagePeople
from forge.api.errors import Conflict, TooMany
from forge.outbox.models import Mail
from forge.outbox.services import Owed, owe

KIND = "account.invited"
PAUSE = timedelta(minutes=5)
"""Between two invitations of a person, whoever asks for them."""


class AlreadyIn(Conflict):
    code = "already_in"
    title = "The person has chosen a password, or has signed in"
    suggested_action = "Have the person ask for a link by “Forgot your password?” on the sign-in page."


class MayNotComeIn(Conflict):
    code = "may_not_come_in"
    title = "Nobody signs in to this account"
    suggested_action = "Switch it on, or set a later end of the credentials."


def invitation(user: User, organization: Organization, *, once: str = "") -> Owed:
    """The mail that invites the person; `once` tells a later invitation from the first."""
    return Owed(
        organization_id=organization.id,
        recipient_id=user.id,
        kind=KIND,
        target_type="User",
        target_id=user.id,
        once=once,
    )


def invite_again(*, actor: Actor, user: User, now: datetime) -> User:
    """Send another invitation to somebody who has not come in yet; links that were sent before end.

    For admins, and for leads where the person is contractor or engineer of their team. Raises MayNotManagePeople,
    AlreadyIn, MayNotComeIn, and TooMany within PAUSE of the last one.
    """
    if actor.kind != "COMMAND" and not (isinstance(actor.user, User) and may_invite(actor.user, user)):
        raise MayNotManagePeople("Admins invite again, and leads the contractors and engineers of their team.")
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        locked = User.objects.select_related("organization").get(pk=user.pk)
        if not is_awaited(locked):
            raise AlreadyIn(f"{locked.email} needs no invitation.", extra={"user": str(locked.pk)})
        may_choose = links.may_choose(locked)
        if locked.organization is None or not (may_choose or links.leads_to_provider(locked)):
            raise MayNotComeIn("The account is switched off, or its credentials have ended.")
        last = _last_invited(locked)
        if last is not None and now < last + PAUSE:
            wait = int((last + PAUSE - now).total_seconds()) + 1
            raise TooMany("The person was invited a moment ago.", retry_after=wait)
        if may_choose:
            set_password(locked, None)  # another one that opens nothing: what was signed with the former is void
            locked.save(update_fields=["password", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.MEMBER_INVITE,
            resource_type="User",
            resource_id=str(locked.pk),
            description=f"Invited user {locked.pk} again",
            changes={"before": {"invited_at": last}, "after": {"invited_at": now}},
        )
        owe([invitation(locked, locked.organization, once=now.isoformat())], now=now)
    return locked


def is_awaited(user: User) -> bool:
    """Whether the person has neither chosen a password nor signed in."""
    return not user.is_service and not user.has_usable_password() and user.last_login is None


def may_invite(asking: User, user: User) -> bool:
    """True for operators, admins of the organization, and leads of a team in which the person is no overseer."""
    if asking.is_operator:
        return True
    if user.organization_id is None or asking.organization_id != user.organization_id:
        return False
    return asking.has_role(Membership.Role.ADMIN) or asking.managed_user_ids().filter(user_id=user.pk).exists()


def _last_invited(user: User) -> datetime | None:
    sent = Mail.objects.filter(recipient_id=user.pk, kind=KIND).order_by("-id")
    return sent.values_list("created_at", flat=True).first()
