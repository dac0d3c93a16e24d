"""Who may set prices, import bills and choose tags: finance and admins those of their organization.

Operators of the installation set all prices. Costs are exported by finance and admins (all), and by team leads (their
teams').
"""

from __future__ import annotations

import uuid

from django.db.models import Q

from audit.actors import Actor
from costs.models import Price
from forge.accounts.models import Membership, User
from forge.api.errors import Denied

Role = Membership.Role
PRICING = (Role.FINANCE, Role.ADMIN)


class MayNotSetPrices(Denied):
    code = "may_not_set_prices"
    title = "Your role may not set this price"


class MayNotImportBills(Denied):
    code = "may_not_import_bills"
    title = "Your role may not import bills"


class MayNotChooseTags(Denied):
    code = "may_not_choose_tags"
    title = "Your role may not choose the tags by which costs are summed"


class MayNotSeeAllCosts(Denied):
    code = "may_not_see_all_costs"
    title = "Sums by tag are of the whole organization, of which you see a part"


class MayNotExportCosts(Denied):
    code = "may_not_export_costs"
    title = "Your role may not export costs"


def require_price(actor: Actor, organization_id: uuid.UUID | None) -> None:
    """Raises MayNotSetPrices unless the actor may set prices there; None = the prices for all organizations."""
    if not actor.has_account:
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


def may_import_bills(user: User) -> bool:
    """True when the person may import bills of the own organization."""
    return user.organization_id is not None and user.has_role(*PRICING)


def require_bill(actor: Actor, organization_id: uuid.UUID) -> None:
    """Raises MayNotImportBills unless the actor is a command, or finance or admin of that organization."""
    if not actor.has_account:
        return
    user = actor.user
    if not (isinstance(user, User) and user.organization_id == organization_id and may_import_bills(user)):
        raise MayNotImportBills("Finance and admins import the bills of their organization.")


def may_choose_tags(user: User) -> bool:
    """True when the person may choose the tags by which the own organization's costs are summed."""
    return user.organization_id is not None and user.has_role(*PRICING)


def require_tags(actor: Actor, organization_id: uuid.UUID) -> None:
    """Raises MayNotChooseTags unless the actor is a command, or finance or admin of that organization."""
    if not actor.has_account:
        return
    user = actor.user
    if not (isinstance(user, User) and user.organization_id == organization_id and may_choose_tags(user)):
        raise MayNotChooseTags("Finance and admins choose the tags of their organization's costs.")


def require_all_costs(user: User) -> None:
    """Raises MayNotSeeAllCosts unless the person sees the costs of the whole organization."""
    if not user.has_role(*Membership.ORGANIZATION_WIDE):
        raise MayNotSeeAllCosts("Finance, auditors and admins see costs by tag.")


def exported_by(user: User) -> Q:
    """The costs that the person may export, of those that they see; raises MayNotExportCosts where that is none."""
    teams = exported_teams(user)
    return Q() if teams is None else Q(team_id__in=teams)


def exported_teams(user: User) -> list[uuid.UUID] | None:
    """The teams whose costs the person may export, None = all; raises MayNotExportCosts where there are none."""
    if user.is_operator or user.has_role(*PRICING):
        return None
    teams = [team for role, team in user.roles if role == Role.TEAM_LEAD and team is not None]
    if not teams:
        raise MayNotExportCosts("Finance and admins export all costs, team leads those of their teams.")
    return teams
