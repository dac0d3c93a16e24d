"""No index is made useless by another one's prefix, and docs/indexes.md says what each is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/indexes.md"
OURS = r"^(accounts|api|audit|blueprints|budgets|costs|db|operations|outbox|workspaces)_"

_INDEXES = """
    SELECT c.relname, i.relname, x.indisunique OR x.indisexclusion, x.indisprimary,
           ARRAY(SELECT pg_get_indexdef(x.indexrelid, n, true) FROM generate_series(1, x.indnkeyatts) n ORDER BY n),
           pg_get_expr(x.indpred, x.indrelid), a.amname
      FROM pg_index x
      JOIN pg_class c ON c.oid = x.indrelid
      JOIN pg_class i ON i.oid = x.indexrelid
      JOIN pg_am a ON a.oid = i.relam
     WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relname ~ %s
     ORDER BY 1, 2
"""


def indexes():
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES, [OURS])
        return cursor.fetchall()


@pytest.mark.django_db
def test_no_index_is_a_prefix_of_another():
    rows = indexes()
    useless = [
        f"{name} is a prefix of {other}"
        for table, name, unique, _, columns, predicate, method in rows
        for other_table, other, _, _, other_columns, other_predicate, other_method in rows
        if table == other_table
        and name != other
        and not unique
        and method == other_method == "btree"
        and other_predicate is None
        and columns == other_columns[: len(columns)]
        and (predicate is None or other_predicate == predicate)
    ]
    assert not useless


@pytest.mark.django_db
def test_the_document_tells_of_every_index_and_of_no_other():
    told = DOCUMENT.read_text()
    standing = {name for _, name, _, primary, *_ in indexes() if not primary}
    named = {line.split("`")[1] for line in told.splitlines() if line.startswith("| `")}
    assert named == standing
