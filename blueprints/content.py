"""The content of a blueprint version as canonical bytes, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson


def content_hash(facts: Mapping[str, Any], bundles: Iterable[Mapping[str, str]]) -> str:
    """SHA-256 in hex over sorted JSON of what can be launched: facts and bundle rows, whatever their order."""
    rows = sorted(tuple(sorted(bundle.items())) for bundle in bundles)
    return hashlib.sha256(orjson.dumps([dict(facts), rows], option=orjson.OPT_SORT_KEYS)).hexdigest()
