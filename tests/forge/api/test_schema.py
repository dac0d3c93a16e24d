import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests.forge.api import urls

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema():
    GENERATOR_STATS.reset()
    generated = SchemaGenerator(patterns=urls.urlpatterns).get_schema(request=None, public=True)
    validate_schema(generated)
    return generated


def parameters(operation):
    return {(parameter["in"], parameter["name"]) for parameter in operation["parameters"]}


def test_every_operation_documents_its_problems(schema):
    for path in schema["paths"].values():
        for operation in path.values():
            assert operation["responses"]["400"] == {"$ref": "#/components/responses/Problem400"}
            assert {"401", "403", "429", "503"} <= set(operation["responses"])
    for shared in schema["components"]["responses"].values():
        problem = shared["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert problem["example"]["code"]


def test_a_list_documents_its_page_filters_orders_and_search(schema):
    operation = schema["paths"]["/api/v1/runs/"]["get"]
    assert {
        ("query", name) for name in ("cursor", "page_size", "ordering", "q", "outcome", "outcome__in")
    } <= parameters(operation)
    page = schema["components"]["schemas"]["PaginatedRunList"]
    assert set(page["properties"]) == {"next", "previous", "results"}
    ordering = next(parameter for parameter in operation["parameters"] if parameter["name"] == "ordering")
    assert "-started_at" in ordering["schema"]["enum"]


def test_a_detail_documents_neither_filters_nor_pages_but_404(schema):
    operation = schema["paths"]["/api/v1/runs/{id}/"]["get"]
    assert parameters(operation) == {("path", "id")}
    assert "404" in operation["responses"]


def test_an_idempotent_post_documents_its_header_dry_run_and_refusals(schema):
    operation = schema["paths"]["/api/v1/switches/"]["post"]
    assert {("header", "Idempotency-Key"), ("query", "dry_run")} <= parameters(operation)
    assert {"409", "413", "415", "422"} <= set(operation["responses"])
    assert "412" not in operation["responses"]


def test_a_change_of_a_versioned_row_documents_if_match(schema, monkeypatch):
    operation = schema["paths"]["/api/v1/switches/{id}/bump/"]["post"]
    assert ("header", "If-Match") in parameters(operation)
    assert "412" in operation["responses"]


def test_the_schema_is_served_to_anybody_on_both_forms_of_its_address(client):
    client.credentials()
    for address in ("/api/v1/schema", "/api/v1/schema/"):
        assert client.get(address, {"format": "json"}).status_code == 200
