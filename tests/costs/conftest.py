from datetime import date

import pytest
from django.db import connections

from forge.db import partitions
from tests.costs import spending


@pytest.fixture(autouse=True)
def spent(settings):
    """What metering hands to the budgets: (workspace id, hour, amount)."""
    settings.FORGE_SPEND_HOOKS = ["tests.costs.spending.collect"]
    spending.collected.clear()
    return spending.collected


@pytest.fixture(scope="package")
def months(django_db_setup, django_db_blocker):
    """Partitions from the first to the last month that the tests write; they go with the tests, some are years old."""
    with django_db_blocker.unblock():
        made = partitions.ensure("costs_costrecord", date(2019, 2, 1), date(2027, 7, 1))
    yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
