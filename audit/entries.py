"""An entry before it has a place in the log: its content, its personal values and the hash over both."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from audit import registry
from audit.actors import Actor
from audit.canonical import SALT_BYTES, UnauditableValueError, canonical, digest, plain, text
from forge.api.errors import Refused

HASH_VERSION = 1
MAX_CONTEXT_BYTES = 64 * 1024
MAX_USER_AGENT = 512
MAX_DESCRIPTION = 2000
MAX_RESOURCE = 128
MAX_ADDRESS = 45

SUCCESS, FAILURE, DENIED = RESULTS = ("SUCCESS", "FAILURE", "DENIED")


class ContextTooLarge(Refused):
    code = "audit_context_too_large"
    title = "The entry that this would leave in the audit log is too large"
    suggested_action = "Send less in one request."


class IncompleteEntryError(ValueError):
    """A field that the action type requires is empty."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one action leaves in the log; see `audit.services.record` for the fields."""

    actor: Actor
    action: str
    description: str
    resource_type: str = ""
    resource_id: str = ""
    result: str = SUCCESS
    organization_id: uuid.UUID | None = None
    changes: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None


def columns(entry: Entry) -> dict[str, Any]:
    """The columns of the entry's row but for its place in a lane; raises ContextTooLarge, UnauditableValueError,
    IncompleteEntryError, registry.UnknownActionError.

    `content` is the canonical JSON of everything that is not personal, with salted digests where personal values
    stood; `content_hash` is its SHA-256.
    """
    kind = registry.get(entry.action)
    actor = entry.actor
    if entry.result not in RESULTS:
        raise UnauditableValueError(f"{entry.result!r} is not one of {', '.join(RESULTS)}", "result")
    salt = os.urandom(SALT_BYTES)
    personal: dict[str, Any] = {}
    context = _without_personal(_plain(entry.context or {}, "context"), "context", kind, personal)
    if actor.name:
        context.setdefault(actor.kind.lower(), text(actor.name, "actor"))
    changes = _plain_changes(entry.changes, kind, personal)
    _check_size(context, changes, personal)
    identity = {
        "user_email": text(actor.email, "user_email") if actor.email else None,
        "source_ip": _short(actor.source_ip, "source_ip", MAX_ADDRESS) if actor.source_ip else None,
        "user_agent": _header(actor.user_agent) if actor.user_agent else None,
    }
    content = {
        "v": HASH_VERSION,
        "organization_id": plain(entry.organization_id or actor.organization_id),
        "user_id": plain(actor.user_id),
        "actor_kind": str(actor.kind),
        "credential_id": plain(actor.credential_id),
        "interface": str(actor.interface),
        "correlation_id": plain(actor.correlation_id),
        "action_type": kind.name,
        "action_description": text(entry.description, "description")[:MAX_DESCRIPTION],
        "resource_type": _short(entry.resource_type, "resource_type"),
        "resource_id": _short(str(entry.resource_id), "resource_id"),
        "result": str(entry.result),
        "occurred_at": plain(entry.occurred_at or timezone.now(), "occurred_at"),
        "context": context,
        "changes": changes,
        "personal": {
            path: None if value is None else digest(salt, value) for path, value in (identity | personal).items()
        },
    }
    if entry.result == SUCCESS:
        _check_required(kind, content, personal)
    hashed = canonical(content)
    return {
        **{name: value for name, value in content.items() if name not in ("v", "personal", "context", "changes")},
        **identity,
        "context": canonical(context).decode(),
        "changes": None if changes is None else canonical(changes).decode(),
        "personal": canonical(personal).decode(),
        "salt": salt,
        "content": hashed.decode(),
        "hash_version": HASH_VERSION,
        "content_hash": hashlib.sha256(hashed).digest(),
    }


def _plain_changes(
    changes: Mapping[str, Any] | None, kind: registry.ActionType, personal: dict[str, Any]
) -> dict[str, Any] | None:
    if changes is None:
        return None
    if unknown := changes.keys() - {"before", "after"}:
        raise UnauditableValueError(f"changes are before and after, not {', '.join(sorted(unknown))}", "changes")
    sides = {side: _plain(changes.get(side), side) for side in ("before", "after")}
    return {
        side: _without_personal(value, side, kind, personal) if isinstance(value, dict) else value
        for side, value in sides.items()
    }


def _without_personal(
    values: dict[str, Any], place: str, kind: registry.ActionType, personal: dict[str, Any]
) -> dict[str, Any]:
    """`values` without the personal ones, which move to `personal` under their path."""
    for key in kind.personal & values.keys():
        if isinstance(values[key], dict | list):
            raise UnauditableValueError("a personal value must be text or a number", f"{place}.{key}")
        personal[f"{place}.{key}"] = values[key]
    return {key: value for key, value in values.items() if key not in kind.personal}


def _check_size(*parts: Any) -> None:
    size = sum(len(canonical(part)) for part in parts)
    if size > MAX_CONTEXT_BYTES:
        raise ContextTooLarge(
            f"Context and changes take {size} bytes; an audit entry holds {MAX_CONTEXT_BYTES}.",
            extra={"size": size, "limit": MAX_CONTEXT_BYTES},
        )


def _check_required(kind: registry.ActionType, content: Mapping[str, Any], personal: Mapping[str, Any]) -> None:
    for name in kind.required:
        place, _, key = name.partition(".")
        value = content[place] if not key else (content[place] or {}).get(key, personal.get(name))
        if value in (None, "", {}, []):
            raise IncompleteEntryError(f"{kind.name} requires {name}")


def _plain(value: Any, path: str) -> Any:
    try:
        return plain(value, path)
    except RecursionError:
        raise UnauditableValueError("nested too deeply", path) from None


def _short(value: str, path: str, limit: int = MAX_RESOURCE) -> str:
    normal = text(value, path)  # it may be longer than what was given
    if len(normal) > limit:
        raise UnauditableValueError(f"longer than {limit} characters", path)
    return normal


def _header(value: str) -> str:
    """A header as text: it is the caller's, so what cannot be stored is replaced and not refused."""
    return text(value[:MAX_USER_AGENT].encode("utf-8", "replace").decode().replace("\x00", "\ufffd"))
