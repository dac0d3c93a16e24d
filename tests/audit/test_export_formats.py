"""Lines of CSV and NDJSON: what a spreadsheet must not run, what a parser must get back, and where a file ends."""

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.api.serializers import AuditLogSerializer
from audit.exports.formats import FIELDS, FORMATS, safe_cell

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
BEGINNINGS = st.sampled_from(["", " ", "\t", "\r", "\n", "\u00a0", "\u200b", "\ufeff", "\u3000", "'", " \u200b "])
SIGNS = st.sampled_from(list("=+-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b'"))
CELLS = st.one_of(TEXT, st.builds(lambda a, b, c: a + b + c, BEGINNINGS, SIGNS, TEXT))
CSV, NDJSON = FORMATS["csv"], FORMATS["ndjson"]


def fields(**given):
    return dict.fromkeys(FIELDS) | {"context": {}, "changes": None} | given


def records(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


def runs_as_formula(cell: str) -> bool:
    """As spreadsheets judge: the first character that is seen, narrow or wide; or a leading tab or line end."""
    seen = "".join(letter for letter in cell if unicodedata.category(letter) not in ("Cc", "Cf", "Zs", "Zl", "Zp"))
    return unicodedata.normalize("NFKC", seen[:1])[:1] in {"=", "+", "-", "@"} or cell[:1] in {"\t", "\r", "\n"}


@given(CELLS)
def test_no_cell_is_a_formula_and_the_text_can_be_had_back(text):
    cell = safe_cell(text)
    assert not runs_as_formula(cell)
    assert cell.removeprefix("'") == text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        " =1",
        "\t=1",
        "\r=1",
        "\n=1",
        "\u00a0=1",
        "\u200b=1",
        "\ufeff=1",
        "\uff1d1",
        "\uff20a",
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "1-1", "198.51.100.7", "(=1)", '{"a": "=1"}', "é", "a\n=1"])
def test_other_text_stays_as_it_is(text):
    assert safe_cell(text) == text


@given(CELLS, CELLS)
def test_any_text_comes_back_from_csv_in_one_record(description, agent):
    line = CSV.line(fields(action_description=description, user_agent=agent))
    (record,) = records(line)
    assert len(record) == len(FIELDS)
    assert record[FIELDS.index("action_description")] == safe_cell(description)
    assert record[FIELDS.index("user_agent")] == safe_cell(agent)


@given(st.dictionaries(TEXT, CELLS, max_size=3))
def test_context_comes_back_from_both_formats(context):
    (record,) = records(CSV.line(fields(context=context)))
    assert json.loads(record[FIELDS.index("context")]) == context
    line = NDJSON.line(fields(context=context))
    assert line.count(b"\n") == 1
    assert json.loads(line)["context"] == context


def test_the_last_line_says_how_many_came_before_it():
    assert records(CSV.tail(12))[0][:2] == ["complete", "12"]
    assert len(records(CSV.tail(12))[0]) == len(records(CSV.head())[0]) == len(FIELDS)
    assert json.loads(NDJSON.tail(12)) == {"count": 12, "complete": True}


def test_an_export_has_the_fields_of_the_api():
    assert list(FIELDS) == AuditLogSerializer.Meta.fields
