"""The cloud and the months of the examples."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from django.db import connections

from forge.db import partitions
from tests.workspaces.machine.sky import Sky


@pytest.fixture
def sky(settings) -> Iterator[Sky]:
    made = Sky()
    settings.AWS_ENDPOINT_URL = made.url
    yield made
    made.close()


@pytest.fixture
def months(transactional_db) -> Iterator[None]:
    """They go with the test."""
    made = partitions.ensure("costs_costrecord", date(2026, 3, 1), date(2026, 6, 1))
    yield
    with connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
