"""What goes wrong between Forge and WorkSpaces Applications: never two rights, never a right that nobody knows of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from audit.models import AuditLog
from costs.metering import ensure_months, meter
from costs.models import CostRecord
from forge.operations.models import Operation
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of
from tests.workspaces.test_applications import associated, connect, launched
from workspaces import aws
from workspaces.aws import clients
from workspaces.models import ProviderAccount, StateChange, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.reconciling.run import ReconcileFailed


@pytest.fixture(autouse=True)
def stack(world, simulator, clock, settings):
    settings.FORGE_AWS_READ_TIMEOUT = 0.5
    streams.stack(simulator, world.organization)
    streams.price()
    reconcile(now=clock.now)


@pytest.fixture
def engineer(world):
    return client_of(world.engineer)


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("operation", ["CreateUser", "BatchAssociateUserStack", "DescribeUserStackAssociations"])
@pytest.mark.parametrize("kind", ["throttling", "timeout_before", "timeout_after"])
def test_a_launch_comes_to_one_right_whatever_is_cut_off(engineer, simulator, clock, operation, kind):
    seconds = {} if kind == "throttling" else {"seconds": 0}
    simulator.control.fault(kind, operation=operation, count=2, **seconds)
    machine = launched(engineer, clock)
    assert machine.state == "AVAILABLE"
    assert associated(simulator) == [machine.directory_user]


def test_an_item_that_aws_could_not_process_is_asked_for_again(engineer, simulator, clock):
    simulator.control.fault("partial_failure", operation="BatchAssociateUserStack", count=1)
    machine = launched(engineer, clock)
    assert associated(simulator) == [machine.directory_user]


def test_a_full_user_pool_fails_the_launch_and_frees_the_person(engineer, simulator, clock):
    simulator.control.fault("resource_limit", operation="CreateUser", count=1)
    answer = engineer.post(WORKSPACES, streams.body(), format="json")
    operation = clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert (operation.status, operation.error["code"]) == ("failed", "LimitExceededException")
    assert WorkSpace.objects.get().state == "FAILED"
    assert associated(simulator) == []
    assert launched(engineer, clock).state == "AVAILABLE"


def test_a_stack_that_is_gone_by_then_fails_the_launch(engineer, simulator, clock):
    api = streams.api(simulator)
    api.disassociate_fleet(FleetName="engineering", StackName="engineering")
    api.delete_stack(Name="engineering")
    answer = engineer.post(WORKSPACES, streams.body(), format="json")
    operation = clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert (operation.status, operation.error["code"]) == ("failed", "STACK_NOT_FOUND")


def test_a_fleet_of_another_size_is_not_what_was_paid_for(engineer, simulator, clock):
    api = streams.api(simulator)
    api.stop_fleet(Name="engineering")
    simulator.control.advance(3600)
    api.update_fleet(Name="engineering", InstanceType="stream.standard.2xlarge")
    answer = engineer.post(WORKSPACES, streams.body(), format="json")
    operation = clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert (operation.status, operation.error["code"]) == ("failed", "machine_discarded")
    assert "compute type is POWERPRO, not STANDARD" in operation.error["detail"]
    assert associated(simulator) == []


def resize(simulator, instance):
    """Somebody does it in AWS's own console."""
    api = streams.api(simulator)
    api.stop_fleet(Name="engineering")
    simulator.control.advance(3600)
    api.update_fleet(Name="engineering", InstanceType=instance)
    api.start_fleet(Name="engineering")
    simulator.control.advance(3600)


def test_a_fleet_that_was_resized_in_aws_is_billed_as_it_is_from_then_on(engineer, simulator, clock):
    streams.price(bundle_type="POWERPRO", hourly_amount=Decimal(3))
    machine = launched(engineer, clock)
    simulator.control.open_stream(connect(engineer, machine).json()["url"])
    reconcile(now=clock.now)
    resize(simulator, "stream.standard.2xlarge")
    resized_at = machine.state_since.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    assert reconcile(now=resized_at, dry_run=True)["drifted"] == 1
    assert [reconcile(now=resized_at)["drifted"] for _ in range(2)] == [1, 0]
    machine.refresh_from_db()
    assert (machine.bundle_type, machine.configured_at) == ("POWERPRO", resized_at)
    change = machine.configuration_changes.get()
    assert (change.before_bundle_type, change.after_bundle_type) == ("STANDARD", "POWERPRO")
    entry = AuditLog.objects.get(action_type="WORKSPACE_DRIFT")
    assert entry.changes == {"before": {"bundle_type": "STANDARD"}, "after": {"bundle_type": "POWERPRO"}}
    simulator.control.open_stream(connect(engineer, machine).json()["url"])
    reconcile(now=resized_at + timedelta(minutes=10))
    end = resized_at + timedelta(hours=2)
    ensure_months(machine.state_since, end)
    meter(now=end)
    records = CostRecord.objects.filter(workspace=machine).order_by("period_start")
    paid = {record.period_start: record.price.hourly_amount for record in records.select_related("price")}
    assert {amount for start, amount in paid.items() if start < resized_at} == {Decimal("0.2")}
    assert {amount for start, amount in paid.items() if start >= resized_at} == {Decimal(3)}


def test_an_instance_type_that_is_as_large_as_no_bundle_is_said_and_not_followed(engineer, simulator, clock):
    machine = launched(engineer, clock)
    resize(simulator, "stream.compute.large")
    figures = reconcile(now=machine.state_since + timedelta(hours=3))
    assert (figures["drifted"], figures["unexplained"]) == (0, 1)
    machine.refresh_from_db()
    assert machine.bundle_type == "STANDARD"


