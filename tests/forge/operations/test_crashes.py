"""A worker that dies at any line leaves no lost and no doubled work: the next one looks, and goes on."""

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction

from forge.db.ids import uuid7
from forge.env import BASE_DIR
from forge.operations import runner, services
from forge.operations.models import Operation
from forge.operations.runner import run_one
from tests.forge.operations.support import KIND, LEASE, NOW, ORGANIZATION, Killed

pytestmark = pytest.mark.django_db
Status = Operation.Status


@dataclass
class Cloud:
    """Makes a machine at each call, whether or not the caller lives to hear of it."""

    machines: list = field(default_factory=list)

    def create(self, tag):
        self.machines.append(tag)

    def find(self, tag):
        return [machine for machine in self.machines if machine == tag]


class Launch:
    """A launch in small: look, create, verify, write down; `reach` is every place where it can be killed."""

    def __init__(self, cloud, reach):
        self.cloud = cloud
        self.reach = reach

    def __call__(self, claim):
        tag = claim.operation.id
        self.reach("begin")
        claim.step("look")
        self.reach("looked")
        if not self.cloud.find(tag):
            claim.point_of_no_return()
            self.reach("before the call")
            self.cloud.create(tag)
            self.reach("after the call")
        claim.step("verify")
        self.reach("verified")
        with transaction.atomic():
            claim.lock()
            self.reach("locked")
            services.enqueue(  # stands for the business rows
                id=uuid7(),
                organization_id=ORGANIZATION,
                actor_id=None,
                kind=KIND,
                target_type="row",
                target_id=tag,
                spec={},
                correlation_id=uuid7(),
                now=NOW + timedelta(days=1),
            )
            self.reach("written")
            claim.succeed()
            self.reach("succeeded")
        self.reach("committed")


PLACES = [
    "begin", "looked", "before the call", "after the call", "verified", "locked", "written", "succeeded", "committed",
]  # fmt: skip


def run_with_deaths(handler, cloud, deaths, fault):
    """Run until it is done; the n-th run dies at the n-th of `deaths` with `fault`."""
    remaining = iter(deaths)
    now = NOW
    while Operation.objects.filter(target_type="workspace").open().exists():
        place = next(remaining, None)

        def reach(here, place=place):
            if here == place:
                raise fault

        handler.script = Launch(cloud, reach)
        try:
            run_one(now=now)
        except Killed:
            assert not connection.needs_rollback
        now += LEASE


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_place_it_is_done_once(enqueue, handler, place):
    operation = enqueue()
    cloud = Cloud()

    run_with_deaths(handler, cloud, [place], Killed())

    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert cloud.machines == [operation.id]
    assert Operation.objects.filter(target_type="row", target_id=operation.id).count() == 1
    assert operation.attempt == (1 if place == "committed" else 2)


@pytest.mark.parametrize("places", list(itertools.product(PLACES[:-1], repeat=2)), ids=" then ".join)
def test_killed_twice_it_is_done_once(enqueue, handler, places):
    operation = enqueue()
    cloud = Cloud()

    run_with_deaths(handler, cloud, places, Killed())

    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert cloud.machines == [operation.id]
    assert Operation.objects.filter(target_type="row", target_id=operation.id).count() == 1


@pytest.mark.parametrize("place", PLACES)
def test_a_bug_at_any_place_is_survived_likewise(enqueue, handler, place):
    operation = enqueue()
    cloud = Cloud()

    run_with_deaths(handler, cloud, [place], ValueError("a bug"))

    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert cloud.machines == [operation.id]
    assert Operation.objects.filter(target_type="row", target_id=operation.id).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_database_connection_cut_in_the_handler_is_opened_anew_for_the_record(enqueue, handler, superuser_connection):
    operation = enqueue()

    def script(claim):
        superuser_connection.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
        claim.step("create")

    handler.script = script
    assert runner.run_due(limit=1, now=NOW) == {"fault": 1}

    operation.refresh_from_db()
    assert (operation.status, operation.failures) == (Status.QUEUED, 1)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_gone_reaches_the_caller_and_the_lease_does_the_rest(enqueue, handler, monkeypatch):
    operation = enqueue()

    def gone(*arguments, **named):
        raise OperationalError("the server has gone away")

    def script(claim):
        monkeypatch.setattr(claim, "_settle", gone)
        gone()

    handler.script = script
    with pytest.raises(OperationalError):
        run_one(now=NOW)

    operation.refresh_from_db()
    assert operation.status == Status.RUNNING
    handler.reset()
    assert run_one(now=NOW + LEASE)
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED


WORKER = """
import sys, django
django.setup()
from django.conf import settings
from forge.db import scope
from forge.operations.runner import run_one
from tests.forge.operations.support import KIND, NOW, scripted

def script(claim):
    claim.step("create")
    claim.point_of_no_return()
    print(claim.token, flush=True)
    sys.stdin.read()

settings.FORGE_OPERATION_HANDLERS = {KIND: "tests.forge.operations.support.scripted"}
scripted.script = script
with scope.system():
    run_one(now=NOW)
"""


@pytest.mark.django_db(transaction=True)
def test_a_worker_process_killed_in_the_middle_of_a_call_is_taken_over_from(enqueue, handler):
    operation = enqueue()
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "forge.settings", "PYTHONPATH": str(BASE_DIR)}
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with worker:
        assert worker.stdout.readline() == "1\n"
        assert run_one(now=NOW) is False
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)

    operation.refresh_from_db()
    assert (operation.status, operation.cancellable) == (Status.RUNNING, False)
    assert run_one(now=NOW + LEASE) is True
    operation.refresh_from_db()
    assert (operation.status, operation.result, operation.attempt) == (Status.SUCCEEDED, {"done_by": 2}, 2)
