"""The stage of one example: a small organization, its cloud, one clock for both, and what is held against the truth."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from budgets.models import Budget
from costs.models import Price
from forge.accounts.models import User
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.plugins.database import empty_database
from tests.workspaces.machine.law import OURS, TERMINAL
from tests.workspaces.machine.money import Terms
from tests.workspaces.machine.sky import ACCOUNT, REGION, STACK, Shown, Sky
from workspaces.aws import pace
from workspaces.models import ConfigurationChange, StateChange, WorkSpace

BEGIN = datetime(2026, 3, 30, 20, 17, tzinfo=UTC)
"""Before the turn of a month, so that examples of a day or two pass it."""

PERSONAL, APPLICATIONS = "WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"
SESSION_EXPECTED = timedelta(minutes=15)
CHANGE_SHOWN = timedelta(minutes=15)
"""So long after a modification AWS may show what was before it, so a look leaves the row as it is."""
INSTANT = timedelta(milliseconds=1)
HIDDEN_FOR = 100.0
"""Seconds for which a machine is not shown that AWS shows late."""
TURNING = ("AVAILABLE", "STOPPING", "STOPPED", "STARTING")
FOLLOWED = [f"workspace.{verb}" for verb in ("start", "stop", "modify", "reboot", "rebuild", "restore", "terminate")]
"""Operations that look at their machine before they end."""

TERMS = {
    PERSONAL: {
        ("STANDARD", "AUTO_STOP"): Terms(Decimal("9.75"), Decimal("0.30"), Decimal("0.1"), 130),
        ("STANDARD", "ALWAYS_ON"): Terms(Decimal(35), Decimal(0), Decimal("0.1"), 130),
        ("PERFORMANCE", "AUTO_STOP"): Terms(Decimal("13.01"), Decimal("0.47"), Decimal("0.1"), 130),
        ("PERFORMANCE", "ALWAYS_ON"): Terms(Decimal("50.5"), Decimal(0), Decimal("0.1"), 130),
    },
    APPLICATIONS: {("STANDARD", "AUTO_STOP"): Terms(Decimal("4.19"), Decimal("0.2"), Decimal(0), 0)},
}


@dataclass
class Stage:
    """`now` is Forge's clock and the simulator's; `machines` are numbered in the order in which they were launched."""

    sky: Sky
    now: datetime = BEGIN
    order: list[uuid.UUID] = field(default_factory=list)
    agreed: dict[uuid.UUID, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    truths: dict[uuid.UUID, str | None] = field(default_factory=dict)
    last_change: int = 0
    last_configuration: int = 0
    ended: set[uuid.UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        empty_database()
        self.new_process()
        self.sky.begin(BEGIN)
        self.world = worlds.build(expire_at=BEGIN + timedelta(days=300))
        self.people = [self.world.engineer, self.world.lead, self.world.contractor]
        self.admin = worlds.actor(self.world.admin)
        self._set_prices()
        self.sky.control.appear_stack(
            account=ACCOUNT,
            region=REGION,
            fleet={
                "Name": STACK,
                "InstanceType": "stream.standard.medium",
                "ImageName": "engineering-apps-1",
                "ComputeCapacity": {"DesiredInstances": 5},
            },
            stack={"Name": STACK, "Tags": {"forge:organization": self.world.organization.slug}},
        )
        factories.ApplicationStackFactory(
            organization=self.world.organization, provider_account=self.world.account, name=STACK
        )

    def _set_prices(self) -> None:
        Price.objects.bulk_create(
            Price(
                organization=self.world.organization,
                service_type=service_type,
                region=REGION,
                bundle_type=bundle_type,
                operating_system="LINUX" if service_type == PERSONAL else "WINDOWS",
                running_mode=running_mode,
                monthly_amount=terms.monthly,
                hourly_amount=terms.hourly,
                storage_gb_month_amount=terms.per_gb,
                included_storage_gb=terms.included_gb,
                currency="USD",
                source="made up by a test",
                as_of=BEGIN.date(),
                valid_from=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for service_type, kinds in TERMS.items()
            for (bundle_type, running_mode), terms in kinds.items()
        )

    def set_budgets(self, team: int, organization: int) -> None:
        for scope, scope_id, amount in (
            ("TEAM", self.world.team.id, team),
            ("ORGANIZATION", self.world.organization.id, organization),
        ):
            factories.BudgetFactory(
                organization=self.world.organization,
                scope=scope,
                scope_id=scope_id,
                amount=Decimal(amount),
                period_end=datetime(2026, 6, 1, tzinfo=UTC),
                on_limit=Budget.OnLimit.BLOCK_STARTS if scope == "TEAM" else Budget.OnLimit.BLOCK_LAUNCHES,
            )

    def pass_time(self, seconds: float) -> None:
        self.sky.control.advance(seconds)
        self.now += timedelta(seconds=seconds)
        if seconds >= pace.REST:
            self.new_process()
        self.look()

    def strike(self, kind: str, operation: str, count: int) -> None:
        """The next so many of these calls go wrong."""
        more = {"seconds": HIDDEN_FOR} if kind == "late_visibility" else {}
        self.sky.control.fault(kind, operation=operation, count=count, **more)

    @staticmethod
    def new_process() -> None:
        """What a process knows by itself is gone: another one begins, or its own pause is over."""
        pace.circuit_of.cache_clear()

    # -- Machines ----------------------------------------------------------------------------------------------------

    def new_machines(self) -> list[int]:
        """The numbers of machines that have come since the last call."""
        known = set(self.order)
        ids = WorkSpace.objects.order_by("created_at", "id").values_list("id", flat=True)
        fresh = [workspace_id for workspace_id in ids if workspace_id not in known]
        self.order += fresh
        return [self.order.index(workspace_id) for workspace_id in fresh]

    def machine(self, number: int) -> WorkSpace:
        return WorkSpace.objects.select_related("owner").get(pk=self.order[number])

    @staticmethod
    def has_computer(person: User) -> bool:
        return WorkSpace.objects.live().filter(owner=person, service_type=PERSONAL).exists()

    def shown(self, machine: WorkSpace) -> str | None:
        """AWS's word for the machine, in the words of DescribeWorkspaces; None when there never was one."""
        if machine.service_type == APPLICATIONS:
            if not self.sky.holds(machine.directory_user):
                return "GONE" if machine.provider_id else None
            return "AVAILABLE" if self.sky.streams(machine.directory_user) else "STOPPED"
        found = [one for one in self.sky.machines() if one.workspace_id == str(machine.id)]
        if machine.provider_id:
            found = [one for one in found if one.provider_id == machine.provider_id] or found[-1:]
        return found[-1].state if found else ("GONE" if machine.provider_id else None)

    def look(self) -> None:
        """Take down what AWS has; moves that are recorded from now on are held against it and what it has then."""
        self.truths = {machine.id: self.shown(machine) for machine in WorkSpace.objects.all()}

    def check_truth(self) -> None:
        """Each move since the last look is to what AWS had before or has now; nothing else may be written down.

        A machine that is another kind than before, by a modification or by following AWS, is that kind in AWS. One
        whose operation has ended is where AWS has it, so that nobody pays for a start that did not come about.
        """
        self._check_kinds()
        fresh = list(StateChange.objects.filter(id__gt=self.last_change).select_related("workspace").order_by("id"))
        if fresh:
            before = dict(self.truths)
            self.look()
            for change in fresh:
                assert change.occurred_at == self.now, f"{change} was seen, or asked for, at {self.now}"
                self._check_true(change, before.get(change.workspace_id), self.truths[change.workspace_id])
            self.last_change = fresh[-1].id
        self._check_outcomes()

    def _check_outcomes(self) -> None:
        over = Operation.objects.filter(kind__in=FOLLOWED, status__in=("succeeded", "failed"))
        for operation in over.exclude(id__in=self.ended):
            self.ended.add(operation.id)
            machine = WorkSpace.objects.get(pk=operation.target_id)
            was_denied = "AccessDenied" in operation.error.get("code", "")
            if machine.service_type == APPLICATIONS or machine.state in TERMINAL or was_denied:
                continue
            seen = {OURS[state] for state in (self.truths.get(machine.id), self.shown(machine)) if state is not None}
            told = f"{operation.kind} has {operation.status} ({operation.error.get('code', '')}); AWS has {seen}"
            assert machine.state in seen or None in seen, f"machine {machine.id} is {machine.state}, {told}"

    def _check_kinds(self) -> None:
        newest: dict[uuid.UUID, ConfigurationChange] = {}
        for change in ConfigurationChange.objects.filter(id__gt=self.last_configuration).order_by("id"):
            newest[change.workspace_id] = change
            self.last_configuration = change.id
        shown = {one.provider_id: one for one in self.sky.machines()} if newest else {}
        for machine in WorkSpace.objects.filter(id__in=list(newest)):
            seen, after = shown.get(machine.provider_id), newest[machine.id].after
            if seen is not None and seen.is_live:
                told = (after.bundle_type, after.running_mode, after.root_volume_gb, after.user_volume_gb)
                assert told == seen.kind, f"machine {machine.id} was written down as {told}, AWS has {seen.kind}"

    def _check_true(self, change: StateChange, before: str | None, after: str | None) -> None:
        seen = {OURS[state] for state in (before, after) if state is not None}
        told = f"{change} ({change.reason}) of machine {change.workspace_id}; AWS had {before} and has {after}"
        is_stream = change.workspace.service_type == APPLICATIONS
        if change.to_state == "PENDING":
            assert change.from_state == "", told
        elif change.to_state == "FAILED":
            assert after in (None, "TERMINATED", "GONE"), told
        elif change.from_state == "PENDING":
            assert seen & {"AVAILABLE", "STOPPING", "STOPPED"}, told
        elif change.reason.endswith("accepted by AWS"):
            at_once = {"STOPPING": "STOPPED", "TERMINATING": "TERMINATED"} if is_stream else {}
            is_true = {change.to_state, at_once.get(change.to_state, change.to_state)} & seen
            assert is_true or self.sky.struck("no_op"), told
        elif change.reason != "connect":
            assert change.to_state in seen or None in seen, told

    # -- Agreement ---------------------------------------------------------------------------------------------------

    def check_agreement(self) -> None:
        """Right after a look at everything: machines that nothing is done to are here what they are in AWS."""
        busy = set(Operation.objects.open().values_list("target_id", flat=True))
        kinds = {one.provider_id: one for one in self.sky.machines()}
        for machine in WorkSpace.objects.exclude(state__in=TERMINAL):
            if machine.id in busy:
                continue
            shown = self.shown(machine)
            assert shown is not None, f"{machine.id} is {machine.state} here, and never was in AWS"
            told = f"machine {machine.id} is {machine.state} here and {shown} in AWS"
            if machine.service_type == APPLICATIONS and shown == "STOPPED" and machine.state == "AVAILABLE":
                assert self.now < machine.state_since + SESSION_EXPECTED, told
                continue
            assert machine.provider_state == shown, f"{told}; we say {machine.provider_state}"
            assert OURS[shown] in (None, machine.state), told
            if OURS[shown] and machine.service_type == PERSONAL:
                self.agreed[machine.id].append(self.now)
                self._check_kind(machine, kinds[machine.provider_id])

    def _check_kind(self, machine: WorkSpace, seen: Shown) -> None:
        is_fresh = machine.configured_at is not None and self.now < machine.configured_at + CHANGE_SHOWN
        if machine.state in TURNING and not seen.is_changing and not is_fresh:
            ours = (machine.bundle_type, machine.running_mode, machine.root_volume_gb, machine.user_volume_gb)
            assert ours == seen.kind, f"machine {machine.id} is {ours} here and {seen.kind} in AWS"

    def check_history(self) -> None:
        """Between two agreements with nothing done to it, a machine's history is what AWS had, but for the delay."""
        changes: dict[uuid.UUID, list[tuple[datetime, str]]] = defaultdict(list)
        for change in StateChange.objects.order_by("id"):
            changes[change.workspace_id].append((change.occurred_at, change.to_state))
        for machine in WorkSpace.objects.filter(id__in=list(self.agreed)):
            theirs = self._changes_in_aws(machine)
            operations = [
                (one.created_at, one.finished_at or self.now) for one in Operation.objects.filter(target_id=machine.id)
            ]
            for first, last in zip(self.agreed[machine.id], self.agreed[machine.id][1:], strict=False):
                if any(began <= last and ended >= first for began, ended in operations):
                    continue
                if any(abs(at - first) < INSTANT for at, _ in theirs):
                    continue  # AWS moved in the instant of the look, and nobody knows which came first
                assert _at(changes[machine.id], first) == _at(theirs, first)
                if not any(first < at <= last for at, _ in theirs):
                    inside = [change for change in changes[machine.id] if first < change[0] <= last]
                    assert not inside, f"{machine.id} moved {inside}, and AWS did not between {first} and {last}"

    def _changes_in_aws(self, machine: WorkSpace) -> list[tuple[datetime, str | None]]:
        packed = self.sky.history(machine.provider_id)
        return [(datetime.fromtimestamp(at, UTC), OURS[state]) for at, state in packed]


def _at(changes: list[tuple[datetime, str | None]], instant: datetime) -> str | None:
    return next(state for at, state in reversed(changes) if at <= instant)
