"""Commands and jobs name themselves, with one entry for each object that they changed and none for the run."""

from datetime import timedelta

import pytest
from django.core.management import call_command, get_commands
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from forge.celery import app
from forge.demo.seed.money import seed_budgets
from forge.demo.seed.organization import seed_organization
from forge.urls import API_ROOMS
from tests import world as worlds
from tests.audit.support import SIGNING_KEY
from tests.audit.walk import rows
from tests.audit.walk.marks import left_by, told
from tests.audit.walk.runs import ADD, COMMANDS, INIT, NOT_WALKED, TASKS, Run
from tests.factories import PASSWORD
from tests.workspaces.simulator.cloud import Cloud
from workspaces.simulator.server import Simulator

app.loader.import_default_modules()

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ROOMS = {*API_ROOMS, "forge.db", "forge.api", "forge.console", "forge.outbox"}


@pytest.fixture(scope="module")
def simulator():
    with Simulator(port=0, speed=1e-6) as running:
        yield running


@pytest.fixture
def world(simulator, settings, tmp_path, monkeypatch):
    settings.AWS_ENDPOINT_URL = simulator.url
    settings.FORGE_AUDIT_SIGNING_KEY = SIGNING_KEY
    settings.FORGE_AUDIT_SINKS = [f"directory:{tmp_path}"]
    monkeypatch.setenv("FORGE_ADMIN_PASSWORD", PASSWORD)
    monkeypatch.setenv("FORGE_OPERATOR_PASSWORD", PASSWORD)
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def check(case, entries):
    assert sorted(told(entries)) == sorted(case.leaves)
    for entry in entries:
        name = entry.context.get(entry.actor_kind.lower())
        assert f"{entry.actor_kind} {name or ''}".strip() == case.actor
        assert entry.interface == ("COMMAND" if entry.actor_kind == "COMMAND" else "JOB")
        assert entry.action_description
        assert entry.resource_id or entry.action_type == "AUTH_FAILED"
        assert (entry.source_ip is None) == (entry.action_type != "AUTH_FAILED")
        if entry.actor_kind == "USER":
            assert entry.user_id is not None
            assert entry.user_email
    if case.leaves:
        what = {(entry.resource_type, entry.resource_id, entry.action_type) for entry in entries}
        assert len(what) == len(entries)


def test_every_command_and_every_task_has_a_case_and_no_case_is_without_one():
    commands = {name for name, room in get_commands().items() if room in ROOMS}
    tasks = {name for name in app.tasks if not name.startswith("celery.")}
    for name in sorted(commands - COMMANDS.keys() - NOT_WALKED.keys()):
        pytest.fail(ADD.format(kind="command", name=name, table="COMMANDS", who="COMMAND"))
    for name in sorted(tasks - TASKS.keys()):
        pytest.fail(ADD.format(kind="task", name=name, table="TASKS", who="JOB"))
    assert (COMMANDS.keys() | NOT_WALKED.keys()) - commands == set()
    assert TASKS.keys() - tasks == set()


def test_what_the_beat_sends_is_among_the_tasks(settings):
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= TASKS.keys()


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"forge_init"}))
def test_commands(world, name):
    case = COMMANDS[name]
    case.prepare(world)
    _, entries = left_by(lambda: call_command(name, *case.arguments))
    check(case, entries)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_tasks(world, name):
    case = TASKS[name]
    made = case.prepare(world)
    _, entries = left_by(lambda: app.tasks[name].run(**case.kwargs(made)))
    check(case, entries)


def test_a_look_that_makes_aws_wait_for_a_lease(world, simulator):
    user = world.engineer.directory_username
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    rows.leased(world, provider_id=cloud.launch(user))
    simulator.control.advance(3600)
    _, entries = left_by(app.tasks["workspaces.reconcile_workspaces"].run)
    # The machine was made past Forge, so its tags are asked for too.
    leaves = (("WORKSPACE_AUTO_STOP", "SUCCESS"), ("WORKSPACE_TAG", "SUCCESS"))
    check(Run(rows.leased, leaves, "JOB reconcile_workspaces"), entries)


def test_the_first_organization_of_an_installation(monkeypatch):
    monkeypatch.setenv("FORGE_ADMIN_PASSWORD", PASSWORD)
    _, entries = left_by(lambda: call_command("forge_init", *INIT))
    check(COMMANDS["forge_init"], entries)


@pytest.mark.parametrize("name", ["check_budgets", "enforce_lifecycle", "reconcile_workspaces", "run_operations"])
def test_a_dry_run_leaves_nothing(world, name):
    case = COMMANDS[name]
    case.prepare(world)
    _, entries = left_by(lambda: call_command(name, "--dry-run", *case.arguments))
    assert entries == []
    assert not AuditLog.objects.filter(action_type__in=[action for action, _ in case.leaves]).exists()


def test_the_demo_names_its_command():
    """Its people and budgets; the sixty days of machines come from the runs and services that are walked above."""
    actor, now = Actor.command("seed_demo"), timezone.now()

    def seed():
        seeded = seed_organization(actor=actor, now=now, password=PASSWORD)
        seed_budgets(actor=actor, seeded=seeded, now=now)

    _, entries = left_by(seed)
    assert {(entry.actor_kind, entry.context.get("command"), entry.result) for entry in entries} == {
        ("COMMAND", "seed_demo", "SUCCESS")
    }
    assert {"ORGANIZATION_CREATE", "MEMBER_CREATE", "TEAM_CREATE", "BUDGET_CREATE"} <= {
        entry.action_type for entry in entries
    }
    assert len({(entry.action_type, entry.resource_id) for entry in entries}) == len(entries) > 10
