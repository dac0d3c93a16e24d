"""Audit action types of what leaves the house."""

from audit.evidence import expect
from audit.registry import register

WEBHOOK_CREATE = register("WEBHOOK_CREATE", required=("resource_id",), personal=("name",))
WEBHOOK_UPDATE = register("WEBHOOK_UPDATE", required=("resource_id",), personal=("name",))
WEBHOOK_ROTATE = register("WEBHOOK_ROTATE", required=("resource_id",))
WEBHOOK_REMOVE = register("WEBHOOK_REMOVE", required=("resource_id",), personal=("name",))
WEBHOOK_SWITCH_OFF = register("WEBHOOK_SWITCH_OFF", required=("resource_id", "context.failing_since"))
WEBHOOK_PING = register("WEBHOOK_PING", required=("resource_id",))
WEBHOOK_REDELIVER = register("WEBHOOK_REDELIVER", required=("resource_id",))
NOTIFICATIONS_CHOOSE = register("NOTIFICATIONS_CHOOSE", required=("resource_id",))

expect("outbox_webhook", actions=[WEBHOOK_CREATE])
