"""Canonical bytes: the one spelling of a value that is hashed, equal to RFC 8785 (JCS) for all that is let in.

Only values that survive the round trip through PostgreSQL are let in: no floats (write a decimal as a string), whole
numbers below 2^53, text in NFC without U+0000, times in UTC with six digits. orjson sorts keys by their UTF-8 bytes
and RFC 8785 by their UTF-16 units; for keys below U+D800 that is the same order, and others are refused.
`tests/audit/test_canonical.py` holds the bytes against the reference implementation.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

MAX_INTEGER = 2**53 - 1
SALT_BYTES = 16


class UnauditableValueError(ValueError):
    """A value that has no canonical bytes; `path` says where it stands."""

    def __init__(self, reason: str, path: str) -> None:
        self.path = path
        super().__init__(f"{path or 'the value'}: {reason}")


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value that `plain` has made."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(salt: bytes, value: Any) -> str:
    """What stands for a personal value in the hashed content: SHA-256(salt || canonical value), in hex."""
    return hashlib.sha256(salt + canonical(value)).hexdigest()


def plain(value: Any, path: str = "") -> Any:
    """The value in JSON's own types; raises UnauditableValueError for what would not come back from the database."""
    match value:
        case str():
            return text(value, path)
        case None | bool():
            return value
        case dict():
            return _object(value, path)
        case int():
            if abs(value) > MAX_INTEGER:
                raise UnauditableValueError(f"{value} is beyond 2^53; write it as a string", path)
            return int(value)
        case float():
            raise UnauditableValueError("floats have no exact form; write a decimal string", path)
        case Decimal():
            if not value.is_finite():
                raise UnauditableValueError(f"{value} is not a number", path)
            return format(value, "f")
        case UUID():
            return str(value)
        case datetime():
            return timestamp(value, path)
        case date():
            return value.isoformat()
        case Mapping():
            return _object(value, path)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case AbstractSet():
            raise UnauditableValueError("a set has no order; pass a sorted list", path)
    raise UnauditableValueError(f"{type(value).__name__} has no canonical form", path)


def text(value: str, path: str = "") -> str:
    """Text in NFC; raises UnauditableValueError for U+0000 and for halves of surrogate pairs."""
    if value.isascii():
        if "\x00" in value:
            raise UnauditableValueError("text with U+0000", path)
        return str.__str__(value)
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UnauditableValueError("text with U+0000 or half of a surrogate pair", path)
    return unicodedata.normalize("NFC", value)


def timestamp(value: datetime, path: str = "") -> str:
    """A time as `2026-11-30T23:59:59.000001Z`; raises UnauditableValueError for one without a time zone, or that is
    before the year 1 or after 9999 in UTC."""
    if value.utcoffset() is None:
        raise UnauditableValueError("a time without a time zone", path)
    try:
        at = value.astimezone(UTC)
    except OverflowError as error:
        raise UnauditableValueError(f"{value.isoformat()} is out of range in UTC", path) from error
    return at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _object(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise UnauditableValueError(f"the key {key!r} is not text", path)
        name = text(key, path)
        if not name.isascii() and max(name) >= "\ud800":
            raise UnauditableValueError(f"the key {name!r} has a character from U+D800 on; pass a list of pairs", path)
        if name in result:
            raise UnauditableValueError(f"the key {name!r} stands twice", path)
        result[name] = plain(item, f"{path}.{name}" if path else name)
    return result
