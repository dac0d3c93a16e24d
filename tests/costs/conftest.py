from datetime import date
from unittest.mock import patch

import pytest
from django.db import connections

from forge.db import partitions
from forge.db.months import months as months_between
from tests.costs import spending

NOBODY_SPENDS = {
    *months_between(date(2019, 4, 1), date(2024, 2, 1)),
    *months_between(date(2024, 7, 1), date(2024, 11, 1)),
    *months_between(date(2025, 5, 1), date(2025, 10, 1)),
}
"""Months of no test: each that is there is looked into whenever a statement is planned."""


@pytest.fixture(autouse=True)
def spent(settings):
    """What metering hands to the budgets: (workspace id, hour, amount)."""
    settings.FORGE_SPEND_HOOKS = ["tests.costs.spending.collect"]
    spending.collected.clear()
    return spending.collected


@pytest.fixture(scope="package")
def months(django_db_setup, django_db_blocker):
    """Partitions of the months that the tests write; they go with the tests, some are years old."""
    archived = partitions.archived
    with patch.object(partitions, "archived", lambda *table: archived(*table) | NOBODY_SPENDS):
        with django_db_blocker.unblock():
            made = partitions.ensure("costs_costrecord", date(2019, 2, 1), date(2027, 7, 1))
        yield
    with django_db_blocker.unblock(), connections["owner"].cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
