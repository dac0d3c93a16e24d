"""How the verifier asks the database."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from psycopg import sql


def fetch(statement: str | sql.Composed, parameters: dict[str, Any] | None = None) -> list[tuple]:
    """The rows of a verifier's statement, in a transaction of its own without the limits of the web role."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Compiling the checks takes longer than most pieces; a time limit of the web role is not meant for this.
        cursor.execute("SET LOCAL jit = off; SET LOCAL statement_timeout = 0")
        cursor.execute(statement, parameters)
        return cursor.fetchall()
