"""What is deprecated says so in each answer of its operation, and in the OpenAPI document."""

from datetime import UTC, date, datetime

import pytest
from django.utils.http import parse_http_date
from drf_spectacular.generators import SchemaGenerator

from forge.api.deprecations import deprecated
from tests.forge.api import urls

pytestmark = pytest.mark.django_db

AGING = "/api/v1/aging/"
HEADERS = {"Deprecation", "Sunset", "Link"}


def unix(*day):
    return int(datetime(*day, tzinfo=UTC).timestamp())


def test_an_answer_says_since_when_until_when_and_where_to_read_more(client):
    answer = client.get(AGING)
    assert answer.status_code == 200
    assert answer["Deprecation"] == f"@{unix(2026, 1, 1)}"  # a date of RFC 9651
    assert parse_http_date(answer["Sunset"]) == unix(2027, 1, 1)
    assert answer["Link"] == '</api/v1/docs/>; rel="deprecation"; type="text/html"'


def test_refusals_replays_and_head_say_it_too(client, make_client):
    key = {"HTTP_IDEMPOTENCY_KEY": "a"}
    answers = [client.post(AGING, {"job": "a"}, **key) for _ in range(2)] + [
        client.post(AGING, {"job": ""}),
        client.get(f"{AGING}?odd=1"),
        client.head(AGING),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 400, 200, 200]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert all(set(answer.headers) >= HEADERS for answer in answers)
    stranger = make_client()
    stranger.credentials()
    assert set(stranger.get(AGING).headers) >= HEADERS


def test_an_operation_that_stays_though_a_field_goes_has_the_link_alone(client):
    answer = client.get(f"{AGING}newest/")
    assert HEADERS & set(answer.headers) == {"Link"}


def test_what_is_not_deprecated_says_nothing(client):
    for answer in (client.get("/api/v1/runs/"), client.put(AGING), client.options(AGING)):
        assert not HEADERS & set(answer.headers)


def test_the_document_marks_the_operation_or_the_field():
    schema = SchemaGenerator(patterns=urls.urlpatterns).get_schema(request=None, public=True)
    marks = {"deprecated": True, "x-deprecated-since": "2026-01-01", "x-sunset": "2027-01-01"}
    aging = schema["paths"][AGING]
    assert aging["get"].items() >= marks.items()
    assert aging["post"]["x-sunset"] == "2028-01-01"
    assert "deprecated" not in schema["paths"][f"{AGING}newest/"]["get"]
    fields = schema["components"]["schemas"]["Switch"]["properties"]
    assert [name for name, field in fields.items() if "deprecated" in field] == ["reason"]
    assert fields["reason"].items() >= marks.items()


def test_callers_have_a_year():
    with pytest.raises(ValueError, match="365 days of notice"):
        deprecated(since=date(2026, 1, 1), sunset=date(2026, 12, 31))
