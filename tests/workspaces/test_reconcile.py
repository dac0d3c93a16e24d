"""Following what AWS did by itself, and believing only what it plausibly says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

import workspaces.reconcile
from audit.actors import Actor
from audit.models import AuditLog
from forge.db.models import JobRun
from forge.operations.runner import run_due
from tests import factories
from tests.workspaces.support import client_of
from tests.world import actor, engineers
from workspaces import aws, services, tasks, transitions
from workspaces.absence import is_plausible
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.reconcile import Absent, reconcile
from workspaces.reconciling import following
from workspaces.reconciling.run import ReconcileFailed, Run

ACCOUNTS = "/api/v1/provider-accounts/"


@pytest.fixture
def machine(world, simulator):
    """A machine that runs, here and in AWS."""
    services.launch(actor=actor(world.engineer), spec=world.spec(), now=timezone.now())
    now = timezone.now()
    for _ in range(6):
        run_due(limit=10, now=now)
        simulator.control.advance(600)
        now += timedelta(seconds=30)
    found = WorkSpace.objects.get()
    assert found.state == State.AVAILABLE
    return found


def show_as(state, monkeypatch):
    """Let AWS show every machine in this state."""
    real, asked = aws.Gateway.listed, aws.Gateway.describe
    monkeypatch.setattr(
        aws.Gateway,
        "describe",
        lambda self, ids: {id_: replace(one, state=state) for id_, one in asked(self, ids).items()},
    )
    monkeypatch.setattr(
        aws.Gateway,
        "listed",
        lambda self, directory_id: ([replace(one, state=state) for one in page] for page in real(self, directory_id)),
    )


def stop_by_itself(simulator):
    simulator.control.advance(3 * 3600)


def test_a_machine_that_aws_stopped_is_stopped_here_with_one_entry(machine, simulator):
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now(), dry_run=True)["moved"] == 1
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE
    figures = reconcile(now=timezone.now())
    assert (figures["seen"], figures["moved"], figures["vanished"]) == (1, 1, 0)
    machine.refresh_from_db()
    assert (machine.state, machine.provider_state) == (State.STOPPED, "STOPPED")
    entry = AuditLog.objects.get(action_type="WORKSPACE_STATE_CHANGE")
    assert (entry.actor_kind, entry.organization_id) == ("JOB", machine.organization_id)
    assert reconcile(now=timezone.now())["moved"] == 0
    assert AuditLog.objects.filter(action_type="WORKSPACE_STATE_CHANGE").count() == 1


@pytest.mark.parametrize(("was", "passing"), [("AVAILABLE", "STARTING"), ("STOPPED", "STOPPING")])
def test_a_machine_that_turned_unseen_is_followed_from_where_it_was(machine, simulator, was, passing):
    for state in (was, passing):
        simulator.control.set_state(machine.provider_id, state)
        assert reconcile(now=timezone.now())["unexplained"] == 0
        machine.refresh_from_db()
        assert machine.state == state


def test_a_machine_in_an_account_that_is_switched_off_is_followed_too(machine, simulator):
    ProviderAccount.objects.update(enabled=False)
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now())["moved"] == 1


def test_a_machine_that_is_gone_in_aws_is_terminated(machine):
    WorkSpace.objects.update(provider_id="ws-000000000", directory_user="somebody-else")
    assert reconcile(now=timezone.now())["vanished"] == 1
    machine.refresh_from_db()
    assert (machine.state, machine.health) == (State.TERMINATED, "")
    assert machine.state_changes.latest("id").reason == "vanished from AWS"


def test_the_only_machine_is_not_believed_gone_where_aws_does_not_show_its_directory(machine):
    """A role in another AWS account shows neither, and TERMINATED is final."""
    for rows in (ProviderAccount.objects, WorkSpace.objects):
        rows.update(directory_id="d-0000000000")
    WorkSpace.objects.update(provider_id="ws-000000000")
    figures = faults()
    assert (figures["implausible"], figures["vanished"]) == (1, 0)
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE


def faults():
    """The figures of a run that must find something wrong."""
    with pytest.raises(ReconcileFailed) as failed:
        reconcile(now=timezone.now())
    return failed.value.figures


def test_an_account_that_does_not_answer_is_passed_over_and_said(machine, settings, simulator):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    figures = faults()
    assert (figures["unreachable"], figures["moved"]) == (1, 0)
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE


# -- absences ------------------------------------------------------------------------------------------------------
def running(world, count, **facts):
    """Machines that only our books know."""
    return [
        factories.WorkSpaceFactory(
            organization=world.organization,
            owner=person,
            team=world.team,
            provider_account=world.account,
            directory_id=world.account.directory_id,
            **{"provider_id": f"ws-{person.pk.hex[-9:]}", **facts},
        )
        for person in engineers(world, count)
    ]


def test_an_account_that_is_suddenly_empty_ends_no_machine(world, simulator):
    running(world, 2)
    assert faults()["implausible"] == 2
    assert set(WorkSpace.objects.values_list("state", flat=True)) == {State.AVAILABLE}


def test_absences_are_judged_over_all_chunks_of_an_account(machine, world, monkeypatch):
    monkeypatch.setattr(workspaces.reconcile, "CHUNK", 2)
    running(world, 6)
    figures = faults()
    assert (figures["seen"], figures["implausible"], figures["vanished"]) == (7, 6, 0)
    assert not WorkSpace.objects.filter(state=State.TERMINATED).exists()


def test_machines_that_were_ending_are_not_missed(world, simulator):
    running(world, 6, history=[(timezone.now() - timedelta(hours=1), "TERMINATING")])
    assert reconcile(now=timezone.now())["vanished"] == 6


@pytest.mark.parametrize(
    ("absent", "machines", "plausible"),
    [(0, 0, True), (1, 1, True), (2, 2, False), (5, 6, True), (6, 30, True), (6, 29, False), (200, 1000, True)],
)
def test_how_many_machines_may_be_gone_at_once(absent, machines, plausible):
    assert is_plausible(absent=absent, machines=machines) is plausible


def test_absence_needs_a_second_look_by_the_directory_user(machine, monkeypatch):
    monkeypatch.setattr(aws.Gateway, "describe", lambda self, ids: {})
    assert reconcile(now=timezone.now())["vanished"] == 0
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE


# -- faults --------------------------------------------------------------------------------------------------------
def test_a_machine_whose_end_cannot_be_booked_keeps_no_other_from_its_turn(world, simulator, monkeypatch):
    bad, good = running(world, 2, history=[(timezone.now() - timedelta(hours=1), "TERMINATING")])

    def broken(*, workspaces, actor, now):
        if workspaces[0].pk == bad.pk:
            raise IntegrityError("no partition")

    monkeypatch.setattr(transitions, "end", broken)
    figures = faults()
    assert (figures["failed"], figures["vanished"]) == (1, 1)
    assert WorkSpace.objects.get(pk=bad.pk).state == State.TERMINATING
    assert WorkSpace.objects.get(pk=good.pk).state == State.TERMINATED


def test_a_state_that_aws_has_not_had_before_keeps_no_other_account_from_its_turn(machine, monkeypatch):
    show_as("DREAMING", monkeypatch)
    assert faults()["failed"] == 1


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_its_figures_and_fails_when_it_found_a_fault(machine, settings, capsys, as_json):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="EndpointConnectionError"):
        call_command("reconcile_workspaces", json=as_json)
    assert "unreachable" in capsys.readouterr().out


def test_the_job_that_found_a_fault_has_failed_and_keeps_its_figures(machine, settings):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(ReconcileFailed):
        tasks.reconcile_workspaces()
    run = JobRun.objects.get(job="reconcile_workspaces")
    assert (run.outcome, run.figures["unreachable"]) == ("FAILED", 1)


def test_a_machine_in_error_keeps_its_state_and_leaves_one_entry(machine, simulator, monkeypatch):
    show_as("ERROR", monkeypatch)
    assert reconcile(now=timezone.now())["in_error"] == 1
    WorkSpace.objects.update(ip_address="10.9.9.9")  # so that there is something else to write
    figures = reconcile(now=timezone.now())
    assert (figures["in_error"], figures["refreshed"]) == (1, 1)
    machine.refresh_from_db()
    assert (machine.state, machine.health) == (State.AVAILABLE, "ERROR")
    entry = AuditLog.objects.get(action_type="WORKSPACE_ERROR")
    assert (entry.result, entry.resource_id, entry.actor_kind) == ("FAILURE", str(machine.pk), "JOB")


# -- what happened while AWS was asked -----------------------------------------------------------------------------
@pytest.mark.parametrize("meanwhile", ["an operation", "another version"])
def test_a_machine_that_somebody_changed_meanwhile_is_left_to_them(machine, world, simulator, monkeypatch, meanwhile):
    stop_by_itself(simulator)
    real = following.lock_scopes_of

    def before_the_lock(workspace_id):
        if meanwhile == "an operation":
            services.stop(actor=actor(world.engineer), workspace_id=machine.pk, now=timezone.now())
            WorkSpace.objects.update(version=machine.version)
        else:
            WorkSpace.objects.update(version=machine.version + 1)
        real(workspace_id)

    monkeypatch.setattr(following, "lock_scopes_of", before_the_lock)
    assert reconcile(now=timezone.now())["moved"] == 0
    machine.refresh_from_db()
    assert machine.state == State.AVAILABLE


def test_a_change_is_never_earlier_than_the_one_before_it(machine):
    since = machine.state_since
    with transaction.atomic():
        transitions.move(
            workspace=machine,
            target=State.STOPPED,
            occurred_at=since - timedelta(minutes=5),
            reason="test",
            actor=Actor.job("tests", machine.organization_id),
            now=timezone.now(),
        )
    machine.refresh_from_db()
    assert machine.state_since == machine.stopped_at == machine.state_changes.latest("id").occurred_at == since


def test_a_machine_with_an_open_operation_is_left_to_it(machine, world, simulator):
    services.stop(actor=actor(world.engineer), workspace_id=machine.pk, now=timezone.now())
    stop_by_itself(simulator)
    assert reconcile(now=timezone.now())["seen"] == 0


def test_a_state_that_may_not_follow_is_counted_and_left(machine):
    WorkSpace.objects.update(state="TERMINATING")
    assert reconcile(now=timezone.now())["unexplained"] == 1
    machine.refresh_from_db()
    assert machine.state == State.TERMINATING


def connection_calls(simulator):
    return sum(row["calls"] for row in simulator.control.traffic() if "ConnectionStatus" in row["operation"])


def test_who_is_connected_to_a_running_machine_is_left_to_the_collector(machine, simulator):
    simulator.control.connect(machine.provider_id)
    simulator.control.forget_traffic()
    reconcile(now=timezone.now())
    machine.refresh_from_db()
    assert (machine.last_connected_at, connection_calls(simulator)) == (None, 0)


def test_the_last_use_before_a_stop_that_came_by_itself_is_asked_for_once(machine, simulator):
    simulator.control.connect(machine.provider_id)
    simulator.control.advance(60)
    simulator.control.disconnect(machine.provider_id)
    left_at = datetime.fromtimestamp(simulator.control.health()["now"], UTC)
    stop_by_itself(simulator)
    simulator.control.forget_traffic()
    for _ in range(2):
        reconcile(now=timezone.now())
    machine.refresh_from_db()
    assert machine.state == State.STOPPED
    assert abs(machine.last_connected_at - left_at) < timedelta(seconds=1)
    assert connection_calls(simulator) == 1


def test_the_first_look_at_an_adopted_machine_asks_when_it_was_used_and_no_later_one_does(machine, simulator):
    simulator.control.connect(machine.provider_id)
    WorkSpace.objects.update(connection_url=None)  # as after its adoption
    now = timezone.now()
    simulator.control.forget_traffic()
    assert reconcile(now=now)["refreshed"] == 1
    reconcile(now=now + timedelta(minutes=5))
    machine.refresh_from_db()
    assert (machine.last_connected_at, connection_calls(simulator)) == (now, 1)


def test_an_older_word_of_aws_takes_nothing_back(machine, simulator):
    later = timezone.now() + timedelta(hours=1)
    simulator.control.connect(machine.provider_id)
    simulator.control.disconnect(machine.provider_id)
    WorkSpace.objects.update(connection_url=None, last_connected_at=later)
    reconcile(now=timezone.now())
    machine.refresh_from_db()
    assert machine.last_connected_at == later


def change_in_aws(machine, **properties):
    """Somebody does it in AWS's own console."""
    place = aws.Place(machine.provider_account.region, machine.provider_account.account, is_simulated=True)
    aws.Gateway(place).modify(machine.provider_id, properties)


