"""NUL in a header or cookie, from anybody, is no error of Forge."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import MembershipFactory

pytestmark = pytest.mark.django_db
PAGES = ["/", "/admin/", "/account/login/", "/api/v1/me/", "/healthz", "/readyz", "/metrics"]
COOKIES = ["sessionid", "csrftoken", "messages", "django_language"]
HEADERS = [
    "Authorization", "Idempotency-Key", "X-Request-ID", "If-Match", "If-None-Match", "User-Agent", "Accept",
    "Accept-Language", "Content-Type", "Cookie", "Origin", "Referer", "X-CSRFToken", "X-Forwarded-For", "Host",
]  # fmt: skip
SENT = [{"Cookie": rf'{name}="abcdefgh\000ijkl"'} for name in COOKIES]
SENT += [{name: "abcdefgh\x00ijkl"} for name in HEADERS]
SENT += [{"Authorization": f"Bearer forge_{'a' * 12}_\x00{'b' * 30}"}]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("headers", SENT, ids=lambda sent: next(iter(sent.values()))[:9] + "-" + next(iter(sent)))
def test_nul_in_a_header_or_cookie_is_no_error_of_ours(path, headers, method):
    answer = Client(raise_request_exception=False).generic(method, path, headers=headers)
    assert answer.status_code < 500 or path == "/readyz"
    assert answer.status_code != 500


@pytest.mark.parametrize("path", ["/healthz", "/healthz/"])
def test_healthz_does_not_read_the_session(client, django_assert_num_queries, path):
    client.force_login(MembershipFactory(role="admin", team=None).user)
    with django_assert_num_queries(0):
        assert client.get(path).status_code == 200
