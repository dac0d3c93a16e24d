"""ETags of rows, and the If-Match that a change may be bound to.

A row's `version` is its ETag; one without is as old as its `updated_at`. Where services change rows with a version they
compare under their own lock (`require_version`); around all others stands `@conditional`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from forge.api.errors import BadRequest, PreconditionFailed

_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')


class InvalidIfMatch(BadRequest):
    code = "invalid_if_match"
    title = "The If-Match header cannot be read"
    suggested_action = "Send the ETag as it was given, with its quotes."


def etag_of(row: Any) -> str:
    """The strong ETag of a row: its version in quotes."""
    return f'"{version_of(row)}"'


def version_of(row: Any) -> str:
    """What changes with every change of the row."""
    if hasattr(row, "version"):
        return str(row.version)
    return f"{row.updated_at:%Y%m%dT%H%M%S.%f}"


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
    if expected is not None and version_of(row) not in expected:
        raise PreconditionFailed(
            "It was changed by somebody else meanwhile.", extra={"version": getattr(row, "version", version_of(row))}
        )


def conditional(method: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a viewset's method on one row obey If-Match; without the header it works as it is.

    The row is locked until its service has committed with it: nobody changes it between comparison and change.
    """

    @wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        expected = view.if_match
        if expected is None:
            return method(view, request, *args, **kwargs)
        with transaction.atomic():
            row = view.get_object()
            require_version(type(row).objects.select_for_update().get(pk=row.pk), expected)
            return method(view, request, *args, **kwargs)

    return wrapper
