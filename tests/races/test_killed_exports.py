"""Workers killed with SIGKILL while they write a file of audit entries: every entry is in it once."""

from __future__ import annotations

import random
import signal
import time

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.exports import services
from audit.models import AuditExport, AuditExportPart
from forge.accounts.models import Membership
from forge.operations.models import Operation
from tests.audit.support import leave, person
from tests.audit.test_exports import ids_in, member
from tests.factories import OrganizationFactory
from tests.races import export_worker, forked

LEASE_SECONDS = 2


def wait_for(condition, deadline: float) -> None:
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.django_db(transaction=True)
def test_workers_killed_while_they_write_leave_a_whole_file(scale):
    kills, chance = scale(20, 1), random.Random(11)
    organization = OrganizationFactory()
    mine = [receipt.entry_id for receipt in leave(3_000 * kills, actor=person(organization_id=organization.id))]
    actor = Actor.of_user(member(organization, Membership.Role.AUDITOR))
    filters = {"resource_type": "Thing"}
    services.ask(actor=actor, organization_id=organization.id, form="csv", filters=filters, now=timezone.now())
    deadline = time.monotonic() + 60 + 10 * kills
    killed = 0
    while not Operation.objects.get().is_final and time.monotonic() < deadline:
        before = AuditExportPart.objects.count()
        running = forked.start(export_worker.main, LEASE_SECONDS)
        try:
            if killed < kills:
                wait_for(lambda before=before: AuditExportPart.objects.count() > before + 3, deadline)
                time.sleep(chance.uniform(0, 0.05))
                running.kill()
                running.join(timeout=10)
                assert running.exitcode == -signal.SIGKILL
                assert not Operation.objects.get().is_final
                killed += 1
            else:
                wait_for(lambda: Operation.objects.get().is_final, deadline)
        finally:
            running.kill()
            running.join(timeout=10)
    export = AuditExport.objects.get()
    assert killed == kills
    assert (Operation.objects.get().status, export.entries) == ("succeeded", len(mine))
    file = b"".join(services.content(export))
    assert len(file) == export.size
    assert ids_in(file, "csv") == mine
