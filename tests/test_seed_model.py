"""The data model of the original document (seed 000), walked: five models, seven value sets, relations, constraints."""

from __future__ import annotations

import pytest
from django.db import connection, models
from django.db.models import CheckConstraint, UniqueConstraint

from audit import registry
from audit.models import AuditLog
from blueprints.models import Blueprint, BundleType, OperatingSystem
from budgets.models import Budget
from costs.models import CostRecord
from workspaces.lifecycle import State
from workspaces.models import WorkSpace

FIELDS = {
    WorkSpace: {
        "service_type", "bundle_type", "operating_system", "state", "domain_joined", "domain_join_status",
        "domain_join_attempts", "cost_to_date", "auto_stop_timeout_minutes", "max_lifetime_days", "keep_alive",
        "stale_notified_at", "tags", "owner", "team", "blueprint", "created_at", "updated_at",
    },
    Blueprint: {
        "name", "version", "team", "parent_version", "configuration", "software_manifest", "operating_system",
        "created_by", "created_at", "updated_at",
    },
    CostRecord: {
        "workspace", "user", "team", "compute_cost", "storage_cost", "data_transfer_cost", "total_cost",
        "period_start", "period_end", "recorded_at",
    },
    Budget: {"scope", "scope_id", "amount", "spent", "period_start", "period_end", "created_at", "updated_at"},
    AuditLog: {
        "timestamp", "user_id", "user_email", "action_type", "action_description", "resource_type", "resource_id",
        "result", "source_ip", "user_agent", "interface", "context", "previous_log_hash", "log_hash",
    },
}  # fmt: skip


@pytest.mark.parametrize("model", FIELDS, ids=lambda model: model.__name__)
def test_each_model_has_the_fields_of_the_original(model):
    have = {field.name for field in model._meta.get_fields()}
    assert FIELDS[model] <= have, FIELDS[model] - have


def values(model: type[models.Model], field: str) -> set[str]:
    return {value for value, _ in model._meta.get_field(field).choices}


def test_the_seven_value_sets_are_complete():
    assert values(WorkSpace, "service_type") == {"WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"}
    assert set(BundleType.values) == {
        "STANDARD", "PERFORMANCE", "POWER", "POWERPRO", "GRAPHICS_G4DN", "GRAPHICSPRO_G4DN",
    }  # fmt: skip
    assert set(OperatingSystem.values) == {"WINDOWS", "LINUX"}
    assert {"PENDING", "AVAILABLE", "STOPPING", "STOPPED", "STARTING", "TERMINATED"} <= set(State.values)
    assert {"USER", "TEAM", "PROJECT"} <= values(Budget, "scope")
    assert values(AuditLog, "result") == {"SUCCESS", "FAILURE", "DENIED"}
    assert {"PORTAL", "CLI", "LUCY"} <= values(AuditLog, "interface")


def test_the_fifteen_action_types_of_the_original_are_declared():
    assert {
        "WORKSPACE_PROVISION", "WORKSPACE_START", "WORKSPACE_STOP", "WORKSPACE_TERMINATE", "BLUEPRINT_CREATE",
        "BLUEPRINT_UPDATE", "AUTH_LOGIN", "AUTH_LOGOUT", "AUTH_FAILED", "LUCY_PROVISION", "LUCY_QUERY",
        "LUCY_ACTION", "BUDGET_WARNING", "BUDGET_LIMIT_REACHED", "OTHER",
    } <= set(registry.names())  # fmt: skip


@pytest.mark.parametrize(
    ("model", "field", "target", "reverse"),
    [
        (WorkSpace, "blueprint", Blueprint, "workspaces"),
        (CostRecord, "workspace", WorkSpace, "cost_records"),
        (Blueprint, "parent_version", Blueprint, "child_versions"),
    ],
)
def test_relations_have_the_names_of_the_original(model, field, target, reverse):
    relation = model._meta.get_field(field)
    assert relation.related_model is target
    assert relation.remote_field.get_accessor_name() == reverse


def unique_sets(model: type[models.Model]) -> list[set[str]]:
    return [set(c.fields) for c in model._meta.constraints if isinstance(c, UniqueConstraint)]


def test_the_unique_constraints_of_the_original_hold():
    assert any({"name", "version", "team"} <= fields for fields in unique_sets(Blueprint))
    assert {"scope", "scope_id", "period_start"} in unique_sets(Budget)


@pytest.mark.django_db
@pytest.mark.parametrize("model", FIELDS, ids=lambda model: model.__name__)
def test_every_constraint_of_the_models_stands_in_postgresql(model):
    named = {c.name for c in model._meta.constraints if isinstance(c, CheckConstraint | UniqueConstraint)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
            " UNION SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE indrelid = %s::regclass",
            [model._meta.db_table, model._meta.db_table],
        )
        standing = {name for (name,) in cursor.fetchall()}
    assert named <= standing, named - standing


@pytest.mark.django_db
@pytest.mark.parametrize("model", [AuditLog, CostRecord], ids=lambda model: model.__name__)
def test_the_audit_log_and_cost_records_are_partitioned_by_month(model):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_partkeydef(%s::regclass), count(*) FROM pg_partition_tree(%s::regclass) WHERE level = 1",
            [model._meta.db_table, model._meta.db_table],
        )
        key, months = cursor.fetchone()
    assert key.startswith("RANGE")
    assert months >= 7
