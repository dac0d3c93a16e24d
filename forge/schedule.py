"""What happens by itself: the Celery beat schedule as one literal dict, and the queue of each task.

Every entry has `expires`, so that a worker that was away does not run a backlog of stale ticks; each job claims its
slot in JobRun (forge.db.jobs), so that two beats do no harm. Each queue has a worker slot of its own, or a long
sweep would delay the seals and the operations.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kombu import Queue

TASK_QUEUES = [Queue("seal"), Queue("operations"), Queue("sweeps"), Queue("mail"), Queue("webhooks")]

TASK_ROUTES = {
    "audit.seal": {"queue": "seal"},
    "operations.run_operation": {"queue": "operations"},
    "operations.sweep_operations": {"queue": "operations"},
    "outbox.send_mails": {"queue": "mail"},
    "outbox.send_webhooks": {"queue": "webhooks"},
}

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "audit_seal": {"task": "audit.seal", "schedule": 5.0, "options": {"expires": 5}},
    "run_operations": {"task": "operations.sweep_operations", "schedule": 5.0, "options": {"expires": 5}},
    "send_mails": {"task": "outbox.send_mails", "schedule": 15.0, "options": {"expires": 14}},
    "send_webhooks": {"task": "outbox.send_webhooks", "schedule": 10.0, "options": {"expires": 9}},
    "purge_webhook_deliveries": {
        "task": "outbox.purge_webhook_deliveries",
        "schedule": 3600.0,
        "options": {"expires": 3500},
    },
    "meter_costs": {"task": "costs.meter_costs", "schedule": 60.0, "options": {"expires": 55}},
    "roll_up_costs": {"task": "costs.roll_up_costs", "schedule": 60.0, "options": {"expires": 55}},
    "refresh_prices": {"task": "costs.refresh_prices", "schedule": 3600.0, "options": {"expires": 3500}},
    "prove_books": {"task": "budgets.prove_books", "schedule": 3600.0, "options": {"expires": 3500}},
    "continue_bills": {"task": "costs.continue_bills", "schedule": 300.0, "options": {"expires": 290}},
    "send_cost_reports": {"task": "costs.send_cost_reports", "schedule": 300.0, "options": {"expires": 290}},
    "advise_costs": {"task": "costs.advise_costs", "schedule": 300.0, "options": {"expires": 290}},
    "check_budgets": {"task": "budgets.check_budgets", "schedule": 60.0, "options": {"expires": 55}},
    "reconcile_workspaces": {"task": "workspaces.reconcile_workspaces", "schedule": 300.0, "options": {"expires": 290}},
    "check_posture": {"task": "workspaces.check_posture", "schedule": 3600.0, "options": {"expires": 3500}},
    "collect_usage": {"task": "workspaces.collect_usage", "schedule": 300.0, "options": {"expires": 290}},
    "enforce_lifecycle": {"task": "workspaces.enforce_lifecycle", "schedule": 300.0, "options": {"expires": 290}},
    "quarantine_leavers": {"task": "workspaces.quarantine_leavers", "schedule": 60.0, "options": {"expires": 55}},
    "rollover_partitions": {"task": "db.rollover_partitions", "schedule": 3600.0, "options": {"expires": 3500}},
    "retire_months": {"task": "audit.retire_months", "schedule": 3600.0, "options": {"expires": 3500}},
    "purge_idempotency_keys": {"task": "api.purge_idempotency_keys", "schedule": 3600.0, "options": {"expires": 3500}},
    "warn_of_ends": {"task": "accounts.warn_of_ends", "schedule": 3600.0, "options": {"expires": 3500}},
    "purge_sessions": {"task": "accounts.purge_sessions", "schedule": 3600.0, "options": {"expires": 3500}},
    "purge_audit_exports": {"task": "audit.purge_exports", "schedule": 3600.0, "options": {"expires": 3500}},
    "audit_verify": {"task": "audit.verify", "schedule": 3600.0, "options": {"expires": 3500}},
    "close_denial_counts": {"task": "audit.close_denial_counts", "schedule": 60.0, "options": {"expires": 55}},
}

_DAILY = {"audit_verify", "prove_books", "purge_webhook_deliveries"}
_DAILY |= {"refresh_prices", "retire_months", "rollover_partitions"}
_DONE_WITH_THE_SLOT = {"enforce_lifecycle"}
_ASKED_FOR_BY = {"refresh_prices": "FORGE_REFRESH_PRICES"}


@dataclass(frozen=True)
class Rhythm:
    """How often a job ticks and how often it works: it is to succeed once in each `slot`, and ticks that often or more.

    `again`: a slot whose run failed is taken anew by a tick that still comes in it. `setting`: the name of the
    setting without which its ticks do nothing; None for the jobs that always work.
    """

    tick: timedelta
    slot: timedelta
    again: bool
    setting: str | None


def _rhythm(job: str, tick: timedelta) -> Rhythm:
    slot = timedelta(days=1) if job in _DAILY else tick
    return Rhythm(tick=tick, slot=slot, again=job not in _DONE_WITH_THE_SLOT, setting=_ASKED_FOR_BY.get(job))


RHYTHMS = {job: _rhythm(job, timedelta(seconds=entry["schedule"])) for job, entry in BEAT_SCHEDULE.items()}
"""How often each job works, by name; a test holds it against what the tasks claim."""
