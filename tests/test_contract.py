"""The API keeps what it has promised.

A new promise is added by `RECORD_API_CONTRACT=1 python -m pytest tests/test_contract.py`. That takes one away only
where it was deprecated and its sunset is past: forge.api.deprecations. CHANGELOG.md tells of both.
"""

import os
from datetime import UTC, date, datetime

import pytest
import yaml
from django.conf import settings
from jsonschema import Draft202012Validator

from tests import contract

TODAY = date(2026, 12, 1)
FORMATS = Draft202012Validator.FORMAT_CHECKER


@pytest.fixture(scope="module")
def openapi():
    return yaml.load((settings.BASE_DIR / "docs" / "openapi.yaml").read_text(), Loader=yaml.CSafeLoader)


@pytest.fixture(scope="module")
def present(openapi):
    return contract.of(openapi)


def test_no_promise_is_broken_and_every_promise_is_on_file(present):
    promised = set(contract.FILE.read_text().splitlines()) if contract.FILE.exists() else set()
    assert contract.broken(promised, present, today=datetime.now(UTC).date()) == []
    if os.environ.get("RECORD_API_CONTRACT"):
        contract.FILE.write_text("\n".join(sorted(present)) + "\n")
        promised = present
    new = sorted(present - promised)
    assert new == [], "record them: RECORD_API_CONTRACT=1 python -m pytest tests/test_contract.py"


def test_every_json_body_and_every_problem_has_an_example_that_its_schema_takes(openapi):
    operations = [operation for methods in openapi["paths"].values() for operation in methods.values()]
    asked = [operation["requestBody"]["content"] for operation in operations if "requestBody" in operation]
    bodies = [content["application/json"] for content in asked if "application/json" in content]
    problems = [shared["content"]["application/problem+json"] for shared in openapi["components"]["responses"].values()]
    for content in bodies + problems:
        assert "example" in content, content
        schema = {**content["schema"], "components": openapi["components"]}
        Draft202012Validator(schema, format_checker=FORMATS).validate(content["example"])
    assert len(bodies) > 40
    refused = [answer for one in operations for status, answer in one["responses"].items() if int(status) >= 400]
    assert all(answer["$ref"].startswith("#/components/responses/") for answer in refused)


def document(**changes):
    """A small API: a list with a filter, and a POST with one needed field."""
    thing = {"properties": {"id": {"type": "string", "format": "uuid"}, "size": {"$ref": "#/components/schemas/Size"}}}
    wanted = {"properties": {"name": {"type": "string"}, "note": {"type": "string"}}, "required": ["name"]}
    parts = {
        "parameters": [{"name": "size", "in": "query", "schema": {"type": "string"}}],
        "thing": thing,
        "wanted": wanted,
        "sizes": ["S", "M"],
    } | changes
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
    body = {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingRequest"}}},
        "required": True,
    }
    return {
        "paths": {
            "/things/": {
                "get": {"parameters": parts["parameters"], "responses": {"200": answer}},
                "post": {"requestBody": body, "responses": {"201": answer}},
            }
        },
        "components": {
            "schemas": {"Thing": parts["thing"], "ThingRequest": parts["wanted"], "Size": {"enum": parts["sizes"]}}
        },
    }


UUID = {"type": "string", "format": "uuid"}
SIZE = {"$ref": "#/components/schemas/Size"}
NAME = {"type": "string"}
BREAKING = {
    "a parameter is gone": ({"parameters": []}, "gone: GET /things/ takes size: string"),
    "a parameter is needed": (
        {"parameters": [{"name": "size", "in": "query", "required": True, "schema": {"type": "string"}}]},
        "new demand: GET /things/ needs size",
    ),
    "a field is gone": ({"thing": {"properties": {"id": UUID}}}, "gone: Thing.size: Size"),
    "a field has another type": (
        {"thing": {"properties": {"id": {"type": "integer"}, "size": SIZE}}},
        "gone: Thing.id: string uuid",
    ),
    "a field may be null": (
        {"thing": {"properties": {"id": {"type": ["string", "null"], "format": "uuid"}, "size": SIZE}}},
        "gone: Thing.id: string uuid",
    ),
    "a field of the body is needed": (
        {"wanted": {"properties": {"name": NAME, "note": NAME}, "required": ["name", "note"]}},
        "new demand: ThingRequest needs note",
    ),
    "a new field of the body is needed": (
        {"wanted": {"properties": {"name": NAME, "note": NAME, "why": NAME}, "required": ["name", "why"]}},
        "new demand: ThingRequest needs why",
    ),
    "a value is gone": ({"sizes": ["S"]}, "gone: Size = M"),
}


