"""The content of a blueprint version as canonical bytes, and their hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

LARGEST_NUMBER = 2**53 - 1
"""Beyond it a number is not the same to everybody who reads JSON (RFC 8785)."""


def fault_of(document: Mapping[str, Any]) -> str | None:
    """Why a manifest or configuration cannot be hashed as it will be stored, in words; None when it can."""
    try:
        orjson.dumps([{"document": document}])
    except TypeError as error:
        return f"It has no canonical JSON: {error}."
    return _wrong_number(document, "")


def _wrong_number(value: Any, path: str) -> str | None:
    match value:
        case bool() | None | str():
            return None
        case int() | float():
            exact = math.isfinite(value) and abs(value) <= LARGEST_NUMBER
            return None if exact else f"{path}: {value} is beyond 2^53."
        case Mapping():
            parts = ((item, f"{path}.{key}" if path else str(key)) for key, item in value.items())
        case _:
            parts = ((item, f"{path}[{number}]") for number, item in enumerate(value))
    return next((fault for item, where in parts if (fault := _wrong_number(item, where))), None)


def content_hash(facts: Mapping[str, Any], bundles: Iterable[Mapping[str, str]]) -> str:
    """SHA-256 in hex over sorted JSON of what can be launched: facts and bundle rows, whatever their order."""
    rows = sorted(tuple(sorted(bundle.items())) for bundle in bundles)
    return hashlib.sha256(orjson.dumps([dict(facts), rows], option=orjson.OPT_SORT_KEYS)).hexdigest()
