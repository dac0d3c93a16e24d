"""What a rule does to one machine: a stop or an end that is queued, a flag, a warning, and the decision behind it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.services import record
from forge.db.ids import uuid7
from forge.operations.models import Operation
from forge.outbox.services import Owed, owe
from workspaces import actions, mails
from workspaces.busy import under_way
from workspaces.lifecycle import AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.rules.deadlines import FLAG, STOP, TERMINATE, Facts, Plan, Rule, Step, lifetime_bound
from workspaces.rules.evidence import Evidence
from workspaces.rules.judging import WARNED_COLUMN, Outcome, mark, turn_of, wait, warnings_of
from workspaces.rules.models import Decision
from workspaces.rules.pausing import pause_of, unpaused
from workspaces.rules.reckoning import apply
from workspaces.rules.settings import terms
from workspaces.services.control import queue
from workspaces.transitions import lock_machine, lock_scopes_of

_AUDIT = {STOP: actions.WORKSPACE_STOP, TERMINATE: actions.WORKSPACE_TERMINATE}

PUT_OFF = ("put_off_until", "stop_put_off_until")
_WAIT = """
    UPDATE workspaces_workspace AS machine SET stop_put_off_until = new.until, updated_at = %(now)s
      FROM unnest(%(ids)s::uuid[], %(until)s::timestamptz[]) AS new (id, until)
     WHERE machine.id = new.id
"""


def act(*, actor: Actor, workspace_id: uuid.UUID, now: datetime) -> Outcome:
    """Do what is due to a machine, judged anew under its lock: whoever kept, leased or used it meanwhile is heard.

    So is whoever paused the rules. An idle stop without the samples for it is put off. The row, its decision and its
    audit entry are one transaction.
    """
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        workspace = lock_machine(workspace_id)
        if pause_of(workspace.organization_id) is not None:
            return Outcome.PAUSED
        if under_way().filter(target_id=workspace_id).exists():
            return Outcome.PASSED_OVER
        plan = apply([workspace], now=now)[workspace_id]
        turn = turn_of(workspace, plan, now=now)
        step = turn.step
        if step is None or turn.outcome == Outcome.PASSED_OVER:
            return Outcome.PASSED_OVER
        if turn.outcome == Outcome.PUT_OFF:
            wait([workspace], {workspace_id: plan}, now=now)
            _write_wait([workspace], now=now)
        elif turn.outcome == Outcome.FLAG:
            _flag(workspace, step, plan.facts, actor=actor, now=now)
        else:
            inputs = inputs_of(workspace, step, plan.facts, turn.evidence)
            operation = queue(
                workspace,
                actor=actor,
                verb=step.action,
                audit_action=_AUDIT[step.action],
                operation_id=uuid7(),
                now=now,
                spec=AUTOMATIC,
            )
            _decide(workspace, step, step.action, inputs, actor=actor, now=now, operation=operation)
    return turn.outcome


def _flag(workspace: WorkSpace, step: Step, facts: Facts, *, actor: Actor, now: datetime) -> None:
    inputs = inputs_of(workspace, step, facts, None)
    before = workspace.stale_notified_at
    workspace.stale_notified_at = now
    workspace.save(update_fields=["stale_notified_at", "updated_at"])
    end = apply([workspace], now=now)[workspace.id].step_of(TERMINATE, Rule.STALE)
    record(
        actor=actor.in_organization(workspace.organization_id),
        action=actions.WORKSPACE_STALE,
        resource_type="WorkSpace",
        resource_id=str(workspace.id),
        description=f"Machine {workspace.id} is flagged as stale",
        changes={
            "before": {"stale_notified_at": before.isoformat() if before else None},
            "after": {"stale_notified_at": now.isoformat()},
        },
        context={"stopped_since": workspace.state_since.isoformat(), "ends_at": end.at.isoformat() if end else None},
        occurred_at=now,
    )
    if end is not None:
        owed = mails.about_to(workspace, mails.ABOUT_TO_END, at=end.at, rule=end.rule.value, actor=actor, now=now)
        owe([owed], now=now)
    _decide(workspace, step, FLAG, inputs, actor=actor, now=now)


def warn(*, actor: Actor, workspace_ids: Sequence[uuid.UUID], now: datetime) -> int:
    """Note for each machine that the warning of its stop or end falls due, in one transaction; returns how many.

    The times stand on the machine (`stop_warned_at`, `end_warned_at`), where mail and console find them. Of an idle
    stop nobody is warned without the samples for it. Machines that others hold are left to the next run, and those of
    organizations that have paused the rules until they go on.
    """
    with transaction.atomic():
        machines = list(
            unpaused(WorkSpace.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)))
            .filter(id__in=workspace_ids)
            .select_related("blueprint")
            .order_by("id")
        )
        if not machines:
            return 0
        plans = apply(machines, now=now)
        warnings = warnings_of(machines, plans, now=now)
        told, evidence = warnings.told, warnings.evidence
        Decision.objects.bulk_create(
            _decision(
                machine,
                step,
                Decision.Outcome.WARNED,
                inputs_of(
                    machine, step, plans[machine.id].facts, evidence.get(machine.id) if step.action == STOP else None
                ),
                actor=actor.for_one_of(machine.organization_id),
                now=now,
            )
            for machine, step in told
        )
        mark(warnings, plans, now=now)
        for action, column in WARNED_COLUMN.items():
            ids = [one.id for one in warnings.of(action)]
            WorkSpace.objects.filter(id__in=ids).update(**{column: now}, updated_at=now)
        if warnings.unproved:
            _write_wait(warnings.unproved, now=now)
        if told:
            ahead = apply([machine for machine, _ in told], now=now)
            owe(_warnings(told, ahead, actor=actor, now=now), now=now)
    return len(told)


def _warnings(
    told: Sequence[tuple[WorkSpace, Step]], ahead: Mapping[uuid.UUID, Plan], *, actor: Actor, now: datetime
) -> list[Owed]:
    """What the owners are told, with the times of the plans that were written in this transaction."""
    kinds = {STOP: mails.ABOUT_TO_STOP, TERMINATE: mails.ABOUT_TO_END}
    owed = []
    for machine, step in told:
        planned = ahead[machine.id].step_of(step.action, step.rule) or step
        owed.append(
            mails.about_to(machine, kinds[step.action], at=planned.at, rule=step.rule.value, actor=actor, now=now)
        )
    return owed


def _write_wait(machines: Sequence[WorkSpace], *, now: datetime) -> None:
    """Write down how long the idle stop of locked machines waits, as their objects have it."""
    with connection.cursor() as cursor:
        cursor.execute(
            _WAIT,
            {
                "ids": [machine.id for machine in machines],
                "until": [machine.stop_put_off_until for machine in machines],
                "now": now,
            },
        )
    apply(machines, now=now)


def put_off_after_fault(workspace_id: uuid.UUID, *, wait: timedelta, now: datetime) -> None:
    """Let a machine whose action could not even be queued take nobody's place in the next runs."""
    with transaction.atomic():
        workspace = lock_machine(workspace_id)
        for column in PUT_OFF:
            setattr(workspace, column, now + wait)
        workspace.save(update_fields=[*PUT_OFF, "updated_at"])
        apply([workspace], now=now)


