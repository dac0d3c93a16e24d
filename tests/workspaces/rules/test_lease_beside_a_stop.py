"""A lease bound to what was read takes its locks in the order of every other: it waits for a stop that is ending."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from forge.operations import claims
from forge.operations.models import Operation
from tests.workspaces.rules.support import idle_samples, machine, run
from tests.workspaces.support import WORKSPACES, client_of
from workspaces.transitions import lock_machine, lock_scopes_of

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("is_bound", [False, True])
def test_a_lease_and_a_worker_that_ends_a_stop_do_not_wait_for_each_other(world, is_bound):
    now = timezone.now()
    idle = machine(world, since=now - 2 * HOUR)
    idle_samples(idle, now)
    run(now)
    run(now + timedelta(minutes=10))
    claim = claims.take(operation_id=Operation.objects.get().id, now=timezone.now() + timedelta(minutes=11))
    client = client_of(world.engineer)
    address = f"{WORKSPACES}{idle.pk}/"
    headers = {"HTTP_IF_MATCH": client.get(address)["ETag"]} if is_bound else {}
    wanted = {"until": (timezone.now() + HOUR).isoformat(), "reason": "a build"}
    statuses = []

    def lease():
        try:
            statuses.append(client.post(f"{address}leases/", wanted, format="json", **headers).status_code)
        finally:
            connection.close()

    with transaction.atomic():  # as a worker ends an operation: scopes, operation, machine
        lock_scopes_of(idle.pk)
        claim.lock()
        asking = threading.Thread(target=lease)
        asking.start()
        time.sleep(0.7)  # until it waits
        lock_machine(idle.pk)
    asking.join(30)
    assert len(statuses) == 1
    assert statuses[0] < 500
