"""One row more for each list: made in a world of its own, so that no two rows share a team, an owner or a machine.

What the lists show beside a row is then another object for each row, and a list that asks for it row by row asks
more often the longer it is.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from audit import actions
from audit.models import (
    AuditCheckpoint,
    AuditLog,
    AuditPublication,
    AuditVerification,
)
from audit.services import record
from blueprints.models import BlueprintBundle
from forge.accounts.models import User, UserSession
from forge.accounts.services import create_service_account
from forge.api.models import DenialCount, IdempotencyKey
from forge.db.ids import uuid7
from forge.db.models import JobRun, JobSwitch
from forge.operations.models import Operation
from forge.outbox.models import Webhook, WebhookDelivery
from forge.outbox.webhooks.pings import ping_of
from tests import factories
from tests.audit.walk import rows as walk
from tests.world import World, actor
from workspaces.models import (
    Decision,
    Finding,
    Quarantine,
    RegionLatency,
    UnmanagedMachine,
    WorkLease,
    WorkSpace,
)

DAY = timedelta(days=1)
_number = itertools.count(1)


# -- people and places -------------------------------------------------------------------------------------------------
def own_session(world: World) -> UserSession:
    """Where the admin, who reads the list, is signed in."""
    return walk.session(replace(world, engineer=world.admin))


def service(world: World) -> User:
    """A service account with a role in the team."""
    facts = {"organization": world.organization, "role": "engineer", "team": world.team, "now": timezone.now()}
    return create_service_account(actor=walk.COMMAND, name=f"service-{next(_number)}", **facts).user


def bundle(world: World) -> BlueprintBundle:
    return world.blueprint.bundles.get()


def machine(world: World) -> WorkSpace:
    """The engineer's, charged to the project, with an open finding and policies that bind it."""
    row = walk.leaving_its_project(world)
    Finding.objects.create(
        organization=world.organization, provider_account=world.account, workspace=row, subject=row.provider_id,
        check_name="protocol", severity="HIGH", found_at=timezone.now(),
    )  # fmt: skip
    walk.policy(world)
    return row


def finding(world: World) -> Finding:
    return machine(world).findings.get()


def decision(world: World) -> Decision:
    return Decision.objects.create(
        organization=world.organization, workspace=walk.machine(world), rule="idle", outcome="warned", inputs={},
        correlation_id=uuid7(), decided_at=timezone.now(),
    )  # fmt: skip


def quarantine(world: World) -> Quarantine:
    return walk.quarantined(world).quarantines.get()


def latency(world: World) -> RegionLatency:
    return RegionLatency.objects.create(
        organization=world.organization, place="berlin", region=world.account.region, milliseconds=90, source="a test"
    )


def unmanaged(world: World) -> UnmanagedMachine:
    return factories.UnmanagedMachineFactory(provider_account=world.account, owner=world.engineer, team=world.team)


# -- long work ---------------------------------------------------------------------------------------------------------
KINDS = ("workspace.launch", "workspace.bulk", "workspace.stop")


def operation(world: World) -> Operation:
    """Past its point of no return, so that what can still be called off is looked up; of the kinds by turns."""
    kind = KINDS[Operation.objects.count() % len(KINDS)]
    return walk.operation(
        world, kind=kind, cancellable=False, actor_id=world.lead.id, owner_id=world.engineer.id, team_id=world.team.id
    )


def job_run(world: World) -> JobRun:
    at = timezone.now()
    return JobRun.objects.create(
        job=f"job-{next(_number)}", slot=at, outcome="SUCCEEDED", started_at=at, finished_at=at
    )


def job_switch(world: World) -> JobSwitch:
    """Of an organization of its own, where there is nobody."""
    return JobSwitch.objects.create(job="meter_costs", organization_id=walk.empty_organization(world).id)


# -- what leaves the house ---------------------------------------------------------------------------------------------
def webhook(world: World) -> Webhook:
    return walk.webhook(world, owner_id=world.lead.id, team_id=world.team.id, is_about_money=False)


def delivery(world: World) -> WebhookDelivery:
    made = ping_of(webhook(world), now=timezone.now())
    made.save()
    return made


def idempotency_key(world: World) -> IdempotencyKey:
    at = timezone.now()
    return IdempotencyKey.objects.create(
        credential=f"user:{world.engineer.id}", key="k", request_hash=b"h", status=200, created_at=at,
        expires_at=at + DAY, organization_id=world.organization.id,
    )  # fmt: skip


def denial_count(world: World) -> DenialCount:
    at = timezone.now()
    return DenialCount.objects.create(
        minute=at.replace(second=0, microsecond=0), source_ip=f"203.0.113.{next(_number) % 256}",
        credential_prefix=uuid7().hex[-12:], status=401, count=3, last_at=at,
    )  # fmt: skip


# -- the audit log -----------------------------------------------------------------------------------------------------
def entry(world: World) -> AuditLog:
    """What the engineer did to a machine."""
    about = {"resource_type": "WorkSpace", "resource_id": str(walk.machine(world).id)}
    with transaction.atomic():
        record(actor=actor(world.engineer), action=actions.OTHER, description="Did a thing", **about)
    return AuditLog.objects.latest("timestamp", "id")


def checkpoint(world: World) -> AuditCheckpoint:
    """A signed one that has reached two sinks, written by the owner of the tables, as the sealer does."""
    number, at = AuditCheckpoint.objects.count() + 1, timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE forge_owner")
        made = AuditCheckpoint.objects.create(
            id=number, incarnation=1, origin="forge.test/audit", tree_size=number, root_hash=bytes(32), note="signed",
            sealed_at=at,
        )  # fmt: skip
        AuditPublication.objects.bulk_create(
            AuditPublication(checkpoint=made, sink=sink, published_at=at) for sink in ("log:", "directory:/checkpoints")
        )
        cursor.execute("RESET ROLE")
    return made


def verification(world: World) -> AuditVerification:
    at = timezone.now()
    return AuditVerification.objects.create(
        started_at=at, finished_at=at, scope="FULL", outcome="INTACT", correlation_id=uuid7()
    )


# -- parts of a machine ------------------------------------------------------------------------------------------------
def former_attribution(whole: WorkSpace, world: World) -> None:
    """PostgreSQL notes the former one by itself."""
    of = {"owner": world.engineer, "team": world.team, "project": world.project}
    WorkSpace.objects.filter(pk=whole.pk).update(**of)


def former_configuration(whole: WorkSpace, world: World) -> None:
    """PostgreSQL notes the former one by itself."""
    WorkSpace.objects.filter(pk=whole.pk).update(user_volume_gb=F("user_volume_gb") + 1)


def state_change(whole: WorkSpace, world: World) -> None:
    factories.write_history(whole, [(timezone.now(), "STOPPED")], source="AVAILABLE")


def lease(whole: WorkSpace, world: World) -> WorkLease:
    at = timezone.now()
    return WorkLease.objects.create(
        organization=world.organization, workspace=whole, until=at + DAY, reason="a reason", created_by=world.engineer,
        created_at=at,
    )  # fmt: skip


def past_quarantine(whole: WorkSpace, world: World) -> Quarantine:
    at = timezone.now()
    return Quarantine.objects.create(
        organization=world.organization, workspace=whole, began_at=at - DAY, kept_until=at, heir=world.lead,
        ended_at=at, outcome="RETURNED",
    )  # fmt: skip
