"""Canonical bytes: equal to the reference, and the same after a round trip through PostgreSQL."""

import hashlib
import json
import unicodedata
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
import rfc8785
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.canonical import MAX_INTEGER, UnauditableValueError, canonical, digest, plain

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
KEYS = st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="\x00"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


def plain_or_none(value):
    try:
        return plain(value)
    except UnauditableValueError:  # two keys of one NFC form
        return None


@given(VALUES)
@settings(max_examples=400, deadline=None)
def test_canonical_bytes_equal_those_of_rfc8785(value):
    value = plain_or_none(value)
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_plain_values_are_a_fixed_point(value):
    once = plain_or_none(value)
    assert plain(once) == once


@pytest.mark.django_db
@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_a_value_comes_back_from_jsonb_with_the_same_canonical_bytes(value):
    value = plain_or_none(value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [canonical(value).decode()])
        assert canonical(json.loads(cursor.fetchone()[0])) == canonical(value)


@pytest.mark.django_db
@given(SCALARS)
@settings(max_examples=200, deadline=None)
def test_postgresql_writes_a_personal_value_in_its_canonical_bytes(value):
    value = plain(value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [canonical(value).decode()])
        assert cursor.fetchone()[0].encode() == canonical(value)


@pytest.mark.django_db
@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_postgresql_quotes_text_in_its_canonical_bytes(value):
    value = plain(value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(%s::text)::text", [value])
        assert cursor.fetchone()[0].encode() == canonical(value)


def test_values_of_python_become_values_of_json():
    noon = datetime(2026, 11, 30, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    team = uuid.UUID("01939b1e-0000-7000-8000-000000000001")

    assert plain(
        {"at": noon, "day": date(2026, 2, 28), "cost": Decimal("1E+2"), "team": team, "list": (1, True, None)}
    ) == {
        "at": "2026-11-30T12:00:00.000000Z",
        "day": "2026-02-28",
        "cost": "100",
        "team": "01939b1e-0000-7000-8000-000000000001",
        "list": [1, True, None],
    }


def test_text_is_brought_to_nfc():
    decomposed = unicodedata.normalize("NFD", "Jürgen")
    assert plain({decomposed: decomposed}) == {"Jürgen": "Jürgen"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"cost": {"total": 0.1}}, "cost.total: floats"),
        ({"n": [1, 2**53]}, r"n\[1\]: 9007199254740992 is beyond"),
        ({"n": -(2**53)}, "beyond"),
        ({"name": "a\x00b"}, "U\\+0000"),
        ({"name": "ü\ud800"}, "surrogate"),
        ({"cost": Decimal("NaN")}, "not a number"),
        ({"at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
        ({1: "a"}, "not text"),
        ({"\ue000": 1}, "U\\+D800"),
        ({"\U0001f600": 1}, "U\\+D800"),
        ({"é": 1, "e\u0301": 2}, "twice"),
        ({"tags": {"a", "b"}}, "sorted list"),
        ({"raw": b"bytes"}, "bytes has no canonical form"),
        ({"when": timedelta(1)}, "timedelta has no canonical form"),
    ],
)
def test_what_would_not_survive_is_refused_and_located(value, reason):
    with pytest.raises(UnauditableValueError, match=reason):
        plain(value)


def test_the_largest_integers_are_kept_exactly():
    assert canonical(plain([MAX_INTEGER, -MAX_INTEGER])) == b"[9007199254740991,-9007199254740991]"


def test_a_digest_is_salted():
    value = "ann@example.com"
    assert digest(b"a" * 16, value) != digest(b"b" * 16, value)
    assert digest(b"a" * 16, value) == hashlib.sha256(b"a" * 16 + b'"ann@example.com"').hexdigest()


def test_times_keep_six_digits():
    assert plain(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "value",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=12))),
    ],
)
def test_a_time_that_leaves_the_calendar_on_its_way_to_utc_is_refused(value):
    with pytest.raises(UnauditableValueError, match="out of range in UTC"):
        plain({"at": value})
