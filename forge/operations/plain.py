"""Values as jsonb can hold them: what is recorded about a fault must never itself fail to be recorded."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

LONGEST_TEXT = 2000


def text(value: object) -> str:
    """`value` as text without NUL and lone surrogates, cut at LONGEST_TEXT characters."""
    cleaned = str(value).replace("\x00", "").encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= LONGEST_TEXT else cleaned[: LONGEST_TEXT - 1] + "…"


def plain(value: object) -> Any:
    """`value` with everything that JSON in PostgreSQL does not know turned into text: ids, money, times, NaN."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {text(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return text(value)
