"""Where people are signed in, and what guards their signing in."""

from __future__ import annotations

from typing import Any

from django.db import models

from forge.accounts.models.people import Membership, Organization, User
from forge.db.models import TimestampedModel, UUIDModel


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    def visible_to(self, user: User) -> UserSessionQuerySet:
        """One's own; admins and auditors see all of the organization's."""
        if user.is_operator:
            return self
        sessions = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return sessions
        return sessions.filter(user_id=user.id)


class UserSession(UUIDModel, TimestampedModel):
    """Where somebody is signed in by a browser; the row goes when the session ends."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="user_sessions"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="user_sessions")
    session_key = models.CharField(max_length=40, help_text="Key of the session that Django keeps.")
    source_ip = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True, default="")
    seen_at = models.DateTimeField(help_text="Last request, as of five minutes at most.")
    expires_at = models.DateTimeField()

    objects = UserSessionQuerySet.as_manager()

    class Meta:
        verbose_name = "session"
        constraints = [
            models.UniqueConstraint(fields=["session_key"], name="accounts_usersession_key_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user} since {self.created_at:%Y-%m-%d %H:%M}"


class SignInGuard(TimestampedModel):
    """What stands between one person's account and somebody who guesses: failures in a row, and until when it is shut.

    One row per person, locked while a password or a code is judged, so that guesses at once count one after another.
    """

    user = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True, related_name="sign_in_guard")
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="sign_in_guards"
    )
    failures = models.PositiveSmallIntegerField(default=0)
    failed_at = models.DateTimeField(null=True, blank=True)
    locked_until = models.DateTimeField(null=True, blank=True)
    used_code = models.CharField(
        max_length=64, blank=True, default="", help_text="SHA-256 of the last code that fitted."
    )
    used_code_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user}: {self.failures} failures"

    def is_locked(self, now: Any) -> bool:
        """True while nobody signs in to the account, whatever the password."""
        return self.locked_until is not None and now < self.locked_until
