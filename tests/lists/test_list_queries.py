"""Each list of the API and of the console asks as much of few rows as of many, as tests/query_counts.json has it.

The lists are those of the OpenAPI document and of the admin site; tests/lists/catalogue.py says what makes their rows.
"""

import re
from functools import partial

import pytest
import yaml
from django.contrib import admin
from django.urls import resolve

from forge.env import BASE_DIR
from tests import factories, query_counts
from tests import world as worlds
from tests.audit.walk.marks import browser, client_of
from tests.lists.catalogue import OF_LIST, PARTS, ROWS
from workspaces.bundles import BUNDLES

pytestmark = pytest.mark.django_db

FEW, MANY = 3, 12
API, CONSOLE, OF_LEAD = "API list", "console list", " as lead"
_PARAMETER = re.compile(r"{\w+}")

FIXED = {"/api/v1/bundles/": len(BUNDLES)}
"""Lists that are as long as a table in the code, whatever rows there are."""

QUERIES = {
    "/api/v1/bundles/": "region=us-east-1",
    "/api/v1/costs/forecast/": "group_by=user,project",
    "/api/v1/costs/timeseries/": "group_by=user,project",
}
"""What these lists are asked with: without it they are one row, or refuse."""

OF_OPERATORS = {
    "/api/v1/organizations/",
    "accounts/organization",
    "api/denialcount",
    "api/idempotencykey",
    "db/jobswitch",
}
"""Lists of which operators of the installation alone see many rows; the others are read by an admin."""


def lists_of_api():
    """The paths whose GET answers a list: an array, or an object with `results`."""
    document = yaml.load((BASE_DIR / "docs" / "openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    components = document["components"]["schemas"]
    return [
        path
        for path, methods in document["paths"].items()
        if "get" in methods and _is_list(methods["get"]["responses"]["200"], components)
    ]


def _is_list(answer, components):
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    schema = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return schema.get("type") == "array" or "results" in schema.get("properties", {})


def model_of(path):
    """The model of the view's rows."""
    return resolve(_PARAMETER.sub("0", path)).func.cls.queryset.model


LISTS = lists_of_api()
CHANGELISTS = {model._meta.label_lower.replace(".", "/"): model for model in admin.site._registry}


@pytest.fixture
def world():
    return worlds.build()


def readers_of(name, world):
    """Who reads the list, by how their figures are named: whoever sees most, and a lead, whose rows are chosen."""
    if name in OF_OPERATORS:
        return {"": factories.UserFactory(organization=None)}
    return {"": world.admin, OF_LEAD: world.lead}


def rows_shown(looks, world, make):
    """How many rows each look shows with few rows and with many; each time its queries are held to those on file.

    `looks` are functions that ask for the page and return its rows, by the name of their figure. One that shows none
    has no figure.
    """
    for _ in range(FEW):
        make(worlds.beside(world))
    seeing = {name: look for name, look in looks.items() if look()}  # what is asked or noted once, is so now
    assert {name for name in query_counts.on_file() if name in looks} <= seeing.keys()
    few = {name: len(query_counts.hold(name, look)) for name, look in seeing.items()}
    for _ in range(MANY - FEW):
        make(worlds.beside(world))
    return {name: (few[name], len(query_counts.hold(name, look))) for name, look in seeing.items()}


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("path", LISTS)
def test_a_list_of_the_api_asks_as_much_of_few_rows_as_of_many(world, path):
    address = f"{path}?{QUERIES.get(path, '')}"
    if path in PARTS:
        whole, part = PARTS[path]
        row = whole(worlds.beside(world))
        address, make = _PARAMETER.sub(str(row.pk), address), partial(part, row)
    else:
        make = OF_LIST.get(path) or ROWS[model_of(path)]

    def rows_of(client):
        answer = client.get(address)
        if answer.status_code == 403:
            return []
        assert answer.status_code == 200, answer.content
        body = answer.json()
        return body if isinstance(body, list) else body["results"]

    readers = {f"{API} {path}{suffix}": client_of(user, "API") for suffix, user in readers_of(path, world).items()}
    looks = {name: partial(rows_of, client) for name, client in readers.items()}
    for name, (few, many) in rows_shown(looks, world, make).items():
        if path in FIXED:
            assert few == many == FIXED[path]
        else:
            assert few >= FEW, name
            assert many >= few + MANY - FEW, name


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("name", CHANGELISTS)
def test_a_changelist_asks_as_much_of_few_rows_as_of_many(world, name):
    def rows_of(client):
        answer = client.get(f"/admin/{name}/")
        if answer.status_code == 403:
            return []
        assert answer.status_code == 200, answer.content
        return answer.context["cl"].result_list

    readers = {f"{CONSOLE} {name}{suffix}": browser(user) for suffix, user in readers_of(name, world).items()}
    looks = {figure: partial(rows_of, client) for figure, client in readers.items()}
    for figure, (few, many) in rows_shown(looks, world, ROWS[CHANGELISTS[name]]).items():
        assert few >= FEW, figure
        assert many >= few + MANY - FEW, figure


def test_each_list_has_what_makes_its_rows_and_a_figure_on_file_and_none_has_more():
    assert {path for path in LISTS if "{" in path} == PARTS.keys()
    plain = [path for path in LISTS if path not in OF_LIST and path not in PARTS]
    made = {model_of(path) for path in plain} | set(CHANGELISTS.values())
    assert made == ROWS.keys()
    assert OF_LIST.keys() | FIXED.keys() | QUERIES.keys() <= set(LISTS)
    assert {*LISTS, *CHANGELISTS} >= OF_OPERATORS
    lists = {f"{API} {path}" for path in LISTS} | {f"{CONSOLE} {name}" for name in CHANGELISTS}
    figures = {name for name in query_counts.on_file() if name.startswith((API, CONSOLE))}
    assert {name.removesuffix(OF_LEAD) for name in figures} == lists
    assert figures >= lists
