"""One entry against itself: its hashes, its columns, its personal values. Format v1 of docs/audit.md, written anew.

This is on purpose another implementation than the one that writes entries: what both get wrong in the same way only
the specification could tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from . import layout

TAG = b"forge.audit.entry"
HASH_VERSION = 1
SALT_BYTES = 16

ENTIRELY, OTHERS = "entries", "about"
"""What an erasure has taken from a row; the keys under which the erasure names it."""

_HASHES = ("content_hash", "log_hash")
_DECODER = json.JSONDecoder()
_BEFORE_CONTENT, _BEFORE_HASH, _BEFORE_TIME = '"class_uid":6003,"content":', '"previous_log_hash":"', '"timestamp":"'
_PLACE = re.compile(r'"lane":([0-9]{1,5}),"lane_seq":([0-9]{1,15}),"leaf_index":([0-9]{1,19}),')
_OWN = frozenset(layout.PERSONAL_COLUMNS)
_PERSONAL_FIELDS = frozenset({"id", "salt", "personal", *_OWN})
_FIELDS = frozenset({*layout.COLUMNS, "personal", "v"})
_FIXED = struct.Struct(">BHQq")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_HASH = re.compile(r"[0-9a-f]{64}")


class BadRow(Exception):
    """The line does not hold; the message says what of it."""


class Row(NamedTuple):
    """What a line of an entry or neighbour proves: its hash, the one before it, its time, and what it says."""

    log_hash: bytes
    previous: bytes
    time: int
    content: dict[str, Any]


def microseconds(text: Any) -> int:
    """Since 2000-01-01 00:00 UTC, from the one spelling of a time; raises BadRow."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise BadRow("its time is not written as 2026-11-30T23:59:59.000001Z")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError as error:
        raise BadRow("its time does not exist") from error


def pick(text: str) -> Any:
    """Of an entry's line what all the rest of it follows from; the whole object where that is not found at once.

    It need not be right: `read_entry` takes a line only if it is, letter for letter, what it would have written itself.
    """
    start = text.find(_BEFORE_CONTENT)
    place = _PLACE.match(text, max(text.rfind('"lane":'), 0))
    hashed = text.rfind(_BEFORE_HASH) + len(_BEFORE_HASH)
    time = text.rfind(_BEFORE_TIME) + len(_BEFORE_TIME)
    if start < 0 or place is None:
        return json.loads(text)
    content, _ = _DECODER.raw_decode(text, start + len(_BEFORE_CONTENT))
    return {
        "lane": int(place[1]),
        "lane_seq": int(place[2]),
        "leaf_index": int(place[3]),
        "content": content,
        "previous_log_hash": text[hashed : hashed + 64],
        "timestamp": text[time : time + 27],
    }


def read_entry(text: str, value: Mapping[str, Any], *, index: int, lane: int, number: int) -> Row:
    """The row of an entry's line, if it stands at this leaf and says the same in all its fields; raises BadRow."""
    with contextlib.suppress(BadRow):
        expected, row = _rebuilt(value, index, lane, number)
        if expected == text:
            return row
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow("it is no JSON") from error
    expected, row = _rebuilt(whole, index, lane, number)
    if expected != text:
        raise BadRow(_difference(json.loads(expected), whole))
    return row


def _rebuilt(value: Mapping[str, Any], index: int, lane: int, number: int) -> tuple[str, Row]:
    """The line as it must be by its content, its time, the hash before it and its leaf; and what it proves."""
    content, time = value.get("content"), microseconds(value.get("timestamp"))
    if not isinstance(content, str):
        raise BadRow("it has no content")
    hashed, previous = hashlib.sha256(_utf8(content)).digest(), _hash(value.get("previous_log_hash"))
    log_hash = log_hash_of(lane=lane, number=number, time=time, previous=previous, content_hash=hashed)
    said = _content(content)
    place = {
        "leaf_index": index,
        "id": (lane << layout.LANE_SHIFT) + number,
        "lane": lane,
        "lane_seq": number,
        "timestamp": value["timestamp"],
        "hash_version": HASH_VERSION,
        "content": content,
        "content_hash": hashed.hex(),
        "previous_log_hash": value["previous_log_hash"],
        "log_hash": log_hash.hex(),
    }
    line = layout.entry_line(place, {name: said[name] for name in layout.COLUMNS})
    return line, Row(log_hash, previous, time, said)


