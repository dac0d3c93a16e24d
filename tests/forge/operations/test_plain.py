import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from forge.operations.backoff import delay
from forge.operations.plain import LONGEST_TEXT, plain, text

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)
FIRST, CAP = timedelta(seconds=2), timedelta(minutes=5)


@settings(max_examples=60, deadline=None)
@given(ANYTHING)
def test_whatever_it_is_it_becomes_json_that_postgresql_stores(value):
    stored = json.dumps(plain(value), allow_nan=False)

    assert "\\u0000" not in stored.replace("\\\\", "")
    stored.encode()
    json.loads(stored).__repr__().encode()


def test_ids_money_and_times_become_text():
    value = {
        "id": UUID(int=7),
        "amount": Decimal("1.50"),
        "at": datetime(2026, 3, 2, tzinfo=UTC),
        "day": date(2026, 3, 2),
        "share": 0.5,
        "nan": float("nan"),
    }

    assert plain(value) == {
        "id": "00000000-0000-0000-0000-000000000007",
        "amount": "1.50",
        "at": "2026-03-02T00:00:00+00:00",
        "day": "2026-03-02",
        "share": 0.5,
        "nan": "nan",
    }


def test_long_text_is_cut():
    assert len(text("x" * 10_000)) == LONGEST_TEXT


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_lies_in_the_upper_half_of_what_doubles_up_to_the_cap(failures, fraction):
    pause = delay(failures, first=FIRST, cap=CAP, fraction=fraction)

    full = min(FIRST * 2 ** min(max(failures - 1, 0), 20), CAP)
    assert full / 2 <= pause <= full
