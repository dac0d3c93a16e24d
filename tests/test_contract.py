"""The API keeps what it has promised.

A new promise is added by `RECORD_API_CONTRACT=1 python -m pytest tests/test_contract.py`. That refuses to take one
away: who breaks callers on purpose takes the lines out by hand, and says so in CHANGELOG.md.
"""

import os

import pytest
import yaml
from django.conf import settings
from jsonschema import Draft202012Validator

from tests import contract

FORMATS = Draft202012Validator.FORMAT_CHECKER


@pytest.fixture(scope="module")
def openapi():
    return yaml.load((settings.BASE_DIR / "docs" / "openapi.yaml").read_text(), Loader=yaml.CSafeLoader)


@pytest.fixture(scope="module")
def present(openapi):
    return contract.of(openapi)


def test_no_promise_is_broken_and_every_promise_is_on_file(present):
    promised = set(contract.FILE.read_text().splitlines()) if contract.FILE.exists() else set()
    assert contract.broken(promised, present) == []
    if os.environ.get("RECORD_API_CONTRACT"):
        contract.FILE.write_text("\n".join(sorted(promised | present)) + "\n")
        promised |= present
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
    assert told in contract.broken(contract.of(document()), contract.of(document(**changes)))


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
    assert contract.broken(contract.of(document()), contract.of(document(**changes))) == []


def test_a_new_address_may_demand_what_it_likes():
    later = document()
    later["paths"]["/more/"] = {"post": later["paths"]["/things/"]["post"]}
    later["components"]["schemas"]["MoreRequest"] = {"properties": {"name": NAME}, "required": ["name"]}
    assert contract.broken(contract.of(document()), contract.of(later)) == []


def test_an_address_that_is_gone_is_told():
    later = document()
    del later["paths"]["/things/"]["post"]
    assert "gone: POST /things/" in contract.broken(contract.of(document()), contract.of(later))
