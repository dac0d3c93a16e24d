"""A launch from the service to the machine, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.actors import Interface
from audit.models import AuditLog
from forge.accounts.models import User
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests import factories
from tests.workspaces.support import WORKSPACES, client_of, problem
from tests.world import REGION, World, actor, engineers
from workspaces import permissions, services
from workspaces.guards import (
    BlueprintNotFound,
    BlueprintRetired,
    BundleNotAllowed,
    BundleNotOffered,
    CredentialsExpired,
    LaunchesExhausted,
    OperatingSystemNotOffered,
)
from workspaces.lifecycle import State
from workspaces.models import ConfigurationChange, StateChange, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.resolve import (
    ApplicationsNotOffered,
    MachineExists,
    MayNotLaunch,
    MayNotLaunchForOthers,
    NoDirectoryUser,
    ProjectNotYours,
    RegionNotOffered,
    TeamNotYours,
    UnknownOwner,
)
from workspaces.simulator import catalog
from workspaces.tagging.wanted import TagKeyReserved, TagValueRefused, TooManyTags

LONG = 3600.0


def launch(world: World, user=None, **changes):
    return services.launch(actor=actor(user or world.engineer), spec=world.spec(**changes), now=timezone.now())


def run_until_done(simulator, operation: Operation, *, rounds: int = 12) -> Operation:
    """Let workers run and simulated time pass until the operation has ended."""
    now = timezone.now()
    for _ in range(rounds):
        run_due(limit=50, now=now)
        operation.refresh_from_db()
        if operation.is_final:
            return operation
        simulator.control.advance(LONG / rounds)
        now += timedelta(seconds=30)
    raise AssertionError(f"operation is {operation.status}: {operation.error} {operation.steps}")


def test_a_launch_becomes_an_available_machine(world, simulator):
    answer = launch(world, tags={"cost-center": "r-100"})
    assert answer.workspace.state == State.PENDING
    assert answer.operation.status == "queued"

    operation = run_until_done(simulator, answer.operation)

    workspace = WorkSpace.objects.get(pk=answer.workspace.pk)
    assert operation.status == "succeeded", operation.error
    outcome = AuditLog.objects.get(action_type="WORKSPACE_LAUNCH_OUTCOME")
    assert outcome.occurred_at == operation.finished_at  # business time, not the clock of whoever carries it out
    assert workspace.state == State.AVAILABLE
    assert workspace.launched_at is not None
    assert workspace.provider_id.startswith("ws-")
    assert workspace.connection_url.startswith("https://")
    [machine] = simulator.control.machines()
    assert machine["workspace_id"] == workspace.provider_id
    changes = StateChange.objects.filter(workspace=workspace).order_by("id").values_list("from_state", "to_state")
    assert list(changes) == [("", "PENDING"), ("PENDING", "AVAILABLE")]


def test_a_machine_is_stopped_started_and_terminated(world, simulator):
    workspace = launch(world).workspace
    run_until_done(simulator, Operation.objects.get(target_id=workspace.pk))
    for verb, state, health in (
        ("stop", "STOPPED", ""),
        ("start", "AVAILABLE", "HEALTHY"),
        ("terminate", "TERMINATED", ""),
    ):
        answer = getattr(services, verb)(actor=actor(world.engineer), workspace_id=workspace.pk, now=timezone.now())
        operation = run_until_done(simulator, answer.operation)
        assert operation.status == "succeeded", operation.error
        shown = WorkSpace.objects.get(pk=workspace.pk)
        assert (shown.state, shown.health) == (state, health)
    assert simulator.control.launches()[0]["live"] == 0


def test_a_second_machine_for_the_same_person_is_refused_with_the_first_ones_id(world):
    first = launch(world).workspace
    with pytest.raises(MachineExists) as refusal:
        launch(world)
    assert refusal.value.extra["workspace"] == str(first.pk)
    assert refusal.value.detail.startswith(f"Machine {first.name} is PENDING;")
    assert WorkSpace.objects.count() == 1


def test_who_does_not_see_the_first_machine_is_not_told_its_name(world):
    other = factories.TeamFactory(organization=world.organization)
    factories.MembershipFactory(user=world.engineer, team=other)
    first = launch(world, team=other.slug, blueprint_id=factories.BlueprintFactory(organization=world.organization).id)
    with pytest.raises(MachineExists) as refusal:
        launch(world, world.lead, owner=world.engineer.email, team=world.team.slug)
    assert first.workspace.name not in refusal.value.detail
    assert refusal.value.detail == "The directory user has a machine, which is PENDING; AWS allows one per user."


def test_a_directory_user_is_the_same_whatever_its_case(world):
    first = launch(world).workspace
    world.lead.directory_username = world.engineer.directory_username.upper()
    with pytest.raises(IntegrityError, match="accounts_user_directory_username_unique"), transaction.atomic():
        world.lead.save()
    User.objects.filter(pk=world.engineer.pk).update(directory_username=world.lead.directory_username)
    with pytest.raises(MachineExists) as refusal:
        launch(world, User.objects.get(pk=world.engineer.pk))
    assert refusal.value.extra["workspace"] == str(first.pk)


def test_another_organizations_machine_in_the_directory_is_not_told_of(world):
    theirs = factories.WorkSpaceFactory(
        directory_id=world.account.directory_id, directory_user=world.engineer.directory_username
    )
    with pytest.raises(MachineExists) as refusal:
        launch(world)
    assert refusal.value.extra == {}
    assert str(theirs.pk) not in refusal.value.detail


def test_a_dry_run_answers_as_the_launch_does_where_another_organization_has_the_directory_user(world):
    theirs = factories.WorkSpaceFactory(
        directory_id=world.account.directory_id, directory_user=world.engineer.directory_username
    )
    client = client_of(world.engineer)
    answers = [
        problem(client.post(f"{WORKSPACES}{query}", world.body(), format="json"), 409, "machine_exists")
        for query in ("?dry_run=true", "")
    ]
    told = [(one["detail"], one["suggested_action"]) for one in answers]
    assert told[0] == told[1]
    assert not any(str(theirs.pk) in str(one) or str(theirs.organization_id) in str(one) for one in answers)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"bundle_type": "POWER"}, BundleNotOffered),
        ({"bundle_type": "GRAPHICSPRO_G4DN"}, BundleNotAllowed),
        ({"operating_system": "WINDOWS"}, OperatingSystemNotOffered),
        ({"region": "eu-west-1"}, RegionNotOffered),
        ({"team": "no-such-team"}, TeamNotYours),
        ({"project": "no-such-project"}, ProjectNotYours),
        ({"owner": "stranger@example.com"}, UnknownOwner),
        ({"blueprint_id": None}, BlueprintNotFound),
        ({"service_type": "WORKSPACES_APPLICATIONS"}, ApplicationsNotOffered),
        ({"tags": {"aws:x": "y"}}, TagKeyReserved),
        ({"tags": {f"k{n}": "v" for n in range(41)}}, TooManyTags),
        ({"tags": {"key": "v" * 256}}, TagValueRefused),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(world, changes, refusal):
    with pytest.raises(refusal):
        launch(world, **changes)
    assert not WorkSpace.objects.exists()
    assert not Operation.objects.exists()


def test_a_retired_blueprint_is_refused(world):
    world.blueprint.status = "RETIRED"
    world.blueprint.retired_at = timezone.now()
    world.blueprint.save()
    with pytest.raises(BlueprintRetired):
        launch(world)


def test_finance_and_auditors_launch_nothing(world):
    for user in (world.finance, world.auditor):
        with pytest.raises(MayNotLaunch):
            launch(world, user)


def test_an_engineer_launches_for_nobody_else_but_a_lead_does(world):
    [colleague] = engineers(world, 1)
    with pytest.raises(MayNotLaunchForOthers):
        launch(world, owner=colleague.email)
    assert launch(world, world.lead, owner=colleague.email).workspace.owner_id == colleague.id


def test_an_expired_contractor_is_refused(world):
    world.contractor.credentials_expire_at = timezone.now() - timedelta(seconds=1)
    world.contractor.save()
    with pytest.raises(CredentialsExpired):
        launch(world, world.contractor)


def test_a_caller_whose_credentials_have_ended_launches_for_nobody(world):
    world.lead.credentials_expire_at = timezone.now() - timedelta(seconds=1)
    world.lead.save()
    with pytest.raises(CredentialsExpired):
        launch(world, world.lead, owner=world.engineer.email)


def test_an_admin_controls_no_machine_of_another_organization(world):
    stranger = factories.MembershipFactory(role="admin", team=None).user
    workspace = launch(world).workspace
    assert permissions.may(world.admin, "stop", workspace)
    assert not permissions.may(stranger, "stop", workspace)


def test_a_person_without_a_directory_user_is_refused(world):
    world.engineer.directory_username = ""
    world.engineer.save()
    with pytest.raises(NoDirectoryUser):
        launch(world)


def test_a_launch_that_aws_refuses_ends_failed_and_says_why(world, simulator):
    world.engineer.directory_username = "nobody-here"
    world.engineer.save()
    answer = launch(world)
    operation = run_until_done(simulator, answer.operation)
    assert operation.status == "failed"
    assert operation.error["code"] == "ResourceNotFound.User"
    assert WorkSpace.objects.get(pk=answer.workspace.pk).state == State.FAILED


def test_a_machine_of_somebody_else_in_aws_is_never_taken_over(world, simulator, settings):
    other = world.account
    first = launch(world).workspace
    run_until_done(simulator, Operation.objects.get(target_id=first.pk))
    # Forge forgets the machine, as after the restore of an old backup.
    WorkSpace.objects.filter(pk=first.pk).update(directory_user="somebody-before", provider_id="")
    answer = launch(world)
    operation = run_until_done(simulator, answer.operation)
    assert operation.error["code"] == "directory_user_taken"
    assert WorkSpace.objects.get(pk=answer.workspace.pk).state == State.FAILED
    assert other.workspaces.count() == 2


def test_a_dry_run_changes_nothing(world):
    answer = services.launch(actor=actor(world.engineer), spec=world.spec(), now=timezone.now(), dry_run=True)
    assert answer.workspace is None
    assert not WorkSpace.objects.exists()
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("interface", "setting"), [("LUCY", "FORGE_LUCY_LAUNCHES_PER_HOUR"), ("CLI", "FORGE_LAUNCHES_PER_HOUR")]
)
def test_launches_of_an_hour_are_counted_by_interface(world, settings, interface, setting):
    setattr(settings, setting, 0)
    who = replace(actor(world.engineer), interface=Interface(interface))
    with pytest.raises(LaunchesExhausted):
        services.launch(actor=who, spec=world.spec(), now=timezone.now())
    setattr(settings, setting, 1)
    assert services.launch(actor=who, spec=world.spec(), now=timezone.now()).workspace is not None


def test_launches_are_counted_by_who_asks_for_them_not_by_whose_they_are(world, settings):
    settings.FORGE_LUCY_LAUNCHES_PER_HOUR = 2
    lead = replace(actor(world.lead), interface=Interface.LUCY)
    first, second, third = (person.email for person in engineers(world, 3))
    for email in (first, second):
        services.launch(actor=lead, spec=world.spec(owner=email), now=timezone.now())
    with pytest.raises(LaunchesExhausted):
        services.launch(actor=lead, spec=world.spec(owner=third), now=timezone.now())
    own = replace(actor(User.objects.get(email=third)), interface=Interface.LUCY)
    assert services.launch(actor=own, spec=world.spec(), now=timezone.now()).workspace is not None
    assert launch(world).workspace is not None


def test_a_machine_that_cannot_join_its_domain_is_made_anew(world, clock, simulator):
    simulator.control.fault("domain_join_failure", count=2)
    operation = clock.finish(launch(world).operation)
    assert operation.status == "succeeded", operation.error
    made = WorkSpace.objects.get()
    assert (made.state, made.domain_join_status, made.domain_join_attempts) == ("AVAILABLE", "JOINED", 3)


def test_a_launch_fails_when_the_domain_was_not_joined_three_times(world, clock, simulator):
    simulator.control.fault("domain_join_failure", count=9)
    operation = clock.finish(launch(world).operation)
    assert (operation.status, operation.error["code"]) == ("failed", "machine_discarded")
    made = WorkSpace.objects.get()
    assert (made.state, made.domain_join_status, made.domain_join_attempts) == ("FAILED", "FAILED", 3)
    assert [fault["struck"] for fault in simulator.control.faults()] == [3]


def test_a_machine_of_another_system_than_the_blueprints_is_not_taken(world, simulator):
    offer = {"bundle_type": "STANDARD", "bundle_id": catalog.bundle_id(REGION, "engineering-windows-1", "STANDARD")}
    blueprint = factories.BlueprintFactory(
        organization=world.organization, team=world.team, bundle=None, status="DRAFT", operating_system="LINUX"
    )
    factories.BlueprintBundleFactory(blueprint=blueprint, region=REGION, **offer)
    factories.publish(blueprint)
    operation = run_until_done(simulator, launch(world, blueprint_id=blueprint.id).operation)
    assert operation.error["code"] == "machine_discarded"
    assert "operating system is WINDOWS, not LINUX" in operation.error["detail"]
    assert WorkSpace.objects.get().state == State.FAILED


def test_the_volumes_are_those_that_aws_made_and_no_drift(world, simulator, monkeypatch):
    own = catalog.ComputeType("Standard, of our own", 175, 200)
    monkeypatch.setitem(catalog.COMPUTE_TYPES, "STANDARD", own)
    run_until_done(simulator, launch(world).operation)
    machine = WorkSpace.objects.get()
    assert (machine.root_volume_gb, machine.user_volume_gb) == (175, 200)
    assert reconcile(now=timezone.now())["drifted"] == 0
    assert not ConfigurationChange.objects.exists()
