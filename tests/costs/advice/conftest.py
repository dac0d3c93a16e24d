from datetime import date

import pytest
from django.db import connections

from forge.db import partitions
from tests import world as worlds
from workspaces.models import WorkSpace


@pytest.fixture(scope="package", autouse=True)
def sample_months(months, django_db_setup, django_db_blocker):
    """Partitions of samples for the months of these tests; they go with them."""
    with django_db_blocker.unblock():
        made = partitions.ensure("workspaces_usagesample", date(2026, 2, 1), date(2026, 6, 1))
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def world(db):
    assert not WorkSpace.objects.exists()
    return worlds.build()
