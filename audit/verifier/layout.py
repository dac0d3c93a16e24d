"""The files of a bundle and the spelling of their lines: what its writer and its verifier agree upon.

Pure: the standard library alone. docs/audit.md ("Bundles") describes the same for people who write a verifier of their
own. OCSF: the class API Activity (6003) of the Open Cybersecurity Schema Framework, version 1.3.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

FORMAT = "forge-audit-bundle"
VERSION = 1

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.json.sha256"
ENTRIES = "entries.ndjson.gz"
NEIGHBOURS = "neighbours.ndjson.gz"
LEAVES = "leaves.bin"
CHECKPOINTS = "checkpoints.ndjson.gz"
KEYS = "keys"
PERSONAL = "personal.ndjson.gz"

FIXED = (ENTRIES, NEIGHBOURS, LEAVES, CHECKPOINTS, KEYS)
"""The files whose hashes stand in the manifest. PERSONAL is not among them: erasure rewrites it."""

LANE_SHIFT = 44
LEAF = struct.Struct(">HQ32s")
"""A leaf in LEAVES: lane, number in the lane, hash."""

COLUMNS = (
    "organization_id", "user_id", "actor_kind", "credential_id", "interface", "correlation_id", "action_type",
    "action_description", "resource_type", "resource_id", "result", "occurred_at", "context", "changes",
)  # fmt: skip
"""The columns of an entry that stand in its content under the same name."""

PERSONAL_COLUMNS = ("user_email", "source_ip", "user_agent")

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STATUS = {"SUCCESS": 1, "FAILURE": 2, "DENIED": 2}
_USER_TYPES = {"USER": 1, "JOB": 3, "COMMAND": 3, "SERVICE": 4}
_OTHER = 99


def dump(value: Any) -> str:
    """The one spelling of a value: sorted keys, no spaces, UTF-8 as it is."""
    return _ENCODER.encode(value)


def ocsf(columns: Mapping[str, Any], uid: str) -> dict[str, Any]:
    """The entry as an OCSF API Activity, beside its own columns; personal values are not among them.

    `uid` names the entry as `lane-number`.
    """
    changes = columns["changes"]
    activity = _activity(changes if isinstance(changes, dict) else {})
    kind = columns["actor_kind"]
    who = {"uid": columns["user_id"]} if columns["user_id"] else {"name": kind}
    return {
        "category_uid": 6,
        "class_uid": 6003,
        "activity_id": activity,
        "type_uid": 6003 * 100 + activity,
        "severity_id": 1,
        "time": _milliseconds(columns["occurred_at"]),
        "message": columns["action_description"],
        "status_id": _STATUS.get(columns["result"], _OTHER),
        "status_detail": columns["result"],
        "actor": {"user": {**who, "type_id": _USER_TYPES.get(kind, 0), "org": {"uid": columns["organization_id"]}}},
        "api": {"operation": columns["action_type"]},
        "resources": [{"type": columns["resource_type"], "uid": columns["resource_id"]}],
        "src_endpoint": {"name": columns["interface"]},
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "RobCo Forge", "vendor_name": "RobCo"},
            "uid": uid,
            "correlation_uid": columns["correlation_id"],
        },
    }


def _activity(changes: Mapping[str, Any]) -> int:
    """Create, update or delete, as the state before and after tells; else other."""
    match bool(changes.get("before")), bool(changes.get("after")):
        case False, True:
            return 1
        case True, True:
            return 3
        case True, False:
            return 4
    return _OTHER


def _milliseconds(text: str | None) -> int | None:
    """Since 1970; None for what is no time."""
    try:
        return (datetime.fromisoformat(text or "") - _EPOCH) // _MILLISECOND
    except (TypeError, ValueError):
        return None
