"""WorkSpaces Applications from the launch to the end: what a machine of it is, and what every action means."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from audit.actors import Actor
from audit.models import AuditLog
from costs.metering import ensure_months, meter
from costs.models import CostRecord
from forge.operations.models import Operation
from tests import factories
from tests.workspaces import streams
from tests.workspaces.support import WORKSPACES, client_of, entries, problem
from workspaces.models import ApplicationStack, ProviderAccount, StateChange, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.stacks import refresh_stacks


@pytest.fixture
def stack(world, simulator, clock):
    """A stack that streams and has a price, as Forge has seen it."""
    streams.stack(simulator, world.organization)
    streams.price()
    reconcile(now=clock.now)
    return ApplicationStack.objects.get()


@pytest.fixture
def engineer(world):
    return client_of(world.engineer)


def launched(client, clock, **changes):
    """A machine of the client's person, after its launch."""
    answer = client.post(WORKSPACES, streams.body(**changes), format="json")
    assert answer.status_code == 202, answer.content
    operation = clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert operation.status == "succeeded", operation.error
    return WorkSpace.objects.get(pk=answer.json()["id"])


def connect(client, machine, **body):
    return client.post(f"{WORKSPACES}{machine.id}/connect/", body, format="json")


def associated(simulator, name="engineering"):
    answer = streams.api(simulator).describe_user_stack_associations(StackName=name)
    return [row["UserName"] for row in answer.get("UserStackAssociations", ())]


def test_a_launch_gives_the_person_the_right_to_use_the_stack(world, engineer, stack, simulator, clock):
    machine = launched(engineer, clock, application_ids=["code-editor", "cad-viewer"], tags={"cost-center": "r-1"})
    assert machine.state == "AVAILABLE"
    assert (machine.service_type, machine.application_ids) == ("WORKSPACES_APPLICATIONS", ["code-editor", "cad-viewer"])
    assert (machine.directory_id, machine.directory_user) == ("engineering", world.engineer.email)
    assert (machine.root_volume_gb, machine.user_volume_gb, machine.blueprint) == (0, 0, None)
    assert (machine.domain_joined, machine.domain_join_attempts) == (False, 0)
    assert associated(simulator) == [world.engineer.email]
    shown = engineer.get(f"{WORKSPACES}{machine.id}/").json()
    assert shown["connection_url"] == f"http://testserver{WORKSPACES}{machine.id}/connect/"
    assert shown["actions"] == ["stop", "terminate", "connect", "keep-alive", "extend", "tag"]


