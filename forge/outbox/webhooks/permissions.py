"""Who may manage which webhooks (the role table of docs/roles.md).

Admins manage all of their organization; finance those that hear of nothing but money; team leads those of a team that
they lead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from audit.actors import Actor, Interface, Kind
from forge.api.errors import Denied
from forge.outbox.models import Webhook
from forge.outbox.models.webhooks import MONEY

WHO = "Admins manage all webhooks, finance those about money alone, team leads those of a team that they lead."


class MayNotManageWebhook(Denied):
    code = "may_not_manage_webhook"
    title = "Your role may not manage this webhook"


def is_about_money(kinds: Iterable[str]) -> bool:
    """Whether these are kinds about money and no others; no kinds are all kinds."""
    named = list(kinds)
    return bool(named) and all(kind.startswith(MONEY) for kind in named)


def may_manage(user: Any, webhook: Webhook) -> bool:
    """True when the person may change, test and remove it."""
    return user.is_operator or (
        user.organization_id == webhook.organization_id and may_have(user, kinds=webhook.kinds, team_id=webhook.team_id)
    )


def may_have(user: Any, *, kinds: Iterable[str], team_id: UUID | None) -> bool:
    """True when the person may have such a webhook in the own organization."""
    if user.has_role("admin"):
        return True
    if team_id is not None:
        return team_id in user.led_team_ids()
    return user.has_role("finance") and is_about_money(kinds)


def require_team_led(actor: Actor, team_id: UUID | None) -> None:
    """Raises MayNotManageWebhook for a team that the actor does not lead: nobody else knows whether it is there."""
    if team_id is not None and (actor.user is None or team_id not in actor.user.led_team_ids()):
        raise MayNotManageWebhook("The webhook of a team is made by somebody who leads it.")


def require(actor: Actor, webhook: Webhook) -> None:
    """Raises MayNotManageWebhook unless the actor may manage the webhook as it is now.

    The assistant may not: whoever talks it into something would have all that happens sent elsewhere.
    """
    if actor.interface == Interface.LUCY:
        raise MayNotManageWebhook("The assistant manages no webhooks.")
    if actor.kind != Kind.COMMAND and not (actor.user is not None and may_manage(actor.user, webhook)):
        raise MayNotManageWebhook(WHO)


def require_some(actor: Actor) -> None:
    """Raises MayNotManageWebhook unless the actor manages any webhooks at all."""
    if actor.kind != Kind.COMMAND and not (
        actor.user is not None and (actor.user.is_operator or actor.user.has_role("admin", "finance", "team_lead"))
    ):
        raise MayNotManageWebhook(WHO)
