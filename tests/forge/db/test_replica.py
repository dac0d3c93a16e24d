"""What is read from a replica, and that nothing is written there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from costs.models import CostRecord
from forge.api import views
from forge.db import replica
from forge.db.replica import ReplicaRouter
from tests import world as worlds


def row(alias):
    return SimpleNamespace(_state=SimpleNamespace(db=alias))


def test_rows_come_from_the_replica_only_where_there_is_one(settings, monkeypatch):
    assert replica.of(CostRecord.objects.all()).db == "default"
    monkeypatch.setitem(settings.DATABASES, "replica", settings.DATABASES["default"])
    assert replica.of(CostRecord.objects.all()).db == "replica"


def test_what_was_read_there_is_written_to_the_primary():
    router = ReplicaRouter()
    assert router.db_for_write(CostRecord, instance=row("replica")) == "default"
    assert router.db_for_write(CostRecord, instance=row("owner")) is None
    assert router.db_for_write(CostRecord) is None
    assert router.allow_relation(row("replica"), row("default")) is True
    assert router.allow_relation(row("default"), row("owner")) is None


def test_nothing_is_migrated_there():
    assert ReplicaRouter().allow_migrate("replica", "costs") is False
    assert ReplicaRouter().allow_migrate("owner", "costs") is None


@pytest.mark.django_db
def test_lists_of_costs_may_lag_and_machines_budgets_operations_and_the_log_may_not(client, monkeypatch):
    lagging = []
    monkeypatch.setattr(views.replica, "of", lambda queryset: lagging.append(queryset.model.__name__) or queryset)
    client.force_login(worlds.build().admin)
    lists = ("costs/records", "costs/revisions", "costs/summary", "costs/reports/issued")
    for name in (*lists, "workspaces", "operations", "budgets", "audit", "blueprints"):
        client.get(f"/api/v1/{name}/")
    assert {"CostRecord", "CostRevision"} <= set(lagging)
    assert set(lagging) <= {"CostRecord", "CostRevision", "DailyCost", "IssuedReport"}