def test_a_machine_that_was_changed_in_aws_is_billed_as_it_is(machine):
    change_in_aws(machine, running_mode="ALWAYS_ON")
    now = timezone.now()
    assert reconcile(now=now, dry_run=True)["drifted"] == 1
    machine.refresh_from_db()
    assert machine.running_mode == "AUTO_STOP"
    assert reconcile(now=now)["drifted"] == 1
    assert reconcile(now=now)["drifted"] == 0
    machine.refresh_from_db()
    assert (machine.running_mode, machine.configured_at) == ("ALWAYS_ON", now)
    change = machine.configuration_changes.get()
    assert (change.occurred_at, change.before_running_mode, change.after_running_mode) == (
        now, "AUTO_STOP", "ALWAYS_ON",
    )  # fmt: skip
    entry = AuditLog.objects.get(action_type="WORKSPACE_DRIFT")
    assert entry.changes == {"before": {"running_mode": "AUTO_STOP"}, "after": {"running_mode": "ALWAYS_ON"}}


@pytest.mark.parametrize("lately", ["modified", "asked for", "unknown"])
def test_what_aws_may_show_late_or_forge_has_no_word_for_is_not_followed(machine, world, monkeypatch, lately):
    now = timezone.now()
    change_in_aws(machine, running_mode="ALWAYS_ON")
    if lately == "modified":
        WorkSpace.objects.update(configured_at=now - timedelta(minutes=1))
    elif lately == "asked for":
        wanted = {"auto_stop_timeout_minutes": 120}
        services.modify(actor=actor(world.engineer), workspace_id=machine.pk, wanted=wanted, now=now)
    else:
        real = aws.Gateway.listed
        monkeypatch.setattr(
            aws.Gateway,
            "listed",
            lambda self, directory: (
                [replace(one, running_mode="MANUAL") for one in page] for page in real(self, directory)
            ),
        )
    figures = reconcile(now=now)
    assert (figures["drifted"], figures["unexplained"]) == (0, int(lately == "unknown"))
    assert WorkSpace.objects.get().running_mode == "AUTO_STOP"


