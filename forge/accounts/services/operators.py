"""Making operators of the installation, who belong to no organization."""

from __future__ import annotations

from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.accounts import actions
from forge.accounts.models import User
from forge.accounts.passwords import set_password
from forge.accounts.services.authority import MayNotManagePeople
from forge.accounts.services.members import EmailTaken
from forge.db.integrity import refusing


def create_operator(*, actor: Actor, email: str, full_name: str, password: str) -> User:
    """An operator of the installation with a password; for the command line alone.

    Raises MayNotManagePeople, EmailTaken, PasswordRefused.
    """
    if actor.kind != Kind.COMMAND:
        raise MayNotManagePeople("Operators of the installation are made on the command line alone.")
    user = User(organization=None, email=email.strip(), full_name=full_name)
    set_password(user, password)
    taken = {"accounts_user_email_unique_whatever_case": EmailTaken("Somebody has this email; nothing was changed.")}
    with transaction.atomic(), refusing(taken):
        user.save(force_insert=True)
        record(
            actor=actor,
            action=actions.OPERATOR_CREATE,
            resource_type="User",
            resource_id=str(user.id),
            description=f"Created operator {user.id} of the installation",
            changes={"before": None, "after": {"is_operator": True}},
        )
    return user


def require_free_email(email: str) -> None:
    """Raises EmailTaken: before somebody is asked for a password in vain."""
    if User.objects.filter(email__iexact=email.strip()).exists():
        raise EmailTaken("Somebody has this email; nothing was changed.")
