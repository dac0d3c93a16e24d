"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

BLUEPRINT_CREATE = register("BLUEPRINT_CREATE")
BLUEPRINT_UPDATE = register("BLUEPRINT_UPDATE")
BLUEPRINT_PUBLISH = register("BLUEPRINT_PUBLISH")
BLUEPRINT_RETIRE = register("BLUEPRINT_RETIRE")

expect("blueprints_blueprint", actions=[BLUEPRINT_CREATE])
