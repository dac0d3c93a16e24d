"""Who may set prices: finance and admins those of their organization, operators of the installation all."""

from __future__ import annotations

import uuid

from audit.actors import Actor, Kind
from costs.models import Price
from forge.accounts.models import Membership, User
from forge.api.errors import Denied

Role = Membership.Role
PRICING = (Role.FINANCE, Role.ADMIN)


class MayNotSetPrices(Denied):
    code = "may_not_set_prices"
    title = "Your role may not set this price"


def require_price(actor: Actor, organization_id: uuid.UUID | None) -> None:
    """Raises MayNotSetPrices unless the actor may set prices there; None = the prices for all organizations."""
    if actor.kind != Kind.USER:
        return
    if not (isinstance(actor.user, User) and _may(actor.user, organization_id)):
        raise MayNotSetPrices(
            "Finance and admins set the prices of their organization, operators of the installation those for all."
        )


def may_price(user: User, organization_id: uuid.UUID | None) -> bool:
    """True when the person may set prices there; None = the prices for all organizations."""
    return _may(user, organization_id)


def may_close(user: User, price: Price) -> bool:
    """True when the person may give the price an end."""
    return _may(user, price.organization_id)


def _may(user: User, organization_id: uuid.UUID | None) -> bool:
    if user.is_operator:
        return True
    return organization_id is not None and user.organization_id == organization_id and user.has_role(*PRICING)
