"""Making, changing, testing and removing webhooks, and sending again by hand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.api.errors import Conflict, Refused
from forge.db.locks import advisory_lock
from forge.outbox import actions, letters
from forge.outbox.models import Webhook, WebhookDelivery
from forge.outbox.webhooks import keeping, permissions, signing, targets
from forge.outbox.webhooks.announcing import TRIED_FOR
from forge.outbox.webhooks.pings import ping_of
from forge.outbox.webhooks.targets import TargetRefused

MOST_WEBHOOKS = 20
MADE = "outbox_webhook made"
MOST_KEEP = timedelta(days=7)
KEEP_FORMER = timedelta(hours=24)

State = Webhook.State


class WebhookAddressRefused(Refused):
    code = "webhook_address_refused"
    title = "Nothing is sent to this address"


class UnknownWebhookKind(Refused):
    code = "unknown_webhook_kind"
    title = "Nothing of this kind ever happens"


class TooManyWebhooks(Refused):
    code = "too_many_webhooks"
    title = "The organization has as many webhooks as it may have"
    suggested_action = "Remove one that is not needed."


class WebhookRemoved(Conflict):
    code = "webhook_removed"
    title = "The webhook is removed"


def create(
    *,
    actor: Actor,
    organization_id: uuid.UUID,
    name: str,
    url: str,
    kinds: Sequence[str] = (),
    team_id: uuid.UUID | None = None,
    now: datetime,
) -> tuple[Webhook, str]:
    """A new webhook and the text of its secret, which is shown this once.

    Raises MayNotManageWebhook, WebhookAddressRefused, UnknownWebhookKind, TooManyWebhooks.
    """
    secret = signing.new_secret()
    webhook = Webhook(
        organization_id=organization_id,
        team_id=team_id,
        name=name,
        url=url,
        kinds=sorted(set(kinds)),
        is_about_money=permissions.is_about_money(kinds),
        owner_id=actor.user_id,
        state_since=now,
        secret=keeping.close(secret),
        created_at=now,
    )
    permissions.require(actor, webhook)
    permissions.require_team_led(actor, team_id)
    _check(webhook)
    with transaction.atomic():
        advisory_lock(MADE, organization_id)  # or two at once would each count the others and pass the limit
        standing = Webhook.objects.standing().filter(organization_id=organization_id)
        if standing.count() >= MOST_WEBHOOKS:
            raise TooManyWebhooks(extra={"most": MOST_WEBHOOKS})
        webhook.save()
        _record(webhook, actions.WEBHOOK_CREATE, "is made", actor=actor, before=None, after=_facts(webhook), now=now)
    return webhook, signing.text_of(secret)


def change(*, actor: Actor, webhook_id: uuid.UUID, wanted: Mapping[str, Any], now: datetime) -> Webhook:
    """Change `name`, `url`, `kinds`, or whether it `is_on`; switched on, its failures are forgotten.

    Raises MayNotManageWebhook, also for what it would become; WebhookAddressRefused, UnknownWebhookKind,
    WebhookRemoved.
    """
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        before, was = _facts(webhook), _changeable(webhook)
        for name in ("name", "url", "kinds"):
            if name in wanted:
                setattr(webhook, name, sorted(set(wanted[name])) if name == "kinds" else wanted[name])
        webhook.is_about_money = permissions.is_about_money(webhook.kinds)
        if "is_on" in wanted and wanted["is_on"] != webhook.is_on:
            webhook.state, webhook.state_since = State.ON if wanted["is_on"] else State.OFF, now
        if wanted.get("is_on") or "url" in wanted:
            webhook.failures, webhook.failing_since, webhook.rests_until = 0, None, None
        permissions.require(actor, webhook)
        _check(webhook)
        becomes = _changeable(webhook)
        if becomes == was:
            return webhook
        webhook.save()
        after = _facts(webhook) | ({"is_url_changed": True} if becomes["url"] != was["url"] else {})
        _record(webhook, actions.WEBHOOK_UPDATE, "is changed", actor=actor, before=before, after=after, now=now)
    return webhook


def rotate(
    *, actor: Actor, webhook_id: uuid.UUID, keep_former: timedelta = KEEP_FORMER, now: datetime
) -> tuple[Webhook, str]:
    """A new secret, shown this once; what is sent is signed with the former one too, for `keep_former`.

    A secret before that counts no more. Raises MayNotManageWebhook, WebhookRemoved.
    """
    secret = signing.new_secret()
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        before = {"former_secret_until": webhook.former_secret_until}
        is_kept = keep_former > timedelta(0)
        webhook.former_secret = webhook.secret if is_kept else b""
        webhook.former_secret_until = now + keep_former if is_kept else None
        webhook.secret = keeping.close(secret)
        webhook.save(update_fields=["secret", "former_secret", "former_secret_until", "updated_at"])
        after = {"former_secret_until": webhook.former_secret_until, "secret_since": now}
        _record(webhook, actions.WEBHOOK_ROTATE, "has a new secret", actor=actor, before=before, after=after, now=now)
    return webhook, signing.text_of(secret)


def remove(*, actor: Actor, webhook_id: uuid.UUID, now: datetime) -> Webhook:
    """Take it away, with its address and its secrets; raises MayNotManageWebhook, WebhookRemoved."""
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        before = _facts(webhook)
        webhook.state, webhook.state_since = State.REMOVED, now
        webhook.url, webhook.secret, webhook.former_secret, webhook.former_secret_until = "", b"", b"", None
        webhook.save()
        after = {"state": webhook.state}
        _record(webhook, actions.WEBHOOK_REMOVE, "is removed", actor=actor, before=before, after=after, now=now)
    return webhook


def ping(*, actor: Actor, webhook_id: uuid.UUID, now: datetime) -> WebhookDelivery:
    """Have a test message delivered, also to one that is switched off; raises MayNotManageWebhook, WebhookRemoved."""
    with transaction.atomic():
        webhook = _locked(actor, webhook_id)
        _rest_no_more(webhook)
        delivery = ping_of(webhook, now=now)
        delivery.save()
        after = {"delivery": str(delivery.id)}
        _record(webhook, actions.WEBHOOK_PING, "is sent a ping", actor=actor, before=None, after=after, now=now)
    return delivery


def redeliver(*, actor: Actor, delivery_id: uuid.UUID, now: datetime) -> WebhookDelivery:
    """Have it sent now, whatever became of it, under the same webhook-id, and tried again for a day if that fails.

    A sender that is at it may make that twice, which the receiver sees by the id. Raises MayNotManageWebhook,
    WebhookRemoved.
    """
    with transaction.atomic():
        webhook = _locked(actor, WebhookDelivery.objects.get(pk=delivery_id).webhook_id)
        _rest_no_more(webhook)
        delivery = WebhookDelivery.objects.select_for_update(no_key=True, of=("self",)).get(pk=delivery_id)
        before = {"state": delivery.state, "due_at": delivery.due_at}
        delivery.state, delivery.due_at = WebhookDelivery.State.DUE, now
        delivery.tried_until, delivery.earlier_attempts = now + TRIED_FOR, delivery.attempts
        delivery.save(update_fields=["state", "due_at", "tried_until", "earlier_attempts", "updated_at"])
        record(
            actor=actor.in_organization(delivery.organization_id),
            action=actions.WEBHOOK_REDELIVER,
            resource_type="WebhookDelivery",
            resource_id=str(delivery.id),
            description=f"Delivery {delivery.id} of webhook {webhook.id} is sent again",
            changes={"before": before, "after": {"state": delivery.state, "due_at": now}},
            context={"webhook": str(webhook.id), "event": str(delivery.event_id), "kind": delivery.kind},
            occurred_at=now,
        )
    return delivery


def _locked(actor: Actor, webhook_id: uuid.UUID) -> Webhook:
    webhook = Webhook.objects.select_for_update(no_key=True).get(pk=webhook_id)
    permissions.require(actor, webhook)
    if webhook.state == State.REMOVED:
        raise WebhookRemoved(f"It was removed at {webhook.state_since.isoformat()}.")
    return webhook


def _rest_no_more(webhook: Webhook) -> None:
    webhook.rests_until = None
    webhook.save(update_fields=["rests_until", "updated_at"])


def _check(webhook: Webhook) -> None:
    try:
        targets.parse(webhook.url)
    except TargetRefused as refused:
        raise WebhookAddressRefused(f"Not taken: {refused}.") from None
    known = letters.kinds()
    if unknown := [kind for kind in webhook.kinds if kind not in known]:
        raise UnknownWebhookKind(f"{unknown[0]!r} is not one of: {', '.join(known)}.")


def _changeable(webhook: Webhook) -> dict[str, Any]:
    """What a change may reach; the failures that it makes forgotten are part of it."""
    names = ("name", "url", "kinds", "is_about_money", "state", "failures", "failing_since", "rests_until")
    return {name: getattr(webhook, name) for name in names}


def _facts(webhook: Webhook) -> dict[str, Any]:
    """What the audit log keeps of it: of the address only where it leads, for the rest of it may be a key."""
    return {
        "name": webhook.name,
        "origin": targets.parse(webhook.url).origin,
        "kinds": list(webhook.kinds),
        "team_id": webhook.team_id,
        "state": webhook.state,
    }


def _record(
    webhook: Webhook, action: str, what: str, *, actor: Actor, before: Any, after: Mapping[str, Any], now: datetime
) -> None:
    record(
        actor=actor.in_organization(webhook.organization_id),
        action=action,
        resource_type="Webhook",
        resource_id=str(webhook.id),
        description=f"Webhook {webhook.id} {what}",
        changes={"before": before, "after": after},
        occurred_at=now,
    )
