"""The small API of tests/forge/api/support.py, and a caller of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from tests.forge.api import support


@pytest.fixture(autouse=True)
def small_api() -> Iterator[None]:
    """Every test here speaks to the small API, with the middleware of the kit only."""
    with override_settings(
        ROOT_URLCONF="tests.forge.api.urls",
        MIDDLEWARE=support.MIDDLEWARE,
        FORGE_REFUSAL_RECORDER="tests.forge.api.support.record_refusal",
        FORGE_RATE_TOKEN="",
        FORGE_RATE_USER="",
        FORGE_RATE_TEAM="",
        FORGE_RATE_ORGANIZATION="",
        FORGE_RATE_ALL="",
    ):
        yield
    support.ERRORS.clear()


@pytest.fixture
def make_client() -> Any:
    """Makes a client that calls as the person of that name, and gets errors as answers."""

    def make(name: str = "ann") -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {name}")
        return client

    return make


@pytest.fixture
def client(make_client: Any) -> APIClient:
    return make_client()
