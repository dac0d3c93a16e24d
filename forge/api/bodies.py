"""Bodies of requests, read without passing over what nobody reads: a misspelt field is a 400, not its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import BaseSerializer, ListSerializer, Serializer

from forge.api.errors import BadRequest, field_error, flatten_errors
from forge.api.pagination import suggestion

MAX_ERRORS = 50


def validated(serializer: BaseSerializer) -> Any:
    """The validated data of a serializer that was given a body; raises the 400 that names every wrong field."""
    errors = list(_unknown(serializer, serializer.initial_data))
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as refusal:
        errors += flatten_errors(refusal.get_full_details())
    if errors:
        raise BadRequest("Some fields are not valid.", errors=errors[:MAX_ERRORS])
    return serializer.validated_data


def _unknown(serializer: Any, data: Any, path: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """One error for each field of `data`, at whatever depth, that `serializer` does not read."""
    if isinstance(serializer, ListSerializer) and isinstance(data, list):
        for index, part in enumerate(data):
            yield from _unknown(serializer.child, part, (*path, str(index)))
    elif isinstance(serializer, Serializer) and isinstance(data, Mapping):
        known = {name: field for name, field in serializer.fields.items() if not field.read_only}
        for name, part in data.items():
            if name in known:
                yield from _unknown(known[name], part, (*path, name))
            else:
                shown = name[:80]
                yield field_error((*path, shown), "unknown", "Not known here.") | suggestion(shown, known)
