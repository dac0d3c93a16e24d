"""Sixty days in the life of the demo's machines: launches, working days, ends, and what is under way right now.

Launches, stops, starts and ends go through the services, the operations and the simulated AWS; the hours of a working
day in between are state changes as reconcile would have seen them. Nothing here writes a cost: metering does.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.conf import settings
from django.db import transaction

from audit.actors import Actor, Interface, Kind
from audit.services import record
from costs.metering import ensure_months, meter
from forge.accounts.models import User
from forge.demo.seed.organization import REGION, Seeded
from forge.demo.seed.people import Person
from forge.operations.models import Operation
from forge.operations.runner import run_one
from workspaces import services
from workspaces.actions import WORKSPACE_STATE_CHANGE
from workspaces.intents import LaunchSpec
from workspaces.lifecycle import State
from workspaces.models import WorkSpace
from workspaces.simulator.client import Control
from workspaces.transitions import lock_machine, lock_scopes_of, move

DAYS = 60
PROVISIONING = timedelta(minutes=3)
PATIENCE = 6

_SIZES = ("STANDARD", "STANDARD", "STANDARD", "PERFORMANCE", "PERFORMANCE", "POWER")
_LINUX = {"platform": "engineering-linux", "data": "data-science", "devices": "firmware"}
_PROJECTS = {"platform": ("forge", "telemetry"), "data": ("forecast", "telemetry"), "devices": ("mark-four",)}


@dataclass(frozen=True)
class Life:
    """What becomes of one person's machine; `end` is the state that the demo shows it in."""

    person: Person
    launched_at: datetime
    end: str
    is_always_on: bool = False


def seed_history(*, seeded: Seeded, now: datetime) -> None:
    """Let the fleet live through the last sixty days up to `now`, and leave some of it in mid-change."""
    if WorkSpace.objects.filter(organization=seeded.organization).exists():
        meter(now=now)
        return
    control = Control(settings.AWS_ENDPOINT_URL or "")
    chance = random.Random(1958)  # noqa: S311  (the same lives at every start)
    began = now - timedelta(days=DAYS)
    ensure_months(began, now)
    lives = list(_lives(seeded, began=began, now=now, chance=chance))
    settled = [life for life in lives if life.end != State.PENDING]
    machines = {life: _launch(seeded, life, chance) for life in settled}
    finish(control, [(machines[life], life.launched_at) for life in settled])
    for life in settled:
        if life.end != State.FAILED:
            _work(machines[life], life, now=now, chance=chance)
    for verb, ends, ago in (
        (services.terminate, (State.TERMINATED,), timedelta(days=9)),
        (services.stop, (State.STOPPED, State.STARTING), timedelta(hours=2)),
    ):
        asked = [(life, now - ago) for life in settled if life.end in ends]
        for life, at in asked:
            verb(actor=acting_as(seeded, life.person), workspace_id=machines[life], now=at)
        finish(control, [(machines[life], at) for life, at in asked])
    meter(now=now)
    _leave_under_way(seeded, lives, machines, now=now, chance=chance)
    for workspace in WorkSpace.objects.filter(organization=seeded.organization, state=State.AVAILABLE):
        if workspace.running_mode == WorkSpace.RunningMode.AUTO_STOP and chance.random() < 0.7:
            control.connect(workspace.provider_id)


def _lives(seeded: Seeded, *, began: datetime, now: datetime, chance: random.Random) -> Iterator[Life]:
    """One life for each of the forty: the plan of ends, then AVAILABLE for the rest."""
    plan = [State.TERMINATED] * 5 + [State.STOPPED] * 8 + [State.FAILED] * 2
    plan += [State.STOPPING, State.STOPPING, State.STARTING, State.STARTING, State.TERMINATING, State.PENDING]
    owners = [person for person in seeded.people if person.has_machine]
    chance.shuffle(owners)
    for number, person in enumerate(owners):
        end = plan[number] if number < len(plan) else State.AVAILABLE
        latest = timedelta(days=20) if end == State.TERMINATED else timedelta(days=3)
        after = (now - latest - began) * chance.random()
        is_always_on = number % 6 == 0 and end in (State.AVAILABLE, State.TERMINATED)
        yield Life(person=person, launched_at=began + after, end=end, is_always_on=is_always_on)