def test_a_stack_that_is_gone_ends_its_machines_and_no_other_is_left_unseen(world, engineer, simulator, clock):
    streams.stack(simulator, world.organization, "other")
    reconcile(now=clock.now)
    gone = launched(engineer, clock)
    kept = launched(client_of(world.lead), clock)
    WorkSpace.objects.filter(pk=kept.pk).update(directory_id="other", provider_id=f"other/{kept.directory_user}")
    user = {"StackName": "other", "UserName": kept.directory_user, "AuthenticationType": "USERPOOL"}
    api = streams.api(simulator)
    api.batch_associate_user_stack(UserStackAssociations=[user])
    api.disassociate_fleet(FleetName="engineering", StackName="engineering")
    api.delete_stack(Name="engineering")
    figures = reconcile(now=clock.now)
    assert (figures["seen"], figures["vanished"]) == (2, 1)
    assert dict(WorkSpace.objects.values_list("pk", "state")) == {gone.pk: "TERMINATED", kept.pk: "AVAILABLE"}


def test_the_only_machine_is_not_believed_gone_where_aws_does_not_show_its_stack(engineer, simulator, clock):
    machine = launched(engineer, clock)
    ProviderAccount.objects.update(account="210987654321")  # the wrong one: AWS answers, and shows nothing
    with pytest.raises(ReconcileFailed, match="1 of 1 machines absent"):
        reconcile(now=clock.now)
    machine.refresh_from_db()
    assert machine.is_live


def test_the_only_machine_is_not_believed_gone_where_another_account_has_a_stack_of_that_name(
    world, engineer, simulator, clock, monkeypatch
):
    """Credentials of another account: AWS answers them, and its stacks may bear the same names."""
    machine = launched(engineer, clock)
    other = "210987654321"
    streams.stack(simulator, world.organization, "engineering", account=other)
    real = clients.session_of
    with monkeypatch.context() as wrong:
        wrong.setattr(clients, "session_of", lambda place, url: real(replace(place, account=other), url))
        clients.client_of.cache_clear()
        with pytest.raises(ReconcileFailed, match="1 of 1 machines absent"):
            reconcile(now=clock.now)
    clients.client_of.cache_clear()
    machine.refresh_from_db()
    assert machine.is_live
    assert associated(simulator) != []


def test_a_launch_that_is_called_off_leaves_no_right(engineer, simulator, clock):
    simulator.control.fault("timeout_after", operation="BatchAssociateUserStack", count=1, seconds=0)
    answer = engineer.post(WORKSPACES, streams.body(), format="json")
    clock.work(rounds=2, seconds=30)
    assert len(associated(simulator)) == 1
    assert engineer.delete(f"{WORKSPACES}{answer.json()['id']}/").status_code == 202
    clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert WorkSpace.objects.get().state == "FAILED"
    assert associated(simulator) == []


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("operation", ["ExpireSession", "BatchDisassociateUserStack"])
@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "throttling"])
def test_an_end_goes_on_until_session_and_right_are_gone(engineer, simulator, clock, operation, kind):
    machine = launched(engineer, clock)
    simulator.control.open_stream(connect(engineer, machine).json()["url"])
    seconds = {} if kind == "throttling" else {"seconds": 0}
    simulator.control.fault(kind, operation=operation, count=1, **seconds)
    answer = engineer.delete(f"{WORKSPACES}{machine.id}/")
    clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    machine.refresh_from_db()
    assert machine.state == "TERMINATED"
    assert associated(simulator) == []
    sessions = streams.api(simulator).describe_sessions(StackName="engineering", FleetName="engineering")
    assert sessions["Sessions"] == []


def test_connecting_while_aws_is_not_reached_is_said_and_starts_nothing(engineer, simulator, clock):
    machine = launched(engineer, clock)
    engineer.post(f"{WORKSPACES}{machine.id}/stop/")
    clock.work(rounds=3)
    changes = StateChange.objects.filter(workspace=machine).count()
    simulator.control.fault("throttling", operation="CreateStreamingURL", count=1)
    answer = connect(engineer, machine)
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "aws_unavailable", "30")
    machine.refresh_from_db()
    assert machine.state == "STOPPED"
    assert StateChange.objects.filter(workspace=machine).count() == changes


def test_a_machine_that_is_ended_meanwhile_shows_no_url(engineer, clock, monkeypatch):
    machine = launched(engineer, clock)
    engineer.post(f"{WORKSPACES}{machine.id}/stop/")
    clock.work(rounds=3)
    made = []
    real = aws.ApplicationsGateway.streaming_url

    def ending(self, *args, **options):
        made.append(real(self, *args, **options))
        type(machine).objects.filter(pk=machine.pk).update(state="TERMINATING")  # ended by somebody meanwhile
        return made[-1]

    monkeypatch.setattr(aws.ApplicationsGateway, "streaming_url", ending)
    answer = connect(engineer, machine)
    assert answer.status_code == 409
    assert made[0].url not in answer.content.decode()


def test_many_rights_that_vanish_at_once_are_not_believed_gone(world, simulator, clock, settings):
    settings.FORGE_VANISHED_AT_MOST = 0
    for person in (world.engineer, world.lead, world.contractor):
        launched(client_of(person), clock)
    api = streams.api(simulator)
    api.delete_user(UserName=world.engineer.email, AuthenticationType="USERPOOL")
    api.delete_user(UserName=world.lead.email, AuthenticationType="USERPOOL")
    api.delete_user(UserName=world.contractor.email, AuthenticationType="USERPOOL")
    with pytest.raises(ReconcileFailed, match="3 of 3 machines absent"):
        reconcile(now=clock.now)
    assert set(WorkSpace.objects.values_list("state", flat=True)) == {"AVAILABLE"}