def test_connecting_gives_a_short_lived_url_that_opens_a_session(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    answer = connect(engineer, machine, application_id="code-editor")
    assert answer.status_code == 200, answer.content
    access = answer.json()
    assert access["registration_code"] is None
    session = simulator.control.open_stream(access["url"])
    assert session["UserId"] == machine.directory_user
    entry = AuditLog.objects.get(action_type="WORKSPACE_CONNECT")
    assert access["url"] not in entry.content
    reconcile(now=clock.now)
    machine.refresh_from_db()
    assert (machine.state, machine.provider_state) == ("AVAILABLE", "AVAILABLE")
    assert machine.last_connected_at == clock.now


def test_a_machine_whose_session_is_over_is_stopped_and_connecting_starts_it(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    session = simulator.control.open_stream(connect(engineer, machine).json()["url"])
    reconcile(now=clock.now)
    streams.api(simulator).expire_session(SessionId=session["Id"])
    clock.now += timedelta(minutes=5)
    reconcile(now=clock.now)
    machine.refresh_from_db()
    assert machine.state == "STOPPED"
    assert engineer.get(f"{WORKSPACES}{machine.id}/").json()["actions"] == [
        "terminate",
        "connect",
        "keep-alive",
        "extend",
        "tag",
    ]
    problem(engineer.get(f"{WORKSPACES}{machine.id}/connect/"), 409, "opens_session")
    assert connect(engineer, machine).status_code == 200
    machine.refresh_from_db()
    assert machine.state == "AVAILABLE"
    change = StateChange.objects.filter(workspace=machine).latest("id")
    assert (change.from_state, change.reason) == ("STOPPED", "connect")
    shown = engineer.get(f"{WORKSPACES}{machine.id}/connect/")  # while there is something to come back to
    assert shown.json()["url"].startswith("https://appstream2.")


def test_a_machine_that_nobody_came_to_is_stopped_after_a_while(engineer, stack, clock):
    machine = launched(engineer, clock)
    launched_at = machine.state_since
    for minutes, state in ((5, "AVAILABLE"), (14, "AVAILABLE"), (15, "STOPPED")):
        reconcile(now=launched_at + timedelta(minutes=minutes))
        machine.refresh_from_db()
        assert machine.state == state, minutes


def test_a_session_behind_our_back_is_seen_and_paid(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    url = connect(engineer, machine).json()["url"]
    reconcile(now=machine.state_since + timedelta(minutes=20))
    simulator.control.open_stream(url)
    reconcile(now=machine.state_since + timedelta(minutes=25))
    machine.refresh_from_db()
    assert machine.state == "AVAILABLE"


def test_a_stop_ends_the_session(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    simulator.control.open_stream(connect(engineer, machine).json()["url"])
    answer = engineer.post(f"{WORKSPACES}{machine.id}/stop/")
    operation = clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    assert operation.status == "succeeded", operation.error
    machine.refresh_from_db()
    assert machine.state == "STOPPED"
    sessions = streams.api(simulator).describe_sessions(StackName="engineering", FleetName="engineering")
    assert sessions["Sessions"] == []


@pytest.mark.parametrize("action", ["start"])
def test_what_the_service_cannot_do_is_a_conflict_that_names_what_it_can(engineer, stack, clock, action):
    machine = launched(engineer, clock)
    document = problem(engineer.post(f"{WORKSPACES}{machine.id}/{action}/"), 409, "illegal_in_this_state")
    assert document["legal"] == ["stop", "terminate", "connect", "keep-alive", "extend", "tag", "move"]


def test_an_end_takes_the_right_and_the_session_away(engineer, stack, simulator, clock, world):
    machine = launched(engineer, clock)
    simulator.control.open_stream(connect(engineer, machine).json()["url"])
    answer = engineer.delete(f"{WORKSPACES}{machine.id}/")
    clock.finish(Operation.objects.get(pk=answer.json()["operation"]["id"]))
    machine.refresh_from_db()
    assert machine.state == "TERMINATED"
    assert associated(simulator) == []
    assert launched(engineer, clock).pk != machine.pk  # the same id in AWS, another machine here


def test_a_right_that_was_taken_in_aws_ends_the_machine(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    user = {"StackName": "engineering", "UserName": machine.directory_user, "AuthenticationType": "USERPOOL"}
    streams.api(simulator).batch_disassociate_user_stack(UserStackAssociations=[user])
    reconcile(now=clock.now)
    machine.refresh_from_db()
    assert machine.state == "TERMINATED"


def test_a_right_that_is_there_already_is_taken_over(engineer, stack, simulator, clock, world):
    api = streams.api(simulator)
    api.create_user(UserName=world.engineer.email, AuthenticationType="USERPOOL")
    user = {"StackName": "engineering", "UserName": world.engineer.email, "AuthenticationType": "USERPOOL"}
    api.batch_associate_user_stack(UserStackAssociations=[user])
    assert launched(engineer, clock).state == "AVAILABLE"
    assert associated(simulator) == [world.engineer.email]


def test_a_person_has_a_computer_and_applications_but_no_stack_twice(engineer, stack, world, clock):
    launched(engineer, clock)
    assert engineer.post(WORKSPACES, world.body(), format="json").status_code == 202
    problem(engineer.post(WORKSPACES, streams.body(), format="json"), 409, "machine_exists")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"application_ids": ["code-editor", "word"]}, "applications_not_offered"),
        ({"operating_system": "LINUX"}, "applications_not_offered"),
        ({"bundle_type": "PERFORMANCE"}, "applications_not_offered"),
        ({"region": "eu-west-1"}, "applications_not_offered"),
        ({"running_mode": "ALWAYS_ON"}, "running_mode_not_offered"),
    ],
)
def test_what_no_stack_offers_is_refused_with_what_they_do(engineer, stack, changes, code):
    document = problem(engineer.post(WORKSPACES, streams.body(**changes), format="json"), 422, code)
    assert document["offered"]
    assert not WorkSpace.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"), [({"application_ids": []}, "application_ids"), ({"blueprint": True}, "blueprint")]
)
def test_applications_come_without_a_blueprint_and_not_alone(engineer, stack, world, changes, field):
    if "blueprint" in changes:
        changes = {"blueprint": str(world.blueprint.id)}
    document = problem(engineer.post(WORKSPACES, streams.body(**changes), format="json"), 400, "invalid")
    assert [error["field"] for error in document["errors"]] == [field]


