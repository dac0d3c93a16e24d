"""Sessions of browsers: where somebody is signed in, and ending it elsewhere.

The row of ours stands beside the session that Django keeps and is found by its key; it comes with the AUTH_LOGIN entry
and goes with the session. A session that is ended is gone from Django's table, so a request under way that would save
it again is refused by Django itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from audit.actors import Actor, source_address
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import Membership, User, UserSession
from forge.accounts.services.authority import MayNotManagePeople
from forge.api.errors import NotFound

SEEN_AT = "forge_seen_at"
_STEP = timedelta(minutes=5)


@receiver(user_logged_in, dispatch_uid="accounts.session_begins")
def begin(*, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """A row for the session that begins, in the transaction of whoever signs the person in."""
    now = timezone.now()
    session = request.session
    if session.session_key is None:
        session.create()
    session[SEEN_AT] = now.isoformat()
    UserSession.objects.update_or_create(
        session_key=session.session_key,
        defaults={
            "user": user,
            "organization_id": user.organization_id,
            "source_ip": source_address(request),
            "user_agent": request.META.get("HTTP_USER_AGENT", "").replace("\x00", "")[:300],
            "seen_at": now,
            "expires_at": session.get_expiry_date(modification=now),
        },
    )


@receiver(user_logged_out, dispatch_uid="accounts.session_ends")
def end(*, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """The row goes with the session that its person ends."""
    if user is not None and request.session.session_key:
        UserSession.objects.filter(session_key=request.session.session_key).delete()


def touch(request: HttpRequest, now: datetime) -> None:
    """Remember that the session is in use, at most every five minutes."""
    session = request.session
    text = session.get(SEEN_AT)
    if text is not None and now - datetime.fromisoformat(text) < _STEP:
        return
    session[SEEN_AT] = now.isoformat()
    UserSession.objects.filter(session_key=session.session_key).update(
        seen_at=now, expires_at=session.get_expiry_date(modification=now), updated_at=now
    )


def follow(*, old_key: str | None, new_key: str | None) -> None:
    """Keep the row of a session whose key was changed, as a new password does."""
    if old_key is not None and new_key is not None and old_key != new_key:
        UserSession.objects.filter(session_key=old_key).update(session_key=new_key, updated_at=timezone.now())


def is_live(now: datetime) -> Exists:
    """True of a session that Django keeps still."""
    return Exists(Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=now))


def may_end(user: object, session: UserSession) -> bool:
    """True for its owner, admins of the organization and operators."""
    if not isinstance(user, User):
        return False
    if user.is_operator or user.id == session.user_id:
        return True
    is_own = session.organization_id is not None and session.organization_id == user.organization_id
    return is_own and user.has_role(Membership.Role.ADMIN)


def revoke(*, actor: Actor, session: UserSession) -> None:
    """End a session at once; for whoever `may_end` names. Raises MayNotManagePeople, NotFound."""
    if actor.kind != "COMMAND" and not may_end(actor.user, session):
        raise MayNotManagePeople("Only its owner and admins end a session.")
    with transaction.atomic():
        locked = UserSession.objects.select_for_update().filter(pk=session.pk).first()
        if locked is None:
            raise NotFound("The session has just ended.")
        _end(locked, actor)


def revoke_all(*, actor: Actor, user: User, but_key: str | None = None) -> int:
    """End every session of a person (but the one of `but_key`), each with its entry; how many. Needs a transaction."""
    sessions = list(
        UserSession.objects.select_for_update().filter(user=user).exclude(session_key=but_key or "").order_by("id")
    )
    for session in sessions:
        _end(session, actor)
    return len(sessions)


def _end(session: UserSession, actor: Actor) -> None:
    Session.objects.filter(session_key=session.session_key).delete()
    key = session.pk
    session.delete()
    record(
        actor=actor.in_organization(session.organization_id),
        action=actions.SESSION_REVOKE,
        resource_type="UserSession",
        resource_id=str(key),
        description=f"Ended session {key} of user {session.user_id}",
        changes={"before": {"user": str(session.user_id), "seen_at": session.seen_at}, "after": None},
    )


def purge(*, now: datetime) -> dict[str, int]:
    """Drop what is past its end: Django's sessions, and rows of ours that stand beside none."""
    expired, _ = Session.objects.filter(expire_date__lte=now).delete()
    kept = Session.objects.filter(session_key=OuterRef("session_key"))
    ended, _ = UserSession.objects.filter(~Exists(kept), created_at__lt=now - timedelta(hours=1)).delete()
    return {"sessions": expired, "rows": ended}
