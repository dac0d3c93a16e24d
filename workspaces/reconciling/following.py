"""Following what AWS shows of one machine: its state, and the facts beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.services import record
from workspaces import actions, aws
from workspaces.busy import under_way
from workspaces.handlers.launching import connection_url
from workspaces.lifecycle import AWS_STATES, State, may_move
from workspaces.models import WorkSpace
from workspaces.reconciling.run import Run
from workspaces.transitions import lock_machine, lock_scopes_of, move

logger = logging.getLogger(__name__)

SESSION_EXPECTED = timedelta(minutes=15)
"""A machine of WorkSpaces Applications is taken for running so long after it was opened, until its session is seen."""

IN_ERROR = "ERROR"
"""AWS's word for a machine that is broken; ours keeps its state, and people hear of it."""


def as_of_now(
    machines: Sequence[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Gateway, run: Run
) -> tuple[list[WorkSpace], list[aws.Machine]]:
    """The machines of ours that can be compared, and what AWS shows, in the order of its pages.

    The pages are older than the rows: an operation may have ended in between. So AWS is asked anew for what differs
    from its row; what it does not show then, or shows in a state that Forge does not know, waits for the next run.
    """
    by_id = {one.provider_id: one for one in shown}
    differing = [one.provider_id for one in machines if _differs(one, by_id[one.provider_id])]
    newest = gateway.describe(differing)
    missed = set(differing) - newest.keys()
    by_id = {id_: newest.get(id_, one) for id_, one in by_id.items() if id_ not in missed}
    comparable = []
    for machine in machines:
        seen = by_id.get(machine.provider_id)
        if seen is None:
            continue
        if seen.state not in AWS_STATES:
            run.figures.failed += 1
            told = f"machine {machine.id}: AWS shows the state {seen.state!r}, which Forge does not know"
            run.fault(told)
            logger.error("%s", told)
            continue
        comparable.append(machine)
    return comparable, list(by_id.values())


def _differs(machine: WorkSpace, seen: aws.Machine) -> bool:
    """Whether something would be written of the machine."""
    facts = (seen.state, seen.ip_address)
    known = AWS_STATES.get(seen.state)
    is_elsewhere = known is None or known.state not in (None, machine.state)
    return is_elsewhere or (machine.provider_state, machine.ip_address) != facts


def compare(
    machines: Iterable[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Provider | aws.StackLook, run: Run
) -> None:
    """Follow what AWS shows of machines of ours."""
    machines = list(machines)
    by_id = {one.provider_id: one for one in shown}
    asked = [one.provider_id for one in machines if _connection_is_wanted(one, by_id[one.provider_id])]
    connections = gateway.connections(asked)
    addresses = _addresses({machine.directory_id for machine in machines if _lacks_address(machine)}, gateway)
    for machine in machines:
        run.figures.seen += 1
        beside: dict[str, Any] = {}
        connected_at = _last_connected(machine, connections.get(machine.provider_id), run.now)
        if connected_at != machine.last_connected_at:
            beside["last_connected_at"] = connected_at
        if _lacks_address(machine):
            beside["connection_url"] = addresses.get(machine.directory_id)
        with run.going_on(f"machine {machine.id}"):
            if not _awaits_session(machine, by_id[machine.provider_id], connected_at, run.now):
                follow_one(machine, by_id[machine.provider_id], beside, run)


def _connection_is_wanted(machine: WorkSpace, seen: aws.Machine) -> bool:
    """Whether to ask here when its user was last connected.

    `collect_usage` asks that of the running machines of WorkSpaces Personal. What it does not see is the last use
    before a stop that came by itself, and what was before the first look at an adopted machine.
    """
    if machine.capabilities.starts_by_itself or _lacks_address(machine):
        return True
    return AWS_STATES[seen.state].state not in (None, machine.state)


def _awaits_session(machine: WorkSpace, seen: aws.Machine, connected_at: datetime | None, now: datetime) -> bool:
    """True while a machine without a session may yet get one: it was opened just now, and nobody has come so far."""
    if not machine.capabilities.starts_by_itself or machine.state != State.AVAILABLE or seen.state != "STOPPED":
        return False
    came = connected_at is not None and connected_at >= machine.state_since
    return not came and now < machine.state_since + SESSION_EXPECTED


def follow_one(
    machine: WorkSpace, seen: aws.Machine | None, beside: Mapping[str, Any], run: Run, *, why: str = "vanished from AWS"
) -> None:
    """Bring one machine to what AWS shows; `beside` are facts to keep when it is there, `why` the reason when not."""
    target = State.TERMINATED if seen is None else AWS_STATES[seen.state].state
    if target is not None and target != machine.state:
        if not may_move(machine.state, target):
            run.figures.unexplained += 1
            logger.warning("machine %s is %s here and %s in AWS", machine.id, machine.state, target)
        elif run.dry_run or _follow(machine, why if seen is None else f"AWS shows {seen.state}", target, run):
            run.figures.moved += 1
            run.figures.vanished += seen is None
    if seen is not None:
        run.figures.in_error += seen.state == IN_ERROR
        if not run.dry_run:
            run.figures.refreshed += _refresh(machine, seen, beside, run)


def _follow(machine: WorkSpace, reason: str, target: State, run: Run) -> bool:
    """Move one machine where AWS has it, unless anything was done to it since it was read; `machine` is then so."""
    actor, now = run.actor.for_one_of(machine.organization_id), run.now
    source, version = machine.state, machine.version
    with transaction.atomic():
        lock_scopes_of(machine.id)
        workspace = lock_machine(machine.id)
        busy = under_way().filter(target_id=machine.id).exists()
        if busy or (workspace.state, workspace.version) != (source, version):
            return False
        move(workspace=workspace, target=target, occurred_at=now, reason=reason, actor=actor, now=now)
        record(
            actor=actor,
            action=actions.WORKSPACE_STATE_CHANGE,
            resource_type="WorkSpace",
            resource_id=str(machine.id),
            description=f"Machine {machine.id} followed AWS",
            changes={"before": {"state": str(source)}, "after": {"state": str(target)}},
            context={"reason": reason},
            occurred_at=now,
        )
    machine.state, machine.state_since = workspace.state, workspace.state_since
    return True


def _refresh(machine: WorkSpace, seen: aws.Machine, beside: Mapping[str, Any], run: Run) -> bool:
    """Write what AWS shows beside the state, when it differs, unless anything is done to it since it was read."""
    facts = {
        "provider_state": seen.state,
        "health": AWS_STATES[seen.state].health,
        "ip_address": seen.ip_address,
        **beside,
    }
    if all(getattr(machine, name) == value for name, value in facts.items()):
        return False
    with transaction.atomic():
        row = WorkSpace.objects.filter(pk=machine.pk)
        before, version = row.select_for_update(no_key=True).values_list("provider_state", "version").get()
        if version != machine.version or under_way().filter(target_id=machine.pk).exists():
            return False
        row.update(**facts, updated_at=run.now)
        if seen.state == IN_ERROR != before:
            _record_error(machine, seen, run)
    return True


def _record_error(machine: WorkSpace, seen: aws.Machine, run: Run) -> None:
    """The one audit entry of a machine that AWS has begun to report as broken."""
    record(
        actor=run.actor.for_one_of(machine.organization_id),
        action=actions.WORKSPACE_ERROR,
        resource_type="WorkSpace",
        resource_id=str(machine.id),
        result="FAILURE",
        description=f"AWS reports machine {machine.id} in ERROR",
        changes={"before": {"health": machine.health}, "after": {"health": IN_ERROR}},
        context={"state": machine.state, "error": seen.error},
        occurred_at=run.now,
    )


def _lacks_address(machine: WorkSpace) -> bool:
    """True for one whose launch did not learn what AWS tells of its directory; a stack has no such address."""
    return machine.capabilities.address_lasts and machine.connection_url is None and machine.launched_at is not None


def _addresses(directory_ids: Iterable[str], gateway: Any) -> dict[str, str | None]:
    """The connection URLs of directories by id; what AWS does not tell of now is asked for by the next run."""
    found: dict[str, str | None] = {}
    for directory_id in directory_ids:
        try:
            found[directory_id] = connection_url(gateway.registration_code(directory_id))
        except aws.AwsError as error:
            logger.warning("the address of directory %s is not known: %s", directory_id, error)
    return found


def _last_connected(machine: WorkSpace, connection: aws.Connection | None, now: datetime) -> datetime | None:
    """What is known of the machine's last connection: the newer of its row and what AWS says, if it was asked."""
    known = machine.last_connected_at
    if connection is None:
        return known
    told = now if connection.is_connected else connection.last_connected_at
    return max(filter(None, (known, told)), default=None)
