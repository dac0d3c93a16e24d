"""A machine's life on moto and on the simulator: the same Forge, with nothing changed but AWS_ENDPOINT_URL.

moto has no StartWorkspaces, no StopWorkspaces, no connection status and nothing of WorkSpaces Applications; those are
held against the simulator alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from moto.server import ThreadedMotoServer

from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests import world as worlds
from tests.world import actor
from workspaces import aws, services
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import known, place_of
from workspaces.simulator import catalog
from workspaces.simulator.machine import INSTANT
from workspaces.simulator.server import Simulator
from workspaces.tagging.wanted import WORKSPACE

ACCOUNT = "123456789012"


@pytest.fixture(scope="module", params=["moto", "simulator"])
def cloud(request) -> Iterator[tuple[str, str]]:
    """The address of a server, and a directory of it."""
    if request.param == "simulator":
        with Simulator(port=0, durations=INSTANT) as running:
            yield running.url, catalog.directory_id("us-east-1")
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    yield url, directory_in(url)
    server.stop()


def directory_in(url):
    def client(service):
        place = aws.Place(region="us-east-1", account=ACCOUNT, is_simulated=True)
        return aws.clients.session_of(place, url).client(service, endpoint_url=url)

    network = client("ec2")
    vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        network.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    made = client("ds").create_directory(
        Name="corp.robco.example", Password="Password1", Size="Small", VpcSettings={"VpcId": vpc, "SubnetIds": subnets}
    )["DirectoryId"]
    client("workspaces").register_workspace_directory(DirectoryId=made, SubnetIds=subnets)
    return made


@pytest.fixture
def world(transactional_db, cloud, settings):
    url, directory_id = cloud
    settings.AWS_ENDPOINT_URL = url
    made = worlds.build(expire_at=timezone.now() + timedelta(days=30))
    ProviderAccount.objects.filter(pk=made.account.pk).update(directory_id=directory_id)
    return made


def carried_out(accepted):
    """The operation after workers have had their turns, half a minute apart."""
    now = timezone.now()
    for _ in range(8):
        run_due(limit=10, now=now)
        now += timedelta(seconds=30)
    return Operation.objects.get(pk=accepted.operation.pk)


def launched(world):
    answer = services.launch(
        actor=actor(world.engineer), spec=world.spec(tags={"cost-center": "r-100"}), now=timezone.now()
    )
    operation = carried_out(answer)
    assert operation.status == "succeeded", operation.error
    return WorkSpace.objects.select_related("provider_account").get(pk=answer.workspace.pk)


def test_a_launch_is_verified_and_bears_its_tags(world):
    machine = launched(world)
    assert machine.state == "AVAILABLE"
    assert machine.provider_id.startswith("ws-")
    gateway = aws.Gateway(place_of(machine.provider_account))
    tags = gateway.tags(machine.provider_id)
    assert tags["cost-center"] == "r-100"
    assert tags[WORKSPACE] == str(machine.pk)
    seen = gateway.look(known(machine))
    assert (seen.state, seen.bundle_type, seen.running_mode) == ("AVAILABLE", "STANDARD", "AUTO_STOP")


def test_a_machine_that_was_made_before_the_worker_died_is_found_and_not_made_again(world, monkeypatch):
    real = aws.Gateway.create

    def killed(self, wanted):
        real(self, wanted)
        raise aws.UnknownOutcome("Killed", "nobody heard the answer")

    with monkeypatch.context() as patched:
        patched.setattr(aws.Gateway, "create", killed)
        answer = services.launch(actor=actor(world.engineer), spec=world.spec(), now=timezone.now())
        run_due(limit=10, now=timezone.now())
    assert Operation.objects.get(pk=answer.operation.pk).status == "unknown"
    assert carried_out(answer).status == "succeeded"
    machine = WorkSpace.objects.select_related("provider_account").get(pk=answer.workspace.pk)
    shown = aws.Gateway(place_of(machine.provider_account)).find(
        directory_id=machine.directory_id, user_name=machine.directory_user
    )
    assert shown.provider_id == machine.provider_id


def test_an_end_leaves_nothing_behind(world):
    machine = launched(world)
    ended = services.terminate(actor=actor(world.engineer), workspace_id=machine.pk, now=timezone.now())
    assert carried_out(ended).status == "succeeded"
    gone = WorkSpace.objects.select_related("provider_account").get(pk=machine.pk)
    assert gone.state == "TERMINATED"
    gateway = aws.Gateway(place_of(gone.provider_account))
    assert gateway.find(directory_id=gone.directory_id, user_name=gone.directory_user) is None


def test_a_directory_that_is_not_there_fails_the_launch(world):
    ProviderAccount.objects.filter(pk=world.account.pk).update(directory_id="d-9067ffffff")
    answer = services.launch(actor=actor(world.engineer), spec=world.spec(), now=timezone.now())
    operation = carried_out(answer)
    assert operation.status == "failed"
    assert operation.error["code"].startswith("ResourceNotFound")
    assert WorkSpace.objects.get(pk=answer.workspace.pk).state == "FAILED"


def test_the_stacks_of_an_organization_are_asked_for_by_their_tag(world):
    assert aws.StackCatalogue(place_of(world.account)).offered_to(world.organization.slug) == []
