"""What must be true once a storm is over, of every launch, machine, reservation, entry and call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from django.db.models import Count, Q, Sum

from audit.models import AuditLog
from audit.verification.events import verify_events
from audit.verification.rows import verify
from budgets.models import Budget, Reservation
from costs.models import CostRecord
from forge.operations.models import Operation
from tests.races.storm.rate import kept, most_at_once
from workspaces import actions
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.simulator.client import Control
from workspaces.tagging import wanted

ENDED = ("TERMINATING", "TERMINATED", "GONE")


def launches_have_a_machine_or_a_reason() -> Counter[str]:
    """Every launch has ended: AVAILABLE with a machine of its own, or failed with a reason; counts of the outcomes."""
    outcomes: Counter[str] = Counter()
    machines = WorkSpace.objects.in_bulk()
    for operation in Operation.objects.all():
        machine = machines.pop(operation.target_id)
        code = operation.error.get("code", "")
        if operation.status == Operation.Status.SUCCEEDED:
            assert (machine.state, bool(machine.provider_id), code) == ("AVAILABLE", True, ""), operation.error
            outcomes["launched"] += 1
        else:
            assert operation.status == Operation.Status.FAILED, (operation.status, operation.error)
            assert (machine.state, bool(code and operation.error["detail"])) == ("FAILED", True), operation.error
            outcomes[code] += 1
    assert not machines
    return outcomes


def machines_in_aws_are_ours_once(control: Control, strangers: Collection[str]) -> None:
    """AWS has the machine of each AVAILABLE row and no other, made by the operation that its tag names.

    Nor did it ever make one that no attempt of ours accounts for.
    """
    rows = {row.provider_id: row for row in WorkSpace.objects.filter(state="AVAILABLE")}
    shown = {row["workspace_id"]: row for row in control.machines() if row["state"] not in ENDED}
    assert len(rows) == WorkSpace.objects.filter(state="AVAILABLE").count()
    assert shown.keys() - set(strangers) == rows.keys()
    operation_of = dict(Operation.objects.values_list("target_id", "id"))
    for provider_id, row in rows.items():
        machine = shown[provider_id]
        tags = {tag["Key"]: tag["Value"] for tag in machine["tags"]}
        assert (machine["directory_id"], machine["user_name"]) == (row.directory_id, row.directory_user)
        assert tags[wanted.OPERATION] == str(operation_of[row.id])
        assert tags[wanted.WORKSPACE] == str(row.id)
    made = {(one["directory_id"], one["user_name"]): one["ever"] for one in control.launches()}
    asked = {(row.directory_id, row.directory_user): row.domain_join_attempts for row in WorkSpace.objects.all()}
    foreign = [row for row in control.machines() if row["workspace_id"] in strangers]
    assert Counter(made) == Counter(asked) + Counter((row["directory_id"], row["user_name"]) for row in foreign)


def one_look_found_no_orphan(figures: dict[str, int], strangers: Collection[str]) -> None:
    """What the one reconcile came to: all were seen, none was lost, moved or forgotten."""
    available = WorkSpace.objects.filter(state="AVAILABLE")
    odd = ("moved", "vanished", "unexplained", "in_error", "unreachable", "implausible", "failed", "orphans")
    assert {name: figures[name] for name in odd} == dict.fromkeys(odd, 0)
    assert (figures["seen"], figures["unmanaged"]) == (available.count(), len(strangers))
    assert set(UnmanagedMachine.objects.standing().values_list("provider_id", flat=True)) == set(strangers)
    assert not UnmanagedMachine.objects.filter(is_orphan=True).exists()
    assert not available.filter(connection_url=None).exists()


def money_agrees() -> None:
    """Budgets hold what the reservations of living machines say, and nothing for those that failed."""
    for budget in Budget.objects.all():
        held = Reservation.objects.filter(budget=budget).aggregate(Sum("remaining"))["remaining__sum"]
        assert (budget.reserved, budget.spent) == (held or 0, 0)
    assert not CostRecord.objects.exists()  # nothing was metered meanwhile
    live = Count("reservations", filter=Q(reservations__released_at=None))
    counts = Counter(WorkSpace.objects.annotate(live=live).values_list("state", "live"))
    assert counts.keys() <= {("AVAILABLE", 2), ("FAILED", 0)}, counts  # the team's budget and the organization's


def the_log_is_whole() -> None:
    """No link is missing, and every launch and state change has its entries.

    Organizations, people, blueprints, budgets and prices came from factories, past the services that write entries, so
    rows are held against the log only where a launch or its operation wrote them.
    """
    report = verify()
    assert report.is_intact, report.findings
    events = verify_events()
    assert events.rows["workspaces_workspace"] == WorkSpace.objects.count()
    ours = [one for one in events.findings if (one.table or "").startswith(("workspaces_", "operations_"))]
    assert [one for one in ours if one.table != "workspaces_provideraccount"] == []
    ended = AuditLog.objects.filter(action_type=actions.WORKSPACE_LAUNCH_OUTCOME)
    assert Counter(ended.values_list("resource_id", flat=True)) == Counter(
        str(target) for target in Operation.objects.values_list("target_id", flat=True)
    )


def the_rate_was_kept(control: Control, *, began: float, rate: float, burst: int, workers: int) -> str:
    """No account and region was called more often than its token bucket allows; a line of figures for each."""
    lines = []
    for account, region in sorted(set(ProviderAccount.objects.values_list("account", "region"))):
        listed = control.calls(account=account, region=region)
        times = [call["at"] for call in listed["calls"]]
        assert listed["forgotten"] == 0
        most, seconds = most_at_once(times, rate), times[-1] - began
        lines.append(
            f"{account}/{region}: {len(times)} calls, {burst + rate * seconds:.0f} allowed in"
            f" {seconds:.0f} s; needed a burst of {most:.1f}, at most {busiest_second(times)} within a second"
        )
        assert kept(times, began=began, rate=rate, burst=burst, workers=workers), lines[-1]
    return "\n".join(lines)


def busiest_second(times: Sequence[float]) -> int:
    """The most calls within any second; `times` are in order."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
