"""Audit action types of the console."""

from audit.registry import register

JOB_SWITCH = register("JOB_SWITCH", required=("resource_id",), personal=("reason",))
MAIL_RETRY = register("MAIL_RETRY", required=("resource_id",))
LIST_EXPORT = register("LIST_EXPORT", required=("context.format",), personal=("filters",))
