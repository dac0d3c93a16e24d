"""The retention of samples of use: they are figures for rules and advice, and no entry or charge rests on them."""

from __future__ import annotations

from audit.archive.policies import Policy, register

register(Policy(table="workspaces_usagesample", setting="FORGE_USAGE_RETENTION_MONTHS"))
