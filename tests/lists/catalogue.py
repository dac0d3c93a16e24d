"""What makes a row of each list of the API and of the console, one table for all that are of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.models import (
    AuditCheckpoint,
    AuditExport,
    AuditLog,
    AuditVerification,
    LegalHold,
)
from blueprints.models import Blueprint, BlueprintBundle
from budgets.models import Budget, BudgetRaise, Reservation
from costs.models import (
    Advice,
    Bill,
    BilledMachine,
    BillGap,
    BookFault,
    CostRecord,
    CostRevision,
    DailyCost,
    IssuedReport,
    Price,
    ReportSubscription,
    TagKey,
)
from forge.accounts.models import ApiToken, Membership, Organization, Project, Team, User, UserSession
from forge.api.models import DenialCount, IdempotencyKey
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.outbox.models import Mail, Webhook, WebhookDelivery
from tests.audit.walk import rows as walk
from tests.lists import money, rows
from tests.world import World
from workspaces.models import (
    ApplicationStack,
    Attestation,
    Decision,
    Finding,
    LifecyclePolicy,
    ProviderAccount,
    Quarantine,
    RegionLatency,
    RegionPolicy,
    StateChange,
    UnmanagedMachine,
    WorkSpace,
)

Maker = Callable[[World], Any]

ROWS: dict[type, Maker] = {
    Advice: money.advice,
    ApiToken: walk.token,
    ApplicationStack: walk.stack,
    Attestation: walk.attestation,
    AuditCheckpoint: rows.checkpoint,
    AuditExport: walk.export,
    AuditLog: rows.entry,
    AuditVerification: rows.verification,
    Bill: money.bill,
    BillGap: money.bill_gap,
    BilledMachine: money.billed_machine,
    Blueprint: lambda world: world.blueprint,
    BlueprintBundle: rows.bundle,
    BookFault: money.book_fault,
    Budget: money.budget,
    BudgetRaise: money.budget_raise,
    CostRecord: money.cost_record,
    CostRevision: money.cost_revision,
    DailyCost: money.daily_cost,
    Decision: rows.decision,
    DenialCount: rows.denial_count,
    Finding: rows.finding,
    IdempotencyKey: rows.idempotency_key,
    IssuedReport: money.issued_report,
    JobRun: rows.job_run,
    JobSwitch: rows.job_switch,
    LegalHold: walk.hold,
    LifecyclePolicy: walk.policy,
    Mail: walk.mail,
    Membership: walk.membership,
    Operation: rows.operation,
    Organization: walk.empty_organization,
    Price: money.price,
    Project: lambda world: world.project,
    ProviderAccount: lambda world: world.account,
    Quarantine: rows.quarantine,
    RegionLatency: rows.latency,
    RegionPolicy: walk.region_policy,
    ReportSubscription: money.subscription,
    Reservation: money.reservation,
    StateChange: walk.machine,
    TagKey: money.tag_key,
    Team: lambda world: world.team,
    UnmanagedMachine: rows.unmanaged,
    User: lambda world: world.engineer,
    UserSession: walk.session,
    WorkSpace: rows.machine,
    Webhook: rows.webhook,
    WebhookDelivery: rows.delivery,
}
"""What makes a row of a list, by the model of its rows."""

OF_LIST: dict[str, Maker] = {
    "/api/v1/bundles/": money.price,
    "/api/v1/costs/forecast/": money.running_cost,
    "/api/v1/me/sessions/": rows.own_session,
    "/api/v1/service-accounts/": rows.service,
}
"""What makes a row of these lists, where ROWS has another one or none for the model of their view."""

PARTS: dict[str, tuple[Maker, Callable[[Any, World], Any]]] = {
    "/api/v1/budgets/{id}/reservations/": (money.budget, money.held_part),
    "/api/v1/workspaces/{id}/attributions/": (walk.machine, rows.former_attribution),
    "/api/v1/workspaces/{id}/configurations/": (walk.machine, rows.former_configuration),
    "/api/v1/workspaces/{id}/history/": (walk.machine, rows.state_change),
    "/api/v1/workspaces/{id}/leases/": (walk.machine, rows.lease),
    "/api/v1/workspaces/{id}/quarantines/": (walk.machine, rows.past_quarantine),
}
"""What makes the row in the address of a list, and what makes a row of the list."""
