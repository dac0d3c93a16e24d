"""JSON as strictly as a service that handles money should read it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.parsers import BaseParser

from forge.api.errors import MalformedBody

MAX_DEPTH = 32
_MAX_INTEGER = 2**63 - 1


class StrictJSONParser(BaseParser):
    """One JSON object in UTF-8: no NaN, NUL, lone surrogate, doubled key, bottomless nesting or endless number.

    The size limit is Django's DATA_UPLOAD_MAX_MEMORY_SIZE: the body is read through the request, which also keeps
    it for the idempotency hash.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        request = (parser_context or {}).get("request")
        return loads(stream.read() if request is None else request._request.body)


def loads(body: bytes) -> dict[str, Any]:
    """The object in `body`; raises MalformedBody saying what is wrong."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8.") from None
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except json.JSONDecodeError as exc:
        raise MalformedBody(f"The body is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno}).") from None
    except ValueError:  # Python refuses to read integers of more than 4,300 digits
        raise MalformedBody("A number in the body is too long.") from None
    if not isinstance(data, dict):
        raise MalformedBody("The body must be one JSON object.")
    _check_values(data)
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise MalformedBody(f"The key {json.dumps(key[:80])} stands twice in one object.")
        members[key] = value
    return members


def _no_constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is not a JSON number.")


def _check_values(data: dict[str, Any]) -> None:
    pending: list[tuple[Any, int]] = [(data, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")
        match value:
            case dict():
                pending.extend((part, depth + 1) for part in value.values())
                for key in value:
                    _check_text(key)
            case list():
                pending.extend((part, depth + 1) for part in value)
            case str():
                _check_text(value)
            case float() if not math.isfinite(value):
                raise MalformedBody("A number in the body is too large.")
            case int() if abs(value) > _MAX_INTEGER:
                raise MalformedBody("A number in the body is too large.")


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise MalformedBody("Text in the body contains a NUL character.")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedBody("Text in the body contains half of a surrogate pair.")
