"""What people ask for, each judged against the table of what the state allows: done, or refused and nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.models import AuditLog
from budgets.models import Budget, Reservation
from forge.api.errors import Problem
from forge.operations import services as operations
from forge.operations.models import Operation
from tests import world as worlds
from tests.workspaces.machine.dying import mortal
from tests.workspaces.machine.law import allowed
from tests.workspaces.machine.stage import APPLICATIONS, PERSONAL, Stage
from tests.workspaces.streams import EDITOR
from workspaces import services
from workspaces.models import StateChange, WorkLease, WorkSpace
from workspaces.services.control import IllegalInThisState, OperationInProgress

CHANGES: tuple[dict[str, Any], ...] = (
    {"bundle_type": "PERFORMANCE"},
    {"running_mode": "ALWAYS_ON"},
    {"running_mode": "AUTO_STOP"},
    {"auto_stop_timeout_minutes": 120},
    {"user_volume_gb": 100},
    {"root_volume_gb": 40},
)


def everything() -> tuple[Any, ...]:
    """All that a request may change; equal before and after means that it changed nothing."""
    return (
        list(WorkSpace.objects.order_by("id").values_list()),
        list(Operation.objects.order_by("id").values_list("id", "status", "cancel_requested_at", "next_attempt_at")),
        list(Budget.objects.order_by("id").values_list("spent", "reserved")),
        list(Reservation.objects.order_by("id").values_list("remaining", "released_at")),
        StateChange.objects.count(),
        WorkLease.objects.count(),
        AuditLog.objects.count(),
    )


def request(call: Callable[[], Any], *, dies: int | None = None) -> tuple[Any, Problem | None]:
    """Ask; the answer (None if the process died) or the refusal, which must have changed nothing."""
    before, answer, refusal = everything(), None, None
    try:
        with mortal(dies):
            answer = call()
    except Problem as problem:
        refusal = problem
    assert refusal is None or everything() == before, f"{refusal} changed something"
    return answer, refusal


def ask(stage: Stage, number: int, action: str, call: Callable[[WorkSpace], Any], *, dies: int | None = None) -> Any:
    """Ask for `action` on a machine, and see that its state decides as the table says."""
    machine = stage.machine(number)
    legal = allowed(machine.state, machine.running_mode, machine.service_type)
    answer, refusal = request(lambda: call(machine), dies=dies)
    told = f"{action} of a machine that is {machine.state} ({machine.running_mode}, {machine.service_type})"
    if action not in legal:
        assert answer is None, f"{told} was accepted"
        if refusal is not None:
            assert isinstance(refusal, IllegalInThisState), f"{told}: {refusal.code}"
            assert set(refusal.extra["legal"]) == legal, told
    elif refusal is not None:
        assert not isinstance(refusal, IllegalInThisState), f"{told} was refused"
    if isinstance(refusal, OperationInProgress):
        assert Operation.objects.open().filter(pk=refusal.extra["operation"], target_id=machine.id).exists(), told
    return answer


def launch(
    stage: Stage, person: int, service: str, bundle_type: str, running_mode: str, *, dies: int | None
) -> list[int]:
    """Ask for a machine; the numbers of those that came of it."""
    owner = stage.people[person]
    if service == PERSONAL:
        spec = stage.world.spec(bundle_type=bundle_type, running_mode=running_mode)
    else:
        spec = stage.world.spec(
            service_type=APPLICATIONS, blueprint_id=None, application_ids=(EDITOR,), operating_system="WINDOWS"
        )
    had = WorkSpace.objects.live().filter(owner=owner, service_type=service).exists()
    answer, refusal = request(lambda: services.launch(actor=worlds.actor(owner), spec=spec, now=stage.now), dies=dies)
    if answer is not None:
        assert not had, "a second machine for the same person was accepted"
        for budget in Budget.objects.all():
            assert budget.spent + budget.reserved <= budget.amount, f"{budget} holds more than its amount"
    elif refusal is not None:
        known = ("machine_exists", "budget_exceeded", "applications_not_offered", "stack_not_closed")
        assert refusal.code in known, refusal.code
        assert had == (refusal.code == "machine_exists"), refusal.code
    return stage.new_machines()


def control(stage: Stage, number: int, verb: str, *, dies: int | None = None) -> Any:
    """Start, stop, reboot, rebuild, restore or terminate."""
    service = getattr(services, verb)
    return ask(
        stage,
        number,
        verb,
        lambda machine: service(actor=stage.admin, workspace_id=machine.id, now=stage.now),
        dies=dies,
    )


def modify(stage: Stage, number: int, wanted: dict[str, Any], *, dies: int | None) -> Any:
    return ask(
        stage,
        number,
        "modify",
        lambda machine: services.modify(actor=stage.admin, workspace_id=machine.id, wanted=wanted, now=stage.now),
        dies=dies,
    )


def hold(stage: Stage, number: int, how: str) -> Any:
    """Lease a machine, keep it alive, or let it last longer."""
    until = stage.now + timedelta(hours=2)
    calls: dict[str, Callable[..., Any]] = {
        "lease": lambda **given: services.lease(until=until, reason="a run", **given),
        "keep-alive": lambda **given: services.keep_alive(until=until, reason="a run", **given),
        "extend": lambda **given: services.extend(days=1, reason="a run", **given),
    }
    return ask(
        stage, number, how, lambda machine: calls[how](actor=stage.admin, workspace_id=machine.id, now=stage.now)
    )


def connect(stage: Stage, number: int) -> str | None:
    """Ask for the way in; the address, where there is one."""
    access = ask(
        stage,
        number,
        "connect",
        lambda machine: services.connect(actor=stage.admin, workspace_id=machine.id, now=stage.now),
    )
    return access.url if access is not None else None


def bulk(stage: Stage, verb: str, *, dies: int | None) -> Any:
    """Ask for the same of every machine."""
    return request(
        lambda: services.bulk(actor=stage.admin, verb=verb, workspace_ids=stage.order, now=stage.now), dies=dies
    )


def call_off(stage: Stage, number: int, how: str, *, dies: int | None) -> Any:
    """Cancel or retry the newest operation of a machine."""
    operation = Operation.objects.filter(target_id=stage.order[number]).order_by("-id").first()
    if operation is None:
        return None
    service = getattr(operations, how)
    return request(lambda: service(operation=operation, actor=stage.admin, now=stage.now), dies=dies)