def test_without_a_price_of_the_service_nothing_is_launched(world, simulator, clock, engineer):
    streams.stack(simulator, world.organization)
    reconcile(now=clock.now)
    document = problem(engineer.post(WORKSPACES, streams.body(), format="json"), 422, "price_missing")
    assert document["service_type"] == "WORKSPACES_APPLICATIONS"


def test_budgets_and_roles_bind_applications_too(world, stack, simulator, clock, engineer):
    month = clock.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=world.organization, amount=Decimal("0.01"), period_start=month,
        period_end=(month + timedelta(days=32)).replace(day=1),
    )  # fmt: skip
    problem(engineer.post(WORKSPACES, streams.body(), format="json"), 422, "budget_exceeded")
    streams.stack(simulator, world.organization, "graphics", instance="stream.graphics.g4dn.4xlarge")
    reconcile(now=clock.now)
    wanted = streams.body(bundle_type="GRAPHICSPRO_G4DN")
    problem(engineer.post(WORKSPACES, wanted, format="json"), 422, "bundle_not_allowed")


def test_streaming_is_metered_by_the_price_of_the_service(engineer, stack, clock, world):
    machine = launched(engineer, clock)
    reconcile(now=machine.state_since + timedelta(minutes=20))
    end = machine.state_since + timedelta(hours=5)
    ensure_months(machine.state_since, end)
    meter(now=end)
    records = CostRecord.objects.filter(workspace=machine)
    assert {record.price.service_type for record in records.select_related("price")} == {"WORKSPACES_APPLICATIONS"}
    assert sum(record.billed_hours for record in records) == 1
    assert sum(record.compute_cost for record in records) > Decimal("0.2")  # and some of the user's monthly fee
    assert sum(record.compute_cost for record in records) < Decimal("0.3")


def test_a_fleet_that_does_not_run_is_said_and_starts_nothing(world, simulator, clock, engineer):
    streams.stack(simulator, world.organization, starts=False)
    streams.price()
    reconcile(now=clock.now)
    machine = launched(engineer, clock)
    reconcile(now=machine.state_since + timedelta(minutes=20))
    problem(connect(engineer, machine), 409, "fleet_not_running")
    machine.refresh_from_db()
    assert machine.state == "STOPPED"
    assert entries(engineer).filter(action_type="WORKSPACE_CONNECT").get().result == "FAILURE"


def test_an_application_that_the_machine_has_not_is_refused(engineer, stack, clock):
    machine = launched(engineer, clock)
    document = problem(connect(engineer, machine, application_id="cad-viewer"), 409, "unknown_application")
    assert document["application_ids"] == ["code-editor"]


def test_who_may_connect_to_whose_machine(world, engineer, stack, clock):
    machine = launched(engineer, clock)
    assert connect(client_of(world.lead), machine).status_code == 200
    shown = client_of(world.admin).get(f"{WORKSPACES}{machine.id}/connect/")
    assert shown.status_code == 200
    assert AuditLog.objects.filter(action_type="WORKSPACE_CONNECT", user_id=world.admin.id).count() == 1
    problem(client_of(world.auditor).get(f"{WORKSPACES}{machine.id}/connect/"), 403, "may_not_control_machine")
    problem(connect(client_of(world.contractor), machine), 404, "not_found")


def test_only_stacks_marked_for_the_organization_are_offered(world, simulator, clock, engineer):
    other = factories.OrganizationFactory()
    streams.stack(simulator, other, "theirs")
    streams.stack(simulator, world.organization, "ours")
    streams.stack(simulator, world.organization, "odd-size", instance="stream.compute.large")
    reconcile(now=clock.now)
    listed = engineer.get("/api/v1/applications/").json()["results"]
    assert [row["name"] for row in listed] == ["ours"]
    assert listed[0]["application_ids"] == ["cad-viewer", "code-editor"]
    found = engineer.get("/api/v1/applications/?application=cad-viewer&region=us-east-1").json()["results"]
    assert [row["name"] for row in found] == ["ours"]
    assert engineer.get("/api/v1/applications/?application=word").json()["results"] == []


def test_a_budget_that_blocks_starts_blocks_connecting_to_what_is_stopped(world, stack, engineer, clock):
    machine = launched(engineer, clock)
    reconcile(now=machine.state_since + timedelta(minutes=20))
    month = clock.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factories.BudgetFactory(
        organization=world.organization, amount=Decimal("0.01"), on_limit="BLOCK_STARTS", period_start=month,
        period_end=(month + timedelta(days=32)).replace(day=1),
    )  # fmt: skip
    problem(connect(engineer, machine), 422, "budget_exceeded")
    machine.refresh_from_db()
    assert machine.state == "STOPPED"