@pytest.mark.parametrize("change", BREAKING)
def test_what_breaks_callers_is_told(change):
    changes, told = BREAKING[change]
    assert told in contract.broken(contract.of(document()), contract.of(document(**changes)), today=TODAY)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sizes": ["S", "M", "L"]},
        {"thing": {"properties": {"id": UUID, "size": SIZE, "colour": NAME}}},
        {"wanted": {"properties": {"name": NAME, "note": NAME, "why": NAME}, "required": ["name"]}},
        {"wanted": {"properties": {"name": NAME, "note": NAME}}},
    ],
)
def test_what_only_adds_or_asks_for_less_breaks_nobody(changes):
    assert contract.broken(contract.of(document()), contract.of(document(**changes)), today=TODAY) == []


def test_a_new_address_may_demand_what_it_likes():
    later = document()
    later["paths"]["/more/"] = {"post": later["paths"]["/things/"]["post"]}
    later["components"]["schemas"]["MoreRequest"] = {"properties": {"name": NAME}, "required": ["name"]}
    assert contract.broken(contract.of(document()), contract.of(later), today=TODAY) == []


def test_an_address_that_is_gone_is_told():
    later = document()
    del later["paths"]["/things/"]["post"]
    assert "gone: POST /things/" in contract.broken(contract.of(document()), contract.of(later), today=TODAY)


def deprecated(sunset, since="2026-12-01"):
    """The small API, whose POST and whose field `size` are deprecated; only the POST knows ThingRequest."""
    marks = {"deprecated": True, "x-deprecated-since": since, "x-sunset": sunset}
    told = document(thing={"properties": {"id": UUID, "size": SIZE | marks}})
    told["paths"]["/things/"]["post"] |= marks
    return contract.of(told)


def without_what_was_deprecated():
    later = document(thing={"properties": {"id": UUID}})
    del later["paths"]["/things/"]["post"], later["components"]["schemas"]["ThingRequest"]
    del later["components"]["schemas"]["Size"]
    return contract.of(later)


def test_what_is_deprecated_stays_until_its_sunset():
    before, then = deprecated("2027-12-01"), without_what_was_deprecated()
    early = contract.broken(before, then, today=date(2027, 11, 30))
    assert {"gone: POST /things/", "gone: Thing.size: Size", "gone: ThingRequest.name: string", "gone: Size"} <= set(
        early
    )
    assert contract.broken(before, then, today=date(2027, 12, 1)) == []


def test_what_others_rely_on_outlives_a_sunset():
    before, then = deprecated("2026-01-01", since="2025-01-01"), without_what_was_deprecated()
    assert contract.broken(before, {line for line in then if not line.startswith("Thing.id")}, today=TODAY) == [
        "gone: Thing.id: string uuid"
    ]


def test_a_deprecation_alone_breaks_nobody_and_its_sunset_only_moves_away():
    near, far = deprecated("2027-12-01"), deprecated("2028-12-01")
    assert contract.broken(contract.of(document()), near, today=TODAY) == []
    assert contract.broken(near, far, today=TODAY) == []
    assert contract.broken(near, contract.of(document()), today=TODAY) == []
    assert "gone: POST /things/ until 2028-12-01" in contract.broken(far, near, today=TODAY)


def faults(*lines):
    """Of the POST and of the field, which were deprecated by one declaration."""
    return sorted(line.format(name) for line in lines for name in ("POST /things/", "Thing.size"))


@pytest.mark.parametrize("since", ["2026-11-30", "2026-12-02"])
def test_the_day_since_when_callers_were_told_stays_as_it_is(since):
    before, then = deprecated("2028-12-01"), deprecated("2028-12-01", since=since)
    moved = faults("moved: {} deprecated since 2026-12-01")
    assert contract.broken(before, then, today=TODAY) == moved
    assert contract.broken(before, then, today=date(2028, 12, 1)) == moved
    assert contract.broken(before, before, today=date(2028, 12, 1)) == []


def test_a_new_deprecation_is_not_backdated():
    before = contract.of(document())
    assert contract.broken(before, deprecated("2028-12-01"), today=TODAY) == []
    assert contract.broken(before, deprecated("2028-12-01"), today=date(2026, 12, 2)) == faults(
        "backdated: {} deprecated since 2026-12-01"
    )


def test_one_that_was_taken_back_begins_anew():
    told, later = deprecated("2028-12-01"), date(2027, 6, 1)
    taken_back = contract.of(document())
    assert contract.broken(told, taken_back, today=later) == []
    assert contract.broken(taken_back, told, today=later) == faults("backdated: {} deprecated since 2026-12-01")


def test_callers_have_a_year_from_the_day_on_which_they_were_told():
    before = contract.of(document())
    for promised in (before, deprecated("2027-11-30")):
        assert contract.broken(promised, deprecated("2027-11-30"), today=TODAY) == faults(
            "short notice: {} until 2027-11-30"
        )
    assert contract.broken(before, deprecated("2027-12-01"), today=TODAY) == []


def test_the_deprecations_of_the_api_are_on_file_with_both_days():
    on_file = contract.FILE.read_text().splitlines()
    assert {"Point.day deprecated since 2026-12-01", "Point.day until 2027-12-01"} <= set(on_file)
