"""What people are called where a row of an organization names them, operators of the installation among them."""

from __future__ import annotations

from django.db.models import Model

from forge.accounts.models import User
from forge.db import scope


def address_of(row: Model, field: str) -> str | None:
    """The address of the person whom `row` names by the foreign key `field`; None where it names nobody.

    An operator belongs to no organization, so row-level security hides the account in every one of them. What one did
    there bears the name all the same, as in the organization's audit log.
    """
    user_id = getattr(row, f"{field}_id")
    if user_id is None:
        return None
    try:
        user = getattr(row, field)
    except User.DoesNotExist:
        user = None
    if user is not None:
        return user.email
    with scope.system():
        return User.objects.filter(pk=user_id).values_list("email", flat=True).first()
