"""Keeping `next_action` of machines what it must be: reckoned anew whenever something changed that it follows from.

A trigger (migration 0007) marks a machine in the transaction that changes its state, its terms, its use, or what
people asked for; a policy's change is spread over its machines by the sweep. So nothing is lost whoever writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Max

from workspaces.lifecycle import LIVE_STATES
from workspaces.models import WorkSpace
from workspaces.rules.ceilings import bound_by, ceilings_of
from workspaces.rules.deadlines import Facts, Plan, lifetime_bound, plan
from workspaces.rules.models import LifecyclePolicy, WorkLease
from workspaces.rules.settings import terms

CHUNK = 1000

_WRITE = """
    UPDATE workspaces_workspace AS machine
       SET next_action = new.action, next_action_at = new.at, next_rule = new.rule, warn_at = new.warn_at,
           is_unreckoned = false, updated_at = %(now)s
      FROM unnest(%(ids)s::uuid[], %(actions)s::text[], %(ats)s::timestamptz[], %(rules)s::text[],
                  %(warns)s::timestamptz[]) AS new (id, action, at, rule, warn_at)
     WHERE machine.id = new.id
"""


def facts_of(machines: Sequence[WorkSpace], *, now: datetime) -> dict[uuid.UUID, Facts]:
    """What the rules know of machines, by id, in two queries; `blueprint` of each is read already."""
    ceilings = ceilings_of(machines)
    live_leases = WorkLease.objects.filter(workspace_id__in=[machine.id for machine in machines], until__gt=now)
    leases = dict(live_leases.values_list("workspace_id").annotate(Max("until")))
    return {
        machine.id: Facts(
            state=machine.state,
            is_auto_stop=machine.capabilities.has_running_modes
            and machine.running_mode == WorkSpace.RunningMode.AUTO_STOP,
            keeps_state=machine.capabilities.keeps_state_on_stop,
            created_at=machine.created_at,
            state_since=machine.state_since,
            idle_timeout=timedelta(minutes=machine.auto_stop_timeout_minutes),
            lifetime=timedelta(days=machine.max_lifetime_days),
            ceilings=ceilings[machine.id],
            mode_since=machine.mode_since,
            last_activity_at=machine.last_activity_at,
            leased_until=leases.get(machine.id),
            keep_alive=machine.keep_alive,
            keep_alive_until=machine.keep_alive_until if machine.keep_alive else None,
            let_go_at=machine.let_go_at,
            stale_notified_at=machine.stale_notified_at,
            stop_warned_at=machine.stop_warned_at,
            end_warned_at=machine.end_warned_at,
            put_off_until=machine.put_off_until,
            stop_put_off_until=machine.stop_put_off_until,
        )
        for machine in machines
    }


def lifetime_ends(machines: Sequence[WorkSpace]) -> dict[uuid.UUID, datetime]:
    """When the lifetime in force of each machine is over, by id, in one query; `blueprint` of each is read already."""
    bound, the_terms = ceilings_of(machines), terms()
    return {
        one.id: lifetime_bound(one.created_at, timedelta(days=one.max_lifetime_days), bound[one.id], the_terms)[0]
        for one in machines
    }


def plans_of(machines: Sequence[WorkSpace], *, now: datetime) -> dict[uuid.UUID, Plan]:
    """What lies ahead of each machine."""
    the_terms = terms()
    return {machine_id: plan(facts, the_terms) for machine_id, facts in facts_of(machines, now=now).items()}


def show(machine: WorkSpace, ahead: Plan) -> None:
    """Set on the machine's object, not in the database, what comes next."""
    step = ahead.next
    machine.next_action, machine.next_rule = (step.action, step.rule.value) if step else ("", "")
    machine.next_action_at = step.at if step else None
    machine.warn_at = ahead.warn_at
    machine.is_unreckoned = False


def apply(machines: Sequence[WorkSpace], *, now: datetime) -> dict[uuid.UUID, Plan]:
    """Write the next action of machines that the caller has locked; their objects show it too. Returns the plans."""
    plans = plans_of(machines, now=now)
    for machine in machines:
        show(machine, plans[machine.id])
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "now": now,
                "ids": [machine.id for machine in machines],
                "actions": [machine.next_action for machine in machines],
                "ats": [machine.next_action_at for machine in machines],
                "rules": [machine.next_rule for machine in machines],
                "warns": [machine.warn_at for machine in machines],
            },
        )
    return plans


def reckon(*, now: datetime) -> int:
    """Reckon every machine that is marked, a chunk to a transaction; returns how many. Locked ones keep their mark."""
    spread_policies(now=now)
    count = 0
    while True:
        reckoned = reckon_chunk(now=now)
        count += reckoned
        if reckoned < CHUNK:
            return count


def reckon_chunk(*, now: datetime) -> int:
    with transaction.atomic():
        machines = list(
            WorkSpace.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
            .filter(is_unreckoned=True)
            .select_related("blueprint")
            .order_by("id")[:CHUNK]
        )
        if machines:
            apply(machines, now=now)
    return len(machines)


def spread_policies(*, now: datetime) -> None:
    """Mark the machines of policies that changed, a chunk to a transaction; a run that is killed is gone on with."""
    for policy_id in LifecyclePolicy.objects.filter(is_spread=False).order_by("id").values_list("id", flat=True):
        while _spread_chunk(policy_id, now=now):
            pass


def _spread_chunk(policy_id: uuid.UUID, *, now: datetime) -> bool:
    """Mark the next machines under a policy; False when there are none left, or somebody else is at it."""
    with transaction.atomic():
        policy = (
            LifecyclePolicy.objects.select_for_update(no_key=True, skip_locked=True)
            .filter(pk=policy_id, is_spread=False)
            .first()
        )
        if policy is None:
            return False
        machines = WorkSpace.objects.filter(bound_by(policy), state__in=LIVE_STATES)
        if policy.spread_after:
            machines = machines.filter(id__gt=policy.spread_after)
        locked = machines.select_for_update(no_key=True, of=("self",)).order_by("id")
        ids = list(locked.values_list("id", flat=True)[:CHUNK])
        WorkSpace.objects.filter(id__in=ids).update(is_unreckoned=True, updated_at=now)
        policy.spread_after = ids[-1] if ids else None
        policy.is_spread = len(ids) < CHUNK
        policy.save(update_fields=["spread_after", "is_spread", "updated_at"])
    return not policy.is_spread
