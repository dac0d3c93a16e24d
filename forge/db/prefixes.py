"""What begins with some letters, whatever their case, found in ways that row-level security lets an index answer.

Before a row's policy has let it pass, PostgreSQL evaluates nothing that could tell of it. LIKE, lower() and trigrams
are not leakproof, so on an isolated table they are no condition of an index, and every row is read. Comparing text is
leakproof: what is searched stands in a column of its own, generated in lower case and collated "C", where everything
that begins with `ann` lies between `ann` and `ann` followed by the last character that there is.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, GeneratedField, Q, Value
from django.db.models.functions import Lower

LAST = "\U0010ffff"


def searched(expression: Any, *, max_length: int) -> GeneratedField:
    """A column with the text of `expression` as it is searched."""
    letters = CharField(max_length=max_length, db_collation="C")
    return GeneratedField(expression=Lower(expression), output_field=letters, db_persist=True)


def begins_with(column: str, words: str) -> Q:
    """The rows whose `searched` column begins with `words`; PostgreSQL lowers both sides, by the same rules."""
    return Q(**{f"{column}__gte": Lower(Value(words)), f"{column}__lt": Lower(Value(words + LAST))})
