"""Switching a webhook off that has failed for long, with a notice to whoever made it."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.actors import Actor
from audit.services import record
from forge.outbox import actions
from forge.outbox.models import Webhook
from forge.outbox.services import Owed, owe
from forge.outbox.webhooks.calling import Answer

JOB = "send_webhooks"
KIND = "webhook.switched_off"
GONE = 410
"""The answer by which a receiver asks for no more, at once."""
SWITCH_OFF_AFTER = timedelta(days=3)
"""Of nothing but failure, with tries at least every quarter of an hour while something is due."""


def switch_off(webhook: Webhook, *, answer: Answer, now: datetime) -> bool:
    """Switch the locked webhook off, owe the notice and record it, in the caller's transaction; True when it was on."""
    if not webhook.is_on:
        return False
    since = (webhook.failing_since or now).isoformat()
    webhook.state, webhook.state_since, webhook.updated_at = Webhook.State.FAILED, now, now
    webhook.save(update_fields=["state", "state_since", "updated_at"])
    actor = Actor.job(JOB, webhook.organization_id)
    if webhook.owner_id is not None:
        owe(
            [
                Owed(
                    organization_id=webhook.organization_id,
                    recipient_id=webhook.owner_id,
                    kind=KIND,
                    target_type="Webhook",
                    target_id=webhook.id,
                    once=f"{webhook.id}:{now.timestamp():.6f}",
                    facts={"failing_since": since, "failures": webhook.failures, "status_code": answer.status},
                    correlation_id=actor.correlation_id,
                    team_id=webhook.team_id,
                )
            ],
            now=now,
        )
    record(
        actor=actor,
        action=actions.WEBHOOK_SWITCH_OFF,
        resource_type="Webhook",
        resource_id=str(webhook.id),
        description=f"Webhook {webhook.id} is switched off after {webhook.failures} failures in a row",
        changes={"before": {"state": Webhook.State.ON}, "after": {"state": webhook.state}},
        context={"failing_since": since, "failures": webhook.failures, "status_code": answer.status},
        occurred_at=now,
    )
    return True
