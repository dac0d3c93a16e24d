"""ETags of rows that carry a `version`, and the If-Match that a change may be bound to."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest

from forge.api.errors import BadRequest, PreconditionFailed

_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')


class InvalidIfMatch(BadRequest):
    code = "invalid_if_match"
    title = "The If-Match header cannot be read"
    suggested_action = "Send the ETag as it was given, with its quotes."


def etag_of(row: Any) -> str:
    """The strong ETag of a row: its version in quotes."""
    return f'"{row.version}"'


def if_match(request: HttpRequest) -> frozenset[str] | None:
    """The versions that the caller will change, None for any (no header, or `*`); raises InvalidIfMatch."""
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    parts = text.split(",")
    found = [_ETAG.fullmatch(part) for part in parts]
    if not all(found):
        raise InvalidIfMatch("If-Match is a list of quoted ETags, or *.")
    return frozenset(match[1] for match in found if match)


def require_version(row: Any, expected: frozenset[str] | None) -> None:
    """Raise PreconditionFailed unless `row`, read under its lock, has one of the `expected` versions."""
    if expected is not None and str(row.version) not in expected:
        raise PreconditionFailed("It was changed by somebody else meanwhile.", extra={"version": row.version})
