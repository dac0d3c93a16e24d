"""The files of a bundle and the spelling of their lines: what its writer and its verifier agree upon.

Pure: the standard library alone. docs/audit.md ("Bundles") describes the same for people who write a verifier of their
own. OCSF: the class API Activity (6003) of the Open Cybersecurity Schema Framework, version 1.3.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
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

PLACE = (
    "leaf_index", "id", "lane", "lane_seq", "timestamp", "hash_version", "content", "content_hash",
    "previous_log_hash", "log_hash",
)  # fmt: skip
"""What a line says of where the entry stands, and its hashes."""

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
_CLASS = 6003


def dump(value: Any) -> str:
    """The one spelling of a value: sorted keys, no spaces, UTF-8 as it is."""
    return _ENCODER.encode(value)


def entry_line(place: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    """The line of an entry: `place` has PLACE, `columns` has COLUMNS; and the same in OCSF's names.

    Personal values are not among them. The same as `dump` of the whole.
    """
    changes = columns["changes"]
    activity = _activity(changes if isinstance(changes, dict) else {})
    kind = columns["actor_kind"]
    derived = {
        "activity_id": activity,
        "type_uid": _CLASS * 100 + activity,
        "time": _milliseconds(columns["occurred_at"]),
        "status_id": _STATUS.get(str(columns["result"]), _OTHER),
        "user_type": _USER_TYPES.get(str(kind), 0),
        "uid": f"{place['lane']}-{place['lane_seq']}",
    }
    return _ENTRY % {name: _spell(value) for part in (place, columns, derived) for name, value in part.items()}


def _spell(value: Any) -> str:
    """As `dump`, for what most values are without going round by its generator."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    return str(value) if type(value) is int else dump(value)


def _template() -> str:
    """The line of an entry with a place for each value that differs: OCSF's form, and our own names beside it."""
    value = {name: f"%({name})s" for name in (*PLACE, *COLUMNS)} | {
        "category_uid": 6,
        "class_uid": _CLASS,
        "activity_id": "%(activity_id)s",
        "type_uid": "%(type_uid)s",
        "severity_id": 1,
        "time": "%(time)s",
        "message": "%(action_description)s",
        "status_id": "%(status_id)s",
        "status_detail": "%(result)s",
        "actor": {
            "user": {
                "uid": "%(user_id)s",
                "name": "%(actor_kind)s",
                "type_id": "%(user_type)s",
                "org": {"uid": "%(organization_id)s"},
            }
        },
        "api": {"operation": "%(action_type)s"},
        "resources": [{"type": "%(resource_type)s", "uid": "%(resource_id)s"}],
        "src_endpoint": {"name": "%(interface)s"},
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "RobCo Forge", "vendor_name": "RobCo"},
            "uid": "%(uid)s",
            "correlation_uid": "%(correlation_id)s",
        },
    }
    return dump(value).replace('"%(', "%(").replace(')s"', ")s")


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


_ENTRY = _template()
