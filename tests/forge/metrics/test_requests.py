"""Requests are counted by the template of their route, and nobody makes new series by what they send."""

from django.urls import get_resolver

from forge.metrics.requests import template_of
from tests.forge.metrics.support import Grown


def test_a_request_is_counted_and_timed_under_the_template_of_its_route(client, db):
    route = {"route": "/api/v1/operations/<pk>/", "method": "GET"}
    counted, timed = (
        Grown("forge_http_requests_total", **route, status="401"),
        Grown("forge_http_request_duration_seconds_count", **route),
    )
    for number in range(3):
        client.get(f"/api/v1/operations/{number}/")
    assert (counted(), timed()) == (3, 3)


def test_made_up_addresses_and_methods_make_no_further_series(client, db):
    nowhere = Grown("forge_http_requests_total", route="none", method="GET", status="404")
    odd = Grown("forge_http_requests_total", route="/healthz/", method="other", status="405")
    for number in range(4):
        client.get(f"/no/such/place/{number}")
        client.generic(f"BREW{number}", "/healthz")
    assert (nowhere(), odd()) == (4, 4)


def test_what_is_refused_before_any_route_is_counted_too(client, db):
    refused = Grown("forge_http_requests_total", route="none", method="GET", status="400")
    client.get("/api/v1/me/", headers={"host": "elsewhere.example"})
    assert refused() == 1


def test_probes_are_asked_by_address_and_other_pages_by_name(client, db, settings):
    settings.FORGE_METRICS_TOKEN = "token"
    by_address = {"host": "10.1.2.3:8000"}
    assert client.get("/healthz", headers=by_address).status_code == 200
    assert client.get("/readyz/", headers=by_address).status_code in (200, 503)
    assert client.get("/metrics", headers=by_address | {"authorization": "Bearer token"}).status_code == 200
    for page in ("/admin/login/", "/api/v1/me/", "/healthz/else"):
        assert client.get(page, headers=by_address).status_code == 400


def test_templates_hold_no_regular_expression():
    templates = {template_of(route) for route in _routes(get_resolver().url_patterns)}
    assert "/api/v1/operations/<pk>/cancel/" in templates
    assert [name for name in templates if set(name) & set("^$?(*\\[")] == []


def _routes(patterns, before=""):
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield route
