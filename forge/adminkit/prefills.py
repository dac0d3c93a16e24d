"""What an address writes into the fields of an add page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField


def readable(fields: Mapping[str, forms.Field], initial: dict[str, Any]) -> dict[str, Any]:
    """The same with instants read, in UTC; one that cannot be read is left out."""
    read = {}
    for name, value in initial.items():
        try:
            is_instant = isinstance(fields.get(name), forms.SplitDateTimeField | forms.DateTimeField)
            read[name] = _instant(value) if is_instant else value
        except (ValidationError, OverflowError):
            continue
    return read


def _instant(value: Any) -> datetime | None:
    at = DateTimeField().to_python(value)
    return at.astimezone(UTC) if at is not None and at.tzinfo else at