def inputs_of(workspace: WorkSpace, step: Step, facts: Facts, evidence: Evidence | None) -> dict[str, Any]:
    """What a decision follows from, as JSON: ids, times and figures, no names."""
    ceilings = facts.ceilings
    inputs: dict[str, Any] = {
        "deadline": step.at.isoformat(),
        "state": str(workspace.state),
        "state_since": workspace.state_since.isoformat(),
        "keep_alive": facts.keep_alive,
    }
    if step.action == STOP:
        inputs |= {
            "last_activity_at": facts.active_at.isoformat(),
            "last_signal": workspace.last_signal,
            "timeout_minutes": facts.timeout.total_seconds() / 60,
            "hard_deadline": facts.hard_deadline.isoformat(),
            "session_ceiling": ceilings.session.source,
            "idle_ceiling": ceilings.idle.source if ceilings.idle else None,
            "leased_until": facts.leased_until.isoformat() if facts.leased_until else None,
            "warned_at": facts.stop_warned_at.isoformat() if facts.stop_warned_at else None,
        }
    elif step.rule == Rule.LIFETIME:
        end, bound = lifetime_bound(facts.created_at, facts.lifetime, ceilings, terms())
        inputs |= {
            "lifetime_end": end.isoformat(),
            "lifetime_ceiling": bound.source if bound else None,
            "let_go_at": facts.let_go_at.isoformat() if facts.let_go_at else None,
            "warned_at": facts.end_warned_at.isoformat() if facts.end_warned_at else None,
        }
    else:
        flagged = facts.stale_notified_at
        inputs["stale_notified_at"] = flagged.isoformat() if flagged else None
    if evidence is not None:
        inputs["evidence"] = evidence.as_json()
    return inputs


def _decide(
    workspace: WorkSpace,
    step: Step,
    outcome: str,
    inputs: dict[str, Any],
    *,
    actor: Actor,
    now: datetime,
    operation: Operation | None = None,
) -> None:
    made = _decision(workspace, step, outcome, inputs, actor=actor, now=now)
    made.operation_id = operation.id if operation else None
    made.save(force_insert=True)


def _decision(
    workspace: WorkSpace, step: Step, outcome: str, inputs: dict[str, Any], *, actor: Actor, now: datetime
) -> Decision:
    return Decision(
        organization_id=workspace.organization_id,
        workspace=workspace,
        rule=step.rule.value,
        outcome=outcome,
        inputs=inputs,
        correlation_id=actor.correlation_id,
        decided_at=now,
    )
