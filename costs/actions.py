"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

PRICE_CREATE = register("PRICE_CREATE", required=("resource_id",))
PRICE_CLOSE = register("PRICE_CLOSE", required=("resource_id",))
PRICE_CONFIRM = register("PRICE_CONFIRM", required=("resource_id",))
COST_RERATE = register("COST_RERATE", required=("resource_id", "context.operation_id"))
BILL_UPLOAD = register("BILL_UPLOAD", required=("resource_id",))
BILL_IMPORT = register("BILL_IMPORT", required=("resource_id",))
COST_EXPORT = register("COST_EXPORT", required=("context.format",), personal=("filters",))
BOOKS_DIFFER = register("BOOKS_DIFFER", required=("resource_id",))
BOOKS_AGREE = register("BOOKS_AGREE", required=("resource_id",))
TAG_KEY_CHOOSE = register("TAG_KEY_CHOOSE", required=("resource_id",))
TAG_KEY_DROP = register("TAG_KEY_DROP", required=("resource_id",))
REPORT_SUBSCRIBE = register("REPORT_SUBSCRIBE", required=("resource_id",))
REPORT_UNSUBSCRIBE = register("REPORT_UNSUBSCRIBE", required=("resource_id",))
ADVICE_OPEN = register("ADVICE_OPEN", required=("resource_id", "context.workspace_id"))
ADVICE_ACCEPT = register("ADVICE_ACCEPT", required=("resource_id", "context.operation_id"))
ADVICE_SNOOZE = register("ADVICE_SNOOZE", required=("resource_id", "context.reason"), personal=("reason",))
ADVICE_DISMISS = register("ADVICE_DISMISS", required=("resource_id", "context.reason"), personal=("reason",))
ADVICE_OBSOLETE = register("ADVICE_OBSOLETE", required=("resource_id", "context.reason"))

expect("costs_price", actions=[PRICE_CREATE])
expect("costs_bookfault", actions=[BOOKS_DIFFER], at="seen_at")
expect("costs_tagkey", actions=[TAG_KEY_CHOOSE])
expect("costs_bill", actions=[BILL_IMPORT], at="booked_at", only=("state", "BOOKED"))
expect("costs_issuedreport", actions=[COST_EXPORT], at="issued_at")
expect("costs_reportsubscription", actions=[REPORT_SUBSCRIBE])
expect("costs_advice", actions=[ADVICE_OPEN])
expect("costs_advice", actions=[ADVICE_ACCEPT], at="decided_at", only=("status", "ACCEPTED"))
expect("costs_advice", actions=[ADVICE_DISMISS], at="decided_at", only=("status", "DISMISSED"))
expect("costs_advice", actions=[ADVICE_OBSOLETE], at="decided_at", only=("status", "OBSOLETE"))
