"""One small world for the tests of budgets: an organization, a team, a project, and machines that want in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from audit.actors import Actor
from budgets import guards
from budgets.models import Budget, Reservation
from forge.accounts.locks import lock_scopes
from forge.db.ids import uuid7
from forge.operations.models import Operation
from tests.factories import (
    BlueprintFactory,
    BudgetFactory,
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    ProviderAccountFactory,
    TeamFactory,
    UserFactory,
)
from workspaces.bundles import BUNDLES
from workspaces.intents import Intent
from workspaces.models import WorkSpace

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 1, tzinfo=UTC)
STANDARD = Decimal("21.75")
"""What a STANDARD AutoStop machine reserves on the first of a month: 9.75 + 40 · 0.30."""


@dataclass
class World:
    """Built once per test; `people` grows as machines are wanted."""

    organization: object = field(default_factory=OrganizationFactory)

    def __post_init__(self):
        self.team = TeamFactory(organization=self.organization)
        self.project = ProjectFactory(organization=self.organization)
        self.account = ProviderAccountFactory(organization=self.organization)
        self.blueprint = BlueprintFactory(organization=self.organization)

    def person(self, role="engineer", **fields):
        user = UserFactory(organization=self.organization, **fields)
        wide = role in ("finance", "auditor", "admin")
        MembershipFactory(user=user, team=None if wide else self.team, role=role)
        return user

    def scope_id(self, scope, user=None):
        return {
            "USER": user and user.id,
            "TEAM": self.team.id,
            "PROJECT": self.project.id,
            "ORGANIZATION": self.organization.id,
        }[scope]

    def budget(self, scope="TEAM", amount=100, *, user=None, **fields):
        return BudgetFactory(
            organization=self.organization,
            scope=scope,
            scope_id=self.scope_id(scope, user),
            amount=Decimal(amount),
            **fields,
        )

    def intent(self, *, now=MARCH, user=None, kind="launch", workspace=None, **fields):
        user = user or self.person()
        bundle_type = fields.pop("bundle_type", "STANDARD")
        return Intent(
            **{
                "kind": kind,
                "actor": Actor.of_user(user),
                "now": now,
                "organization": self.organization,
                "owner": user,
                "team": self.team,
                "project": self.project,
                "role": "engineer",
                "blueprint": self.blueprint,
                "bundle_type": bundle_type,
                "operating_system": "LINUX",
                "running_mode": "AUTO_STOP",
                "region": "us-east-1",
                "root_volume_gb": BUNDLES[bundle_type].root_volume_gb,
                "user_volume_gb": BUNDLES[bundle_type].user_volume_gb,
                "lifetime_end": now + timedelta(days=90),
                "workspace_id": workspace.id if workspace else uuid7(),
                "operation_id": uuid7(),
                "correlation_id": uuid7(),
                "workspace": workspace,
            }
            | fields
        )

    def launch(self, **fields):
        """A machine that went through the guard: PENDING, with its operation and reservations."""
        intent = self.intent(**fields)
        admit(intent, self.account)
        return WorkSpace.objects.get(pk=intent.workspace_id)

    def running(self, **fields):
        """A machine that was launched through the guard and is AVAILABLE since."""
        machine = self.launch(**fields)
        WorkSpace.objects.filter(pk=machine.pk).update(state="AVAILABLE", launched_at=machine.created_at)
        machine.refresh_from_db()
        return machine


def admit(intent, account):
    """Ask the guard inside a transaction that then writes machine and operation, as the launch service does."""
    with transaction.atomic():
        lock_scopes_of(intent)
        figures = guards.reserve(intent, dry_run=False)
        write_rows(intent, account)
    return figures


def lock_scopes_of(intent):
    lock_scopes(
        user_ids=[intent.owner.id],
        team_ids=[intent.team.id],
        project_ids=[intent.project.id if intent.project else None],
        organization_ids=[intent.organization.id],
    )


def write_rows(intent, account):
    """The machine and the operation of an admitted intent."""
    WorkSpace.objects.create(
        id=intent.workspace_id,
        organization=intent.organization,
        owner=intent.owner,
        team=intent.team,
        project=intent.project,
        name=f"machine {intent.workspace_id}",
        blueprint=intent.blueprint,
        bundle_type=intent.bundle_type,
        operating_system=intent.operating_system,
        running_mode=intent.running_mode,
        root_volume_gb=intent.root_volume_gb,
        user_volume_gb=intent.user_volume_gb,
        state="PENDING",
        state_since=intent.now,
        created_at=intent.now,
        provider_account=account,
        directory_id=account.directory_id,
        directory_user=str(intent.workspace_id),
        region=intent.region,
        max_lifetime_days=(intent.lifetime_end - intent.now).days,
    )
    Operation.objects.create(
        id=intent.operation_id,
        organization_id=intent.organization.id,
        actor_id=intent.owner.id,
        kind="workspace.launch",
        target_type="WorkSpace",
        target_id=intent.workspace_id,
        correlation_id=intent.correlation_id,
        next_attempt_at=intent.now,
        created_at=intent.now,
    )


def figures(budget):
    """(spent, reserved) as they stand."""
    row = Budget.objects.get(pk=budget.pk)
    return row.spent, row.reserved


def assert_sums_agree():
    """What every budget says is reserved is what its reservations hold, and nothing more."""
    for budget in Budget.objects.all():
        held = sum(Reservation.objects.live().filter(budget=budget).values_list("remaining", flat=True), Decimal(0))
        assert budget.reserved == held, budget
