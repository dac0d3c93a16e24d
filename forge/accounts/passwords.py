"""Passwords: what is refused as one, and changing one's own."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import User
from forge.api.errors import Denied, Refused

MOST_CHARACTERS = 256
"""Longer than anybody types; hashing a megabyte would keep the server busy."""


class MaximumLengthValidator:
    """Refuses what is longer than MOST_CHARACTERS."""

    def validate(self, password: str, user: object = None) -> None:
        if len(password) > MOST_CHARACTERS:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password can have at most {MOST_CHARACTERS} characters."


class PasswordRefused(Refused):
    code = "password_refused"
    title = "The password is not taken"


class OthersPassword(Denied):
    code = "others_password"
    title = "People change their own password alone"


def set_password(user: User, password: str | None) -> None:
    """Put `password` on the row, unsaved; None is a password that opens nothing. Raises PasswordRefused."""
    if password is None:
        user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise PasswordRefused(" ".join(error.messages)) from error
    user.set_password(password)


def change_password(*, actor: Actor, user: User, password: str) -> User:
    """Give the acting person a new password; the caller has asked for the old one.

    Sessions that were begun with the old one end. Raises OthersPassword, PasswordRefused.
    """
    if actor.user_id != user.id:
        raise OthersPassword("This is somebody else's password.")
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if locked.check_password(password):
            raise PasswordRefused("It is the password that you have now.")
        set_password(locked, password)
        locked.save(update_fields=["password", "updated_at"])
        record(
            actor=actor.in_organization(locked.organization_id),
            action=actions.PASSWORD_CHANGE,
            resource_type="User",
            resource_id=str(locked.id),
            description=f"User {locked.id} changed the password",
        )
    return locked
