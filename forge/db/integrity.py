"""Turning a violated constraint into the refusal that it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import IntegrityError, transaction


def violated_constraint(error: IntegrityError) -> str:
    """Name of the constraint that PostgreSQL reports, or an empty string."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""


@contextmanager
def refusing(refusals: Mapping[str, Exception]) -> Iterator[None]:
    """Run the block in a transaction; a violated constraint named in `refusals` raises its refusal instead."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        refusal = refusals.get(violated_constraint(error))
        if refusal is None:
            raise
        raise refusal from error
