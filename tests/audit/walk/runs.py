"""What each management command and each task of the workers leaves in the log, one entry per object that it changed.

What is not here fails tests/audit/test_capture_runs.py, with the line to add.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests import factories
from tests import world as worlds
from tests.audit.walk import rows
from workspaces.models import WorkSpace


@dataclass(frozen=True)
class Run:
    """Something to do in a world, and the entries of it: (action type, result) of each, whatever their order.

    `actor` is whom they name: the job or command itself, or the person in whose name work was carried out.
    """

    prepare: Callable[[Any], Any]
    leaves: tuple[tuple[str, str], ...]
    actor: str
    arguments: tuple[str, ...] = ()
    kwargs: Callable[[Any], dict[str, Any]] = lambda made: {}


def two_expired(world: Any) -> None:
    for number in range(2):
        machine = rows.machine(world, owner=factories.UserFactory(organization=world.organization))
        launched = timezone.now() - timedelta(days=number + 2)
        WorkSpace.objects.filter(pk=machine.pk).update(created_at=launched, max_lifetime_days=1, end_warned_at=launched)


def two_vanished(world: Any) -> None:
    """Machines of two accounts that AWS, here the simulator, does not know."""
    for one in (world, worlds.build()):
        rows.machine(one)


def left_behind(world: Any) -> None:
    """The machines of two people who are switched off."""
    for _ in range(2):
        rows.left_behind(world)


def two_unused(world: Any) -> None:
    """Machines of two organizations that nobody uses."""
    for one in (world, worlds.build()):
        rows.unused(one)


def two_findings(world: Any) -> None:
    """Findings in two accounts whose directories, in the simulator, are as they should be."""
    for one in (world, worlds.build()):
        rows.finding(one)


def two_stops(world: Any) -> list[Any]:
    """Stops of the only machines of two accounts; in one account AWS would not be believed that both are gone."""
    return [rows.operation(one) for one in (world, worlds.build())]


def two_reports(world: Any) -> None:
    """Somebody in each of two organizations gets the report of the last month."""
    for one in (world, worlds.build()):
        rows.report_subscription(one)


def nothing(world: Any) -> None:
    """Nothing has to be there."""


TERMINATED = (("WORKSPACE_TERMINATE", "SUCCESS"),) * 2
LEFT = (
    ("WORKSPACE_KEEP_ALIVE", "SUCCESS"),
    ("WORKSPACE_QUARANTINE", "SUCCESS"),
    ("WORKSPACE_STOP", "SUCCESS"),
) * 2
FOLLOWED = (("WORKSPACE_STATE_CHANGE", "SUCCESS"),) * 2
# Nobody has attested the group policies of the two directories: that is found.
RESOLVED = (("FINDING_OPEN", "SUCCESS"),) * 2 + (("FINDING_RESOLVE", "SUCCESS"),) * 2
ADVISED = (("ADVICE_OPEN", "SUCCESS"),) * 2
MARKS = (("BUDGET_WARNING", "SUCCESS"), ("BUDGET_LIMIT_REACHED", "SUCCESS"))
REPORTS = (("COST_EXPORT", "SUCCESS"),) * 2
OUTCOMES = (("WORKSPACE_STOP_OUTCOME", "FAILURE"),) * 2
FIRST = (("ORGANIZATION_CREATE", "SUCCESS"), ("MEMBER_CREATE", "SUCCESS"))
THIS_MONTH = (f"--month={timezone.now():%Y-%m}",)
ERASE = ("--user=gone@example.com", "--reason=walked")
OPERATOR = ("--email=op@example.com", "--full-name=Op Erator")
INIT = ("--organization=walked", "--email=w@example.com", "--full-name=W")

COMMANDS = {
    "enforce_lifecycle": Run(two_expired, TERMINATED, "COMMAND enforce_lifecycle"),
    "reconcile_workspaces": Run(two_vanished, FOLLOWED, "COMMAND reconcile_workspaces"),
    "send_cost_reports": Run(two_reports, REPORTS, "COMMAND send_cost_reports"),
    "advise_costs": Run(two_unused, ADVISED, "COMMAND advise_costs"),
    "check_budgets": Run(rows.spent, MARKS, "COMMAND check_budgets"),
    "quarantine_leavers": Run(left_behind, LEFT, "COMMAND quarantine_leavers"),
    "send_mails": Run(rows.mail, (), ""),
    "send_webhooks": Run(nothing, (), ""),  # what it tells of has its entry: tests/forge/outbox/webhooks
    "run_operations": Run(two_stops, OUTCOMES, "USER", ("--once",)),
    "forge_init": Run(nothing, FIRST, "COMMAND forge_init", INIT),
    "make_operator": Run(nothing, (("OPERATOR_CREATE", "SUCCESS"),), "COMMAND make_operator", OPERATOR),
    "prove_books": Run(nothing, (), ""),  # faults of the books: tests/budgets/test_proof.py
    "meter_costs": Run(rows.machine, (), ""),  # metering: cost records tell of it
    "rollover_partitions": Run(nothing, (), ""),  # partitions hold nobody's data
    "audit_seal": Run(nothing, (), ""),  # checkpoints tell of it; --new-incarnation: tests/audit/test_incarnations.py
    "audit_verify": Run(nothing, (("AUDIT_VERIFY", "SUCCESS"),), "COMMAND audit_verify", THIS_MONTH),
    "audit_erase": Run(rows.gone_person, (("AUDIT_ERASE", "SUCCESS"),), "COMMAND audit_erase", ERASE),
}

TASKS = {
    "workspaces.enforce_lifecycle": Run(two_expired, TERMINATED, "JOB enforce_lifecycle"),
    "workspaces.reconcile_workspaces": Run(two_vanished, FOLLOWED, "JOB reconcile_workspaces"),
    "workspaces.check_posture": Run(two_findings, RESOLVED, "JOB check_posture"),
    "workspaces.collect_usage": Run(nothing, (), ""),  # samples of use
    "budgets.check_budgets": Run(rows.spent, MARKS, "JOB check_budgets"),
    "budgets.prove_books": Run(nothing, (), ""),  # faults of the books: tests/budgets/test_proof.py
    "audit.close_denial_counts": Run(rows.denial_count, (("AUTH_FAILED", "DENIED"),), "JOB close_denial_counts"),
    "operations.sweep_operations": Run(two_stops, OUTCOMES, "USER"),
    "operations.run_operation": Run(
        two_stops, OUTCOMES[:1], "USER", kwargs=lambda made: {"operation_id": str(made[0].pk)}
    ),
    "costs.meter_costs": Run(rows.machine, (), ""),
    "costs.roll_up_costs": Run(nothing, (), ""),  # sums of what has its records
    "costs.advise_costs": Run(two_unused, ADVISED, "JOB advise_costs"),
    "costs.refresh_prices": Run(nothing, (), ""),  # off unless FORGE_REFRESH_PRICES: tests/costs/test_refresh.py
    "costs.continue_bills": Run(nothing, (), ""),  # the bill's own entry tells of its end: tests/costs/bills
    "costs.send_cost_reports": Run(two_reports, REPORTS, "JOB send_cost_reports"),
    "db.rollover_partitions": Run(nothing, (), ""),
    "audit.seal": Run(nothing, (), ""),
    # The people of a world come from factories, which left no entries: that is found.
    "audit.verify": Run(nothing, (("AUDIT_VERIFY", "FAILURE"),), "JOB audit_verify"),
    "audit.purge_exports": Run(rows.expired_export, (("AUDIT_EXPORT_PURGE", "SUCCESS"),), "JOB purge_audit_exports"),
    "audit.retire_months": Run(nothing, (), ""),  # of months that are due: tests/audit/test_retention.py
    "accounts.warn_of_ends": Run(rows.token, (), ""),  # a warning has no entry, the end of a token stands in its own
    "accounts.purge_sessions": Run(nothing, (), ""),  # sessions past their end open nothing any more
    "api.purge_idempotency_keys": Run(nothing, (), ""),  # answers that have had their 24 hours
    "workspaces.quarantine_leavers": Run(left_behind, LEFT, "JOB quarantine_leavers"),
    "outbox.send_webhooks": Run(nothing, (), ""),
    "outbox.purge_webhook_deliveries": Run(nothing, (), ""),  # deliveries of long ago
    "outbox.send_mails": Run(rows.mail, (), ""),  # what a mail tells of has its entry, the mail has none
}

NOT_WALKED = {
    "refresh_prices": "needs AWS's list: tests/costs/test_refresh.py",
    "audit_export": "needs sealed months and a folder: tests/audit/test_audit_export.py",
    "aws_simulator": "has no database",
    "changepassword": "refuses: tests/forge/accounts/test_make_operator.py",
    "createsuperuser": "refuses: tests/forge/accounts/test_make_operator.py",
    "doctor": "changes nothing",
    "import_bill": "needs a file: tests/costs/bills/test_commands.py",
    "export_focus": "needs a place for its file: tests/costs/bills/test_commands.py",
    "cost_report": "needs a place for its file: tests/costs/showback/test_sending.py",
    "migrate": "changes tables, not what is in them; runs before there is a log",
    "seed_demo": "test_the_demo_names_its_command of tests/audit/test_capture_runs.py",
}
"""Commands that are not run here, and why."""

ADD = """tests/audit/walk/runs.py has no case for the {kind} {name!r}. Add to {table}, with () if it changes nothing:
    "{name}": Run(rows.machine, (("ACTION_TYPE", "SUCCESS"),), "{who} {name}"),"""
