"""Looking through the log within bounds: what no index serves is read row by row, and not for longer than a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import OperationalError, transaction

from forge.api.errors import BadRequest
from forge.db.locks import statement_timeout

SEARCH_SECONDS = 10.0


class SearchTooWide(BadRequest):
    code = "search_too_wide"
    title = "This search reads too much of the log"
    suggested_action = "Narrow the time by timestamp__gte and timestamp__lt, or give a user_id, action or resource too."
    advice = "Narrow the time, or name a person, an action or a row too."


@contextmanager
def bounded() -> Iterator[None]:
    """Run the block's reads in one transaction; raises SearchTooWide when one of them takes SEARCH_SECONDS."""
    try:
        with transaction.atomic():
            statement_timeout(SEARCH_SECONDS)
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise SearchTooWide(f"It was given up after {SEARCH_SECONDS:g} seconds.") from error
        raise
