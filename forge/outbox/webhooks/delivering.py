"""Delivering what is due; any number of senders may run, and any may be killed at any point.

As with mail, a claim is one statement that commits at once and moves `due_at` past the time that a call may take; no
transaction is open during the call. A sender that is killed before the outcome is written leaves the delivery to be
sent once more, under the same webhook-id, by which the receiver drops the twin. What fails is tried again after
growing pauses for a day. A webhook that fails rests as a whole for a while, so that one receiver that hangs does not
keep the others waiting, and after days of nothing but failure it is switched off.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from forge.outbox.models import Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks import calling, keeping, signing
from forge.outbox.webhooks.calling import Answer
from forge.outbox.webhooks.keeping import SecretUnreadable
from forge.outbox.webhooks.pings import PING
from forge.outbox.webhooks.switching import GONE, SWITCH_OFF_AFTER, switch_off

logger = logging.getLogger(__name__)

State = WebhookDelivery.State
MOST_TRIES = 30
"""Of one round; only a delivery whose senders vanish again and again comes so far within its day."""
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=4)
LONGEST_REST = timedelta(minutes=15)
JITTER = 0.2
LEASE = timedelta(minutes=5)
"""Longer than any call takes: looking a name up, connecting, and calling.TOTAL_SECONDS."""
RUN_SECONDS = 50.0

_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT delivery.id
      FROM outbox_webhookdelivery AS delivery
      JOIN outbox_webhook AS webhook ON webhook.id = delivery.webhook_id
     WHERE delivery.due_at <= %(now)s AND (webhook.rests_until IS NULL OR webhook.rests_until <= %(now)s)
     ORDER BY delivery.due_at, delivery.id
     LIMIT 1
       FOR NO KEY UPDATE OF delivery SKIP LOCKED)
UPDATE outbox_webhookdelivery AS delivery
   SET due_at = %(lease_ends)s, attempts = delivery.attempts + 1, updated_at = %(now)s
  FROM due
 WHERE delivery.id = due.id
RETURNING delivery.*
"""


@dataclass
class Figures:
    """Counts of one run."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    withdrawn: int = 0
    switched_off: list[uuid.UUID] = field(default_factory=list)

    def shown(self) -> dict[str, int]:
        return asdict(self) | {"switched_off": len(self.switched_off)}


def due(*, now: datetime) -> int:
    """How many deliveries wait to be sent at `now`, those of webhooks that rest too."""
    return WebhookDelivery.objects.filter(due_at__lte=now).count()


def send(*, now: datetime) -> dict[str, int]:
    """Send what is due: {delivered, failed, given_up, withdrawn, switched_off}."""
    figures = Figures()
    began = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - began)

    while time.monotonic() - began < RUN_SECONDS:
        delivery = _claim(clock())
        if delivery is None:
            break
        outcome = _deliver(delivery, clock, figures)
        setattr(figures, outcome, getattr(figures, outcome) + 1)
    return figures.shown()


def _claim(now: datetime) -> WebhookDelivery | None:
    with transaction.atomic(durable=True):
        rows = WebhookDelivery.objects.raw(_CLAIM, {"now": now, "lease_ends": now + LEASE})
        return next(iter(rows), None)


def _deliver(delivery: WebhookDelivery, clock: Callable[[], datetime], figures: Figures) -> str:
    webhook = Webhook.objects.get(pk=delivery.webhook_id)
    if webhook.state == Webhook.State.REMOVED or not (webhook.is_on or delivery.kind == PING):
        return _end(delivery, State.WITHDRAWN, "The webhook is switched off or removed.", clock())
    if delivery.attempts - delivery.earlier_attempts > MOST_TRIES:
        return _end(delivery, State.GIVEN_UP, "Its senders vanished while they were at it.", clock())
    began_at = clock()
    try:
        secrets = keeping.open_all(webhook, at=began_at)
    except SecretUnreadable as error:
        answer = Answer(None, "", f"Not sent: {error}.", 0)
    else:
        body = delivery.body.encode()
        headers = signing.headers(event_id=str(delivery.event_id), at=began_at, body=body, secrets=secrets)
        answer = calling.post(webhook.url, headers=headers, body=body)
    return _note(delivery, answer, began_at, clock(), figures)


def _note(delivery: WebhookDelivery, answer: Answer, began_at: datetime, now: datetime, figures: Figures) -> str:
    """Write what came of the try, for the delivery and for its webhook, in one transaction."""
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update(no_key=True).get(pk=delivery.webhook_id)
        WebhookAttempt.objects.create(
            organization_id=delivery.organization_id,
            delivery_id=delivery.id,
            number=delivery.attempts,
            began_at=began_at,
            milliseconds=answer.milliseconds,
            status_code=answer.status,
            error=answer.error,
            excerpt=answer.excerpt,
        )
        outcome = _taken(delivery, now) if answer.is_taken else _failed(delivery, answer, now)
        _judge(webhook, answer, now)
        if _is_over(webhook, answer, now) and switch_off(webhook, answer=answer, now=now):
            figures.switched_off.append(webhook.id)
    return outcome


def _taken(delivery: WebhookDelivery, now: datetime) -> str:
    """Delivered, whatever another sender has made of it meanwhile: the receiver has it."""
    WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=State.DELIVERED).update(
        state=State.DELIVERED, due_at=None, delivered_at=now, last_error="", updated_at=now
    )
    return "delivered"


def _failed(delivery: WebhookDelivery, answer: Answer, now: datetime) -> str:
    tries = delivery.attempts - delivery.earlier_attempts
    again = now + _jittered(min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE))
    if again > delivery.tried_until:
        return _end(delivery, State.GIVEN_UP, answer.error, now)
    _update(delivery, now, due_at=again, last_error=answer.error)
    return "failed"


def _end(delivery: WebhookDelivery, state: State, reason: str, now: datetime) -> str:
    _update(delivery, now, state=state, due_at=None, last_error=reason)
    return state.value.lower()


def _update(delivery: WebhookDelivery, now: datetime, **fields: Any) -> None:
    """Write it, unless another sender has taken the delivery over meanwhile."""
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, state=State.DUE, attempts=delivery.attempts)
    if not mine.update(updated_at=now, **fields):
        logger.warning("Delivery %s was taken over by somebody else meanwhile", delivery.id)


def _judge(webhook: Webhook, answer: Answer, now: datetime) -> None:
    """What the try says of the receiver: one success forgives all, a failure lets it rest."""
    if answer.is_taken:
        if webhook.failures == 0 and webhook.rests_until is None:
            return
        webhook.failures, webhook.failing_since, webhook.rests_until = 0, None, None
    else:
        rest = min(FIRST_PAUSE * 2 ** min(webhook.failures, 10), LONGEST_REST)
        webhook.failures += 1
        webhook.failing_since = webhook.failing_since or now
        webhook.rests_until = now + _jittered(rest)
    webhook.updated_at = now
    webhook.save(update_fields=["failures", "failing_since", "rests_until", "updated_at"])


def _is_over(webhook: Webhook, answer: Answer, now: datetime) -> bool:
    if answer.is_taken or not webhook.is_on:
        return False
    return answer.status == GONE or now - (webhook.failing_since or now) >= SWITCH_OFF_AFTER


def _jittered(pause: timedelta) -> timedelta:
    """The pause, a fifth longer or shorter, so that what failed together is not tried again together."""
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - it hides nothing