def test_a_stack_that_is_no_longer_marked_is_withdrawn_and_its_machines_stay(engineer, stack, simulator, clock):
    machine = launched(engineer, clock)
    arn = "arn:aws:appstream:us-east-1:123456789012:stack/engineering"
    streams.api(simulator).untag_resource(ResourceArn=arn, TagKeys=["forge:organization"])
    reconcile(now=clock.now)
    assert engineer.get("/api/v1/applications/").json()["results"] == []
    machine.refresh_from_db()
    assert machine.is_live
    told = (
        AuditLog.objects.filter(resource_type="ApplicationStack").order_by("id").values_list("action_type", flat=True)
    )
    assert list(told) == [f"APPLICATION_STACK_{did}" for did in ("OFFER", "CLOSE", "WITHDRAW")]


def test_a_second_look_at_the_same_stacks_changes_nothing(stack, world, clock):
    before = ApplicationStack.objects.values().get()
    account = ProviderAccount.objects.select_related("organization").get(pk=world.account.pk)
    assert refresh_stacks(account=account, actor=Actor.job("reconcile_workspaces"), now=clock.now) == (1, [])
    assert ApplicationStack.objects.values().get() == before


def test_the_applications_of_an_elastic_fleet_are_those_joined_to_it(world, simulator, clock):
    api = streams.api(simulator)
    api.create_fleet(
        Name="elastic", FleetType="ELASTIC", InstanceType="stream.standard.xlarge", MaxConcurrentSessions=3,
        Platform="WINDOWS_SERVER_2019", VpcConfig={"SubnetIds": ["subnet-a", "subnet-b"]},
    )  # fmt: skip
    api.create_stack(Name="elastic", Tags={"forge:organization": world.organization.slug})
    api.associate_fleet(FleetName="elastic", StackName="elastic")
    arn = "arn:aws:appstream:us-east-1:123456789012:application/office-suite"
    api.associate_application_fleet(FleetName="elastic", ApplicationArn=arn)
    reconcile(now=clock.now)
    kept = ApplicationStack.objects.get()
    assert (kept.application_ids, kept.bundle_type, kept.operating_system) == (["office-suite"], "POWER", "WINDOWS")


def test_an_account_without_applications_is_not_asked_for_them_and_says_so_to_who_launches(
    world, engineer, stack, simulator, clock
):
    machine = launched(engineer, clock)
    admin = client_of(world.admin)
    address = f"/api/v1/provider-accounts/{world.account.id}/"
    problem(client_of(world.engineer).patch(address, {"services": []}, format="json"), 404, "not_found")
    problem(admin.patch(address, {"services": []}, format="json"), 400, "invalid")
    twice = {"services": ["WORKSPACES_PERSONAL"] * 2}
    problem(admin.patch(address, twice, format="json"), 422, "provider_account_refused")
    answer = admin.patch(address, {"services": ["WORKSPACES_PERSONAL"]}, format="json")
    assert (answer.status_code, answer.json()["services"]) == (200, ["WORKSPACES_PERSONAL"]), answer.content
    told = [entry.action_type for entry in entries(admin)][-2:]
    assert told == ["PROVIDER_ACCOUNT_UPDATE", "APPLICATION_STACK_WITHDRAW"]
    assert engineer.get("/api/v1/applications/").json()["results"] == []
    refused = problem(engineer.post(WORKSPACES, streams.body(), format="json"), 422, "service_not_offered")
    assert "WorkSpaces Applications is switched off in us-east-1" in refused["detail"]
    assert (refused["service_type"], refused["offered"]) == ("WORKSPACES_APPLICATIONS", [])
    # Its machine is looked after as long as it stands; the stacks are not asked for.
    simulator.control.forget_traffic()
    assert reconcile(now=clock.now)["seen"] == 1
    asked = {row["operation"] for row in simulator.control.traffic()}
    assert ("DescribeUserStackAssociations" in asked, "DescribeStacks" in asked) == (True, False)
    WorkSpace.objects.filter(pk=machine.pk).update(state="TERMINATING")
    WorkSpace.objects.filter(pk=machine.pk).update(state="TERMINATED", terminated_at=clock.now)
    simulator.control.forget_traffic()
    assert reconcile(now=clock.now)["stacks"] == 0
    assert {row["operation"] for row in simulator.control.traffic()} == {"DescribeWorkspaces"}
    with pytest.raises(IntegrityError, match="services_known"), transaction.atomic():
        ProviderAccount.objects.update(services=[])
