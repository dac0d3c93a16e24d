import json

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from forge.api.errors import MalformedBody
from forge.api.parsers import MAX_DEPTH, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=5))
def test_every_sensible_object_is_read_as_it_was_written(value):
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": [-1e999]}', "too large"),
        (b'{"a": 9223372036854775808}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": "x\\u0000y"}', "NUL"),
        (b'{"x\\u0000y": 1}', "NUL"),
        (b'{"a": "x\x00y"}', "not JSON"),
        (b'{"a": ["\\ud800"]}', "surrogate"),
        (b'{"a": 1, "a": 2}', 'The key "a" stands twice'),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[1, 2]", "one JSON object"),
        (b'"text"', "one JSON object"),
        (b"null", "one JSON object"),
        (b"   ", "not JSON"),
        (b"{", "line 1, column 2"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested"),
        (b'{"a":' + b"[" * 60_000, "nested"),
        (b'{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}", "nested"),
    ],
)
def test_a_body_that_is_not_plain_json_is_refused_saying_why(body, told):
    with pytest.raises(MalformedBody, match=told.replace("[", r"\[")):
        loads(body)


def test_an_escaped_backslash_before_u0000_is_no_nul():
    assert loads(rb'{"a": "\\u0000"}') == {"a": "\\u0000"}


def test_nesting_up_to_the_limit_is_read():
    depth = MAX_DEPTH - 1
    assert loads(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_a_whole_surrogate_pair_is_read():
    assert loads(rb'{"a": "\ud83d\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize("key", ["", "k"])
def test_a_body_over_the_limit_is_a_413(client, key):
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1000):
        answer = client.post("/api/v1/switches/", {"job": "x" * 2000}, format="json", **headers)
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


@pytest.mark.parametrize("key", ["", "k"])
def test_a_body_that_cannot_be_read_is_a_400_with_its_reason(client, key):
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    answer = client.generic("POST", "/api/v1/switches/", b'{"job": NaN}', content_type="application/json", **headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed_body"
    assert "NaN" in answer.json()["detail"]


def test_a_missing_body_names_the_fields_that_it_needs(client):
    answer = client.post("/api/v1/switches/", content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/job"
