"""An entry as a line of CSV or NDJSON, and the first and last lines around it.

The last line says how many entries came before it, so a file or stream that was cut off is seen by its absence.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import orjson

from audit.canonical import canonical, timestamp

FIELDS = (
    "id", "timestamp", "occurred_at", "organization_id", "user_id", "user_email", "actor_kind", "credential_id",
    "interface", "action_type", "action_description", "resource_type", "resource_id", "result", "source_ip",
    "user_agent", "correlation_id", "context", "changes", "erased", "receipt", "hash_version", "content_hash",
    "previous_log_hash", "log_hash",
)  # fmt: skip
"""What is exported of an entry: the fields that the API shows, under the same names."""

_BEGINS_FORMULA = frozenset("=+-@")
_UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # control, format (zero-width, byte order mark), white space


def shown(entry: Any) -> dict[str, Any]:
    """The fields of an AuditLog row as JSON has them; personal values that were erased are null or left out."""
    return {
        "id": entry.id,
        "timestamp": timestamp(entry.timestamp),
        "occurred_at": timestamp(entry.occurred_at),
        "organization_id": _text(entry.organization_id),
        "user_id": _text(entry.user_id),
        "user_email": entry.user_email,
        "actor_kind": entry.actor_kind,
        "credential_id": _text(entry.credential_id),
        "interface": entry.interface,
        "action_type": entry.action_type,
        "action_description": entry.action_description,
        "resource_type": entry.resource_type,
        "resource_id": entry.resource_id,
        "result": entry.result,
        "source_ip": entry.source_ip,
        "user_agent": entry.user_agent,
        "correlation_id": str(entry.correlation_id),
        "context": entry.full_context,
        "changes": entry.full_changes,
        "erased": entry.erased,
        "receipt": str(entry.receipt),
        "hash_version": entry.hash_version,
        "content_hash": bytes(entry.content_hash).hex(),
        "previous_log_hash": bytes(entry.previous_log_hash).hex(),
        "log_hash": bytes(entry.log_hash).hex(),
    }


def safe_cell(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would take it for a formula.

    That is: = + - @ in any width as its first visible character, or a tab or line end at its beginning. Text that
    begins with an apostrophe gets one more, so taking one off the beginning of a cell gives back what was there.
    """
    if not text or text[0].isalnum():
        return text
    visible = next((letter for letter in text if unicodedata.category(letter) not in _UNSEEN), "")
    is_formula = unicodedata.normalize("NFKC", visible)[:1] in _BEGINS_FORMULA if visible else False
    return f"'{text}" if is_formula or text[0] in "'\t\r\n" else text


class Format(ABC):
    """One file format: `name` in addresses and file names, `media_type` in answers."""

    name: str
    media_type: str

    @abstractmethod
    def head(self) -> bytes:
        """What comes before the first entry."""

    @abstractmethod
    def line(self, fields: Mapping[str, Any]) -> bytes:
        """One entry, as `shown` gives it, with its line end."""

    @abstractmethod
    def tail(self, count: int) -> bytes:
        """The last line: that `count` entries came before it and none is missing."""


class Csv(Format):
    """RFC 4180 in UTF-8 without a byte order mark; every cell is quoted; context and changes are JSON.

    The last record is `complete` and the count, filled up with empty cells.
    """

    name = "csv"
    media_type = "text/csv; charset=utf-8"

    def head(self) -> bytes:
        return _record(list(FIELDS))

    def line(self, fields: Mapping[str, Any]) -> bytes:
        return _record([_cell(fields[name]) for name in FIELDS])

    def tail(self, count: int) -> bytes:
        return _record(["complete", str(count), *[""] * (len(FIELDS) - 2)])


class Ndjson(Format):
    """One JSON object per line; the last is {"count": …, "complete": true}."""

    name = "ndjson"
    media_type = "application/x-ndjson"

    def head(self) -> bytes:
        return b""

    def line(self, fields: Mapping[str, Any]) -> bytes:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    def tail(self, count: int) -> bytes:
        return orjson.dumps({"count": count, "complete": True}, option=orjson.OPT_APPEND_NEWLINE)


FORMATS: dict[str, Format] = {form.name: form for form in (Csv(), Ndjson())}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return safe_cell(value)
        case dict() | list():
            return canonical(value).decode()
    return str(value)


def _record(cells: list[str]) -> bytes:
    quoted = (cell.replace('"', '""') for cell in cells)
    return ('"' + '","'.join(quoted) + '"\r\n').encode()