@pytest.mark.parametrize(("place", "name"), [(aws.StackCatalogue, "offered_to"), (aws.ApplicationsGateway, "stack")])
def test_a_service_that_does_not_answer_keeps_the_other_from_nothing(machine, simulator, monkeypatch, place, name):
    """WorkSpaces Applications is not in every region in which WorkSpaces Personal is."""

    def silent(*_):
        raise aws.Unavailable("EndpointConnectionError", "Could not connect")

    monkeypatch.setattr(place, name, silent)
    streamed = factories.WorkSpaceFactory(
        organization=machine.organization, owner=machine.owner, team=machine.team,
        provider_account=machine.provider_account, directory_id="stack", directory_user="other",
    )  # fmt: skip
    WorkSpace.objects.filter(pk=streamed.pk).update(
        service_type="WORKSPACES_APPLICATIONS", provider_id="stack/other", application_ids=["a"], blueprint=None
    )
    stop_by_itself(simulator)
    admin = factories.MembershipFactory(user__organization=machine.organization, role="admin", team=None).user
    shown = partial(client_of(admin).get, f"{ACCOUNTS}{machine.provider_account_id}/")
    assert shown().json()["unanswered"] == []
    for _ in range(2):
        with pytest.raises(ReconcileFailed, match=r"WORKSPACES_APPLICATIONS: EndpointConnectionError") as failed:
            reconcile(now=timezone.now())
    assert (failed.value.figures["unreachable"], str(failed.value).count("provider account")) == (1, 1)
    machine.refresh_from_db()
    assert machine.state == State.STOPPED
    (listed,) = client_of(admin).get(ACCOUNTS).json()["results"]
    assert listed == shown().json()
    (silent,) = listed["unanswered"]
    assert (silent["check"], silent["subject"], silent["detail"]) == (
        "service_access", "WORKSPACES_APPLICATIONS", {"code": "EndpointConnectionError"},
    )  # fmt: skip
    monkeypatch.undo()
    WorkSpace.objects.filter(pk=streamed.pk).update(provider_id="")
    reconcile(now=timezone.now())
    assert shown().json()["unanswered"] == []
    opened = AuditLog.objects.filter(action_type__in=["FINDING_OPEN", "FINDING_RESOLVE"]).order_by("id")
    assert [entry.action_type for entry in opened] == ["FINDING_OPEN", "FINDING_RESOLVE"]


def test_an_empty_answer_brings_no_fleet_into_memory(settings):
    settings.FORGE_VANISHED_AT_MOST, settings.FORGE_VANISHED_PERCENT_AT_MOST = 3, 10
    absent = Absent(machines=100)
    absent.add(WorkSpace(state=State.AVAILABLE) for _ in range(10))
    assert (len(absent.held), absent.is_believed) == (10, True)
    absent.add(WorkSpace(state=State.STOPPED) for _ in range(90))
    assert (absent.count, absent.held, absent.is_believed) == (100, [], False)
    absent.add([WorkSpace(state=State.TERMINATING)])
    assert len(absent.expected) == 1


def test_of_very_many_faults_the_first_are_told_and_all_counted():
    run = Run(timezone.now(), dry_run=False, actor=Actor.job("reconcile_workspaces"))
    for number in range(1000):
        run.fault(f"machine {number}: ValueError")
    assert (len(run.faults), run.has_faults) == (20, True)
    assert run.told().startswith("1000 faults: machine 0: ValueError; ")