def read_neighbour(text: str, value: Mapping[str, Any], *, index: int, lane: int, number: int) -> Row:
    """The row of a neighbour's line: its log hash proves its place and time; raises BadRow."""
    time, previous = microseconds(value.get("timestamp")), _hash(value.get("previous_log_hash"))
    content_hash = _hash(value.get("content_hash"))
    log_hash = log_hash_of(lane=lane, number=number, time=time, previous=previous, content_hash=content_hash)
    expected = {
        "leaf_index": index,
        "id": (lane << layout.LANE_SHIFT) + number,
        "lane": lane,
        "lane_seq": number,
        "timestamp": value["timestamp"],
        "hash_version": HASH_VERSION,
        "content_hash": content_hash.hex(),
        "previous_log_hash": previous.hex(),
        "log_hash": log_hash.hex(),
    }
    if layout.dump(expected) != text:
        raise BadRow(_difference(expected, value))
    return Row(log_hash, previous, time, {})


def log_hash_of(*, lane: int, number: int, time: int, previous: bytes, content_hash: bytes) -> bytes:
    """The hash that chains an entry to the one before it in its lane."""
    return hashlib.sha256(TAG + _FIXED.pack(HASH_VERSION, lane, number, time) + previous + content_hash).digest()


def check_personal(said: Mapping[str, Any], value: Mapping[str, Any]) -> str | None:
    """Hold the line of personal values against the digests in the content; raises BadRow.

    None when all agree; ENTIRELY when values and salt are gone, OTHERS when all but the actor's own columns are.
    """
    others, salt = value.get("personal"), value.get("salt")
    if value.keys() - _PERSONAL_FIELDS:
        raise BadRow("its line of personal values has a field that none has")
    if salt is None:
        if others is not None or any(value.get(name) is not None for name in layout.PERSONAL_COLUMNS):
            raise BadRow("a personal value stands without its salt")
        return ENTIRELY
    try:
        raw = bytes.fromhex(salt)
    except (TypeError, ValueError) as error:
        raise BadRow("its salt is not hexadecimal") from error
    if len(raw) != SALT_BYTES or not isinstance(others, dict | None):
        raise BadRow("its salt or its personal values are not what they must be")
    digests: dict[str, Any] = said["personal"]
    for name in layout.PERSONAL_COLUMNS:
        _check_value(raw, digests, name, value.get(name))
    if others is None:
        return OTHERS
    if others.keys() | _OWN != digests.keys():
        raise BadRow("its personal values are not those that its content names")
    for name, one in others.items():
        _check_value(raw, digests, name, one)
    return None


def _check_value(salt: bytes, digests: Mapping[str, Any], name: str, value: Any) -> None:
    digest = None if value is None else hashlib.sha256(salt + _utf8(layout.dump(value))).hexdigest()
    if name not in digests or digest != digests[name]:
        raise BadRow(f"its {name} does not hold against its digest")


def has_personal(said: Mapping[str, Any], form: str) -> bool:
    """Whether the content has a digest of a personal value that an erasure of this form takes."""
    own = layout.PERSONAL_COLUMNS if form == OTHERS else ()
    return any(digest is not None for name, digest in said["personal"].items() if name not in own)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadRow("it holds half of a surrogate pair") from error


def _content(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow("its content is no JSON") from error
    if (
        not isinstance(said, dict)
        or said.keys() != _FIELDS
        or not isinstance(said["personal"], dict)
        or said["v"] != HASH_VERSION
    ):
        raise BadRow("its content does not have the fields of version 1")
    return said


def _hash(text: Any) -> bytes:
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise BadRow("a hash of it is not 64 hexadecimal digits")
    return bytes.fromhex(text)


def _difference(expected: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Which field of a line is not what content, hashes and leaf say."""
    for name in (*_HASHES, *sorted(expected.keys() | value.keys())):
        if name in _HASHES and name in expected and value.get(name) != expected[name]:
            return f"its {name.replace('_', ' ')} does not hold"
        if name not in expected:
            return f"it has a field {name!r} that no entry has"
        if name not in value or layout.dump(value[name]) != layout.dump(expected[name]):
            return f"its {name} is not what its content, hashes and leaf say"
    return "it is not spelled as an entry is"
