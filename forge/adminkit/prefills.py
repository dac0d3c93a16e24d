"""What an address writes into the fields of an add page."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import DateTimeField
from django.db.models.options import Options


def readable(opts: Options, initial: dict[str, Any]) -> dict[str, Any]:
    """The same with instants read, in UTC; one that cannot be read is left out."""
    read = {}
    for name, value in initial.items():
        try:
            field = opts.get_field(name)
            if isinstance(field, DateTimeField):
                at = field.to_python(value)
                value = at.astimezone(UTC) if at is not None and at.tzinfo else at
        except FieldDoesNotExist:
            pass
        except (ValidationError, OverflowError):
            continue
        read[name] = value
    return read