def _launch(seeded: Seeded, life: Life, chance: random.Random) -> uuid.UUID:
    """Ask for the machine at its business time; its first step asks AWS. Returns the machine's id."""
    user = seeded.users[life.person.email]
    team = life.person.team or ""
    contractor = life.person.role == "contractor"
    size = chance.choice(_SIZES[:5] if contractor else _SIZES)
    name, system = (_LINUX[team], "LINUX") if chance.random() < 0.7 else ("windows-office", "WINDOWS")
    if life.end == State.FAILED:
        _leave_directory(user)
    project = chance.choice(_PROJECTS[team])
    answer = services.launch(
        actor=acting_as(seeded, life.person),
        spec=LaunchSpec(
            service_type="WORKSPACES_PERSONAL",
            blueprint_id=seeded.blueprints[name].id,
            bundle_type=size,
            operating_system=system,
            running_mode="ALWAYS_ON" if life.is_always_on else "AUTO_STOP",
            region=REGION,
            team=team,
            project=project,
            tags={"cost-center": seeded.projects[project].cost_center, "purpose": chance.choice(("build", "review"))},
        ),
        now=life.launched_at,
    )
    if answer.operation is None or answer.workspace is None:
        raise AssertionError("a launch that is no dry run has an operation")
    run_one(answer.operation.id, now=life.launched_at)
    return answer.workspace.id


def _leave_directory(user: User) -> None:
    """The simulated directory does not know names that begin with `nobody`: AWS will refuse the machine."""
    user.directory_username = f"nobody.{user.directory_username}"
    user.save(update_fields=["directory_username", "updated_at"])


def finish(control: Control, asked: list[tuple[uuid.UUID, datetime]]) -> None:
    """Carry the open operations of these machines out, each at its own business time, while AWS's time passes."""
    waiting = asked
    for round_ in range(1, PATIENCE + 1):
        for workspace_id, at in waiting:
            for operation in Operation.objects.open().filter(target_id=workspace_id):
                run_one(operation.id, now=at + PROVISIONING * round_)
        open_ids = set(Operation.objects.open().values_list("target_id", flat=True))
        waiting = [(workspace_id, at) for workspace_id, at in waiting if workspace_id in open_ids]
        if not waiting:
            return
        control.advance(PROVISIONING.total_seconds())
    stuck = Operation.objects.open().filter(target_id__in=[workspace_id for workspace_id, _ in waiting])
    raise AssertionError(
        f"operations of the demo did not end: {list(stuck.values('kind', 'status', 'error', 'steps'))}"
    )


def _work(workspace_id: uuid.UUID, life: Life, *, now: datetime, chance: random.Random) -> None:
    """Working days between launch and now: stopped in the evening, started on some mornings."""
    if life.is_always_on:
        return
    until = now - (timedelta(days=10) if life.end == State.TERMINATED else timedelta(hours=6))
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        evening = life.launched_at + timedelta(hours=chance.uniform(1, 4))
        while evening < until:
            morning = min(_next_morning(evening, chance), until)
            _rest(workspace, evening, morning)
            evening = morning + timedelta(hours=chance.uniform(2, 9))


def _next_morning(evening: datetime, chance: random.Random) -> datetime:
    """The next working day on which the machine is used, between 7 and 10 o'clock UTC."""
    day = evening.date() + timedelta(days=chance.choice((1, 1, 2, 3, 5)))
    while day.weekday() > 4:
        day += timedelta(days=1)
    return datetime.combine(day, time(7), tzinfo=evening.tzinfo) + timedelta(minutes=chance.randrange(180))


def _rest(workspace: WorkSpace, evening: datetime, morning: datetime) -> None:
    """Stop the locked machine in the evening and start it in the morning, with one entry for both."""
    actor = Actor.command("seed_demo").in_organization(workspace.organization_id)
    before = workspace.state
    for target, at in (
        (State.STOPPING, evening),
        (State.STOPPED, evening + timedelta(minutes=2)),
        (State.STARTING, morning),
        (State.AVAILABLE, morning + timedelta(minutes=2)),
    ):
        move(workspace=workspace, target=target, occurred_at=at, reason="working day", actor=actor, now=at)
    record(
        actor=actor,
        action=WORKSPACE_STATE_CHANGE,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Machine {workspace.id} rested until its next working day",
        changes={"before": {"state": str(before)}, "after": {"state": str(workspace.state)}},
        occurred_at=workspace.state_since,
    )


def _leave_under_way(
    seeded: Seeded, lives: list[Life], machines: dict[Life, uuid.UUID], *, now: datetime, chance: random.Random
) -> None:
    """What the workers of the running demo will complete: changes that AWS has only just been asked for."""
    ask: dict[str, Callable[..., services.Accepted]] = {
        State.STOPPING: services.stop,
        State.STARTING: services.start,
        State.TERMINATING: services.terminate,
    }
    for life in lives:
        if life.end == State.PENDING:
            _launch(seeded, Life(life.person, now, life.end), chance)
        elif life.end in ask:
            accepted = ask[life.end](actor=acting_as(seeded, life.person), workspace_id=machines[life], now=now)
            run_one(accepted.operation.id, now=now)


def acting_as(seeded: Seeded, person: Person) -> Actor:
    """The person, or the team's lead where a contractor may not end the machine, acting through the command line."""
    user = seeded.users[person.email]
    return Actor(
        kind=Kind.USER,
        interface=Interface.CLI,
        user=user,
        user_id=user.id,
        email=user.email,
        organization_id=user.organization_id,
    )
