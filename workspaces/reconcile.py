"""Comparing our machines with what AWS shows, or AWS's own stops would be billed for ever.

A look at an account reads its directories page by page (25 machines a call) and compares each machine that is ours;
what is nobody's is written down with a verdict (`workspaces.fleet`). Of ours that no page showed, each is looked for by
its id before its absence is believed.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from audit.actors import Actor
from audit.services import record
from forge.db.jobs import JobFault
from workspaces import actions, autostop, aws, drift
from workspaces.busy import under_way
from workspaces.fleet import survey
from workspaces.fleet.seen import Seen
from workspaces.handlers.launching import connection_url
from workspaces.lifecycle import AWS_STATES, State, may_move
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import known, place_of
from workspaces.stacks import FORBIDDEN, refresh_stacks
from workspaces.tagging import repairing
from workspaces.transitions import lock_machine, lock_scopes_of, move

logger = logging.getLogger(__name__)

CHUNK = 500
PERSONAL, APPLICATIONS = WorkSpace.ServiceType.PERSONAL, WorkSpace.ServiceType.APPLICATIONS
SESSION_EXPECTED = timedelta(minutes=15)
"""A machine of WorkSpaces Applications is taken for running so long after it was opened, until its session is seen."""

IN_ERROR = "ERROR"
"""AWS's word for a machine that is broken; ours keeps its state, and people hear of it."""


class ReconcileFailed(JobFault):
    """Part of the machines could not be compared; all others were."""


@dataclass
class Figures:
    """Counts of one run.

    `unreachable` counts provider accounts that AWS did not answer for, `implausible` machines whose absence was not
    believed because too many were absent at once, `failed` machines and accounts that could not be looked after.
    Of ours `untagged` show other tags in AWS than wanted, and `retagging` are being mended now; the tags of `unread`
    could not be asked for. `unmanaged` machines are described by no row of ours; the `orphans` among them carry our
    tag. `stacks` are those of WorkSpaces Applications that AWS offers, `auto_stops` AutoStop times that
    AWS is told because of a work lease, `drifted` machines whose compute type, running mode or volumes somebody changed
    past Forge; where it has no word for what AWS shows they are `unexplained`.
    """

    seen: int = 0
    moved: int = 0
    vanished: int = 0
    refreshed: int = 0
    unexplained: int = 0
    in_error: int = 0
    unreachable: int = 0
    implausible: int = 0
    failed: int = 0
    untagged: int = 0
    retagging: int = 0
    unread: int = 0
    unmanaged: int = 0
    orphans: int = 0
    stacks: int = 0
    auto_stops: int = 0
    drifted: int = 0


@dataclass
class _Run:
    """One run over all accounts: its figures, and what it could not do, in words."""

    now: datetime
    dry_run: bool
    actor: Actor
    figures: Figures = field(default_factory=Figures)
    faults: list[str] = field(default_factory=list)
    repairs: Counter[uuid.UUID] = field(default_factory=Counter)

    def repairs_left(self, account: ProviderAccount) -> int:
        """How many machines of an account this run may still have its tags mended: each takes calls of its own."""
        return max(settings.FORGE_TAG_REPAIRS_AT_MOST - self.repairs[account.id], 0)

    def note_repair(self, account: ProviderAccount) -> None:
        self.repairs[account.id] += 1
        self.figures.retagging += 1

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Let a fault of one machine or account keep no other from its turn; one of the database ends the run."""
        try:
            yield
        except (aws.AwsError, OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("%s could not be reconciled", what)
            self.figures.failed += 1
            self.faults.append(f"{what}: {type(error).__name__}")


def reconcile(
    *,
    now: datetime,
    dry_run: bool = False,
    actor: Actor | None = None,
    accounts: QuerySet[ProviderAccount] | None = None,
) -> dict[str, int]:
    """Bring our states to what AWS shows, account by account; an account that does not answer is passed over.
    `actor` None = the job, `accounts` None = all.

    Accounts that are switched off take part: their machines run on. Machines with an open operation are left to it.
    Returns the counts of Figures. Whatever is wrong with one machine or account keeps no other from its turn:
    ReconcileFailed is raised at the end.
    """
    run = _Run(now, dry_run, actor or Actor.job("reconcile_workspaces"))
    chosen = ProviderAccount.objects.all() if accounts is None else accounts
    for account in chosen.select_related("organization").order_by("id"):
        try:
            with run.going_on(f"provider account {account.id}"):
                _compare_account(account, run)
        except aws.AwsError as error:
            run.figures.unreachable += 1
            run.faults.append(f"provider account {account.id}: {error}")
            logger.warning("provider account %s was passed over: %s", account.id, error)
    if run.faults:
        raise ReconcileFailed(f"{len(run.faults)} faults: {'; '.join(run.faults[:20])}", asdict(run.figures))
    return asdict(run.figures)


def _compare_account(account: ProviderAccount, run: _Run) -> None:
    """Follow what AWS shows of one account, of each service by itself: one that does not answer stops no other.

    Raises the first AwsError when both have had their turn.
    """
    faults: list[aws.AwsError] = []
    for compare in (_compare_computers, _compare_streams):
        try:
            compare(account, run)
        except aws.AwsError as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _compare_computers(account: ProviderAccount, run: _Run) -> None:
    """WorkSpaces Personal by what its directories hold, so that what is nobody's is seen too."""
    gateway = aws.Gateway(place_of(account))
    seen = Seen()
    for shown in _shown(account, gateway):
        seen.add(machine.provider_id for machine in shown)
        ours = list(
            _ours(account, PERSONAL)
            .filter(provider_id__in=[one.provider_id for one in shown])
            .select_related("organization", "team", "project", "blueprint")
        )
        _compare(ours, shown, gateway, run)
        _follow_drift(ours, shown, run)
        _settle_auto_stop(ours, shown, gateway, run)
        _compare_tags(account, ours, shown, gateway, run)
    missing: list[WorkSpace] = []
    count = 0
    for machines in _chunks(account, PERSONAL):
        missing += [machine for machine in machines if machine.provider_id not in seen]
        count += sum(machine.state != State.TERMINATING for machine in machines)
    _judge(account, missing, count, gateway, run)
    if not run.dry_run:
        run.figures.unmanaged += sum(survey.settle(account=account, seen=seen, now=run.now).values())


def _compare_streams(account: ProviderAccount, run: _Run) -> None:
    """WorkSpaces Applications by the stacks in which machines of ours are, and the stacks that AWS offers."""
    if not run.dry_run:
        run.figures.stacks += refresh_stacks(account=account, actor=run.actor, now=run.now)
    gateway = aws.ApplicationsGateway(place_of(account))
    missing: list[WorkSpace] = []
    count = 0
    for machines in _chunks(account, APPLICATIONS):
        shown = gateway.describe([machine.provider_id for machine in machines])
        there = [machine for machine in machines if machine.provider_id in shown]
        _compare(there, list(shown.values()), gateway, run)
        missing += [machine for machine in machines if machine.provider_id not in shown]
        count += sum(machine.state != State.TERMINATING for machine in machines)
    _judge(account, missing, count, gateway, run)


def _judge(
    account: ProviderAccount, missing: Sequence[WorkSpace], count: int, gateway: aws.Provider, run: _Run
) -> None:
    """Believe the absence of machines together, once all were looked at; `count` is how many should be there."""
    expected = [machine for machine in missing if machine.state == State.TERMINATING]
    absent = [machine for machine in missing if machine.state != State.TERMINATING]
    run.figures.seen += len(missing)
    if not is_plausible(absent=len(absent), machines=count):
        run.figures.implausible += len(absent)
        run.faults.append(f"provider account {account.id}: {len(absent)} of {count} machines absent, none believed")
        logger.error("provider account %s: %s of %s machines are absent in AWS", account.id, len(absent), count)
        absent = []
    for machine in expected + absent:
        with run.going_on(f"machine {machine.id}"):
            _follow_one(machine, gateway.look(known(machine)), {}, run)


def is_plausible(*, absent: int, machines: int) -> bool:
    """Whether so many of an account's machines may be gone at once; if not, AWS was asked wrongly or answered so.

    TERMINATED is final and ends a machine's books, and an empty answer is what a wrong role or directory looks like.
    """
    if absent == machines > 1:
        return False
    most = settings.FORGE_VANISHED_AT_MOST
    return absent <= most or absent * 100 <= machines * settings.FORGE_VANISHED_PERCENT_AT_MOST


def _shown(account: ProviderAccount, gateway: aws.Gateway) -> Iterator[list[aws.Machine]]:
    """What AWS shows of the account's directories, a chunk at a time."""
    standing = WorkSpace.objects.live().filter(provider_account=account, service_type=PERSONAL).order_by("directory_id")
    chunk: list[aws.Machine] = []
    for directory_id in {account.directory_id, *standing.values_list("directory_id", flat=True).distinct()}:
        for page in gateway.listed(directory_id):
            chunk += page
            if len(chunk) >= CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _compare_tags(
    account: ProviderAccount, ours: Sequence[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Gateway, run: _Run
) -> None:
    """Have the tags of ours mended where they differ, and write down what is nobody's; both are asked for together."""
    unknown = [] if run.dry_run else survey.unknown_of(account, shown)
    try:
        tags = gateway.tags_of([one.provider_id for one in ours] + [one.provider_id for one in unknown])
    except aws.Invalid as error:
        if error.code not in FORBIDDEN or unknown:
            raise
        run.figures.unread += len(ours)
        logger.warning("the tags in provider account %s could not be read: %s", account.id, error)
        return
    if unknown:
        run.figures.orphans += survey.note(account=account, machines=unknown, tags=tags, now=run.now)
    differing = repairing.compare(ours, tags, now=run.now, dry_run=run.dry_run)
    run.figures.untagged += len(differing)
    if run.dry_run:
        return
    for machine in repairing.to_repair(differing, now=run.now)[: run.repairs_left(account)]:
        with run.going_on(f"machine {machine.id}"):
            if repairing.repair(actor=run.actor, workspace_id=machine.id, now=run.now):
                run.note_repair(account)


def _ours(account: ProviderAccount, service_type: str) -> QuerySet[WorkSpace]:
    """Live machines of the account and service without an open operation."""
    busy = under_way().filter(target_id=OuterRef("pk"))
    machines = WorkSpace.objects.live().filter(provider_account=account, service_type=service_type)
    return machines.exclude(provider_id="").exclude(Exists(busy))


def _chunks(account: ProviderAccount, service_type: str) -> Iterator[Sequence[WorkSpace]]:
    """The same by id, a chunk at a time."""
    machines = _ours(account, service_type).order_by("id")
    after: uuid.UUID | None = None
    while chunk := list((machines.filter(id__gt=after) if after else machines)[:CHUNK]):
        yield chunk
        after = chunk[-1].id


def _compare(machines: Iterable[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Provider, run: _Run) -> None:
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
                _follow_one(machine, by_id[machine.provider_id], beside, run)


def _follow_drift(machines: Sequence[WorkSpace], shown: Sequence[aws.Machine], run: _Run) -> None:
    """Let rows follow what somebody changed in AWS's own console."""
    by_id = {one.provider_id: one for one in shown}
    for machine, differing in drift.unlike(machines, by_id, now=run.now):
        if not drift.is_known(differing):
            run.figures.unexplained += 1
            logger.warning("machine %s is %s in AWS, which Forge does not know", machine.id, differing)
            continue
        with run.going_on(f"machine {machine.id}"):
            run.figures.drifted += run.dry_run or drift.follow(machine, differing, actor=run.actor, now=run.now)


def _settle_auto_stop(
    machines: Sequence[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Gateway, run: _Run
) -> None:
    """Let AWS's own AutoStop wait as long as work leases last, and no longer."""
    by_id = {one.provider_id: one for one in shown}
    for machine, minutes, lease in autostop.unlike(machines, by_id, now=run.now):
        if run.dry_run:
            run.figures.auto_stops += 1
            continue
        before = by_id[machine.provider_id].auto_stop_minutes
        try:
            with run.going_on(f"machine {machine.id}"):
                run.figures.auto_stops += autostop.tell(
                    machine, minutes, lease, before=before, gateway=gateway, actor=run.actor, now=run.now
                )
        except aws.Invalid as error:
            run.figures.failed += 1
            run.faults.append(f"machine {machine.id}: {error}")


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


def _follow_one(machine: WorkSpace, seen: aws.Machine | None, beside: Mapping[str, Any], run: _Run) -> None:
    """Bring one machine to what AWS shows; `beside` are further facts to keep when it is there."""
    target = State.TERMINATED if seen is None else AWS_STATES[seen.state].state
    if target is not None and target != machine.state:
        if not may_move(machine.state, target):
            run.figures.unexplained += 1
            logger.warning("machine %s is %s here and %s in AWS", machine.id, machine.state, target)
        elif run.dry_run or _follow(machine, seen, target, run):
            run.figures.moved += 1
            run.figures.vanished += seen is None
    if seen is not None:
        run.figures.in_error += seen.state == IN_ERROR
        if not run.dry_run:
            run.figures.refreshed += _refresh(machine, seen, beside, run)


def _follow(machine: WorkSpace, seen: aws.Machine | None, target: State, run: _Run) -> bool:
    """Move one machine where AWS has it, unless anything has been done to it since it was read."""
    actor, now = run.actor.for_one_of(machine.organization_id), run.now
    source, version = machine.state, machine.version
    with transaction.atomic():
        lock_scopes_of(machine.id)
        workspace = lock_machine(machine.id)
        busy = under_way().filter(target_id=machine.id).exists()
        if busy or (workspace.state, workspace.version) != (source, version):
            return False
        reason = "vanished from AWS" if seen is None else f"AWS shows {seen.state}"
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
    return True


def _refresh(machine: WorkSpace, seen: aws.Machine, beside: Mapping[str, Any], run: _Run) -> bool:
    """Write what AWS shows beside the state, when it differs."""
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
        before = row.select_for_update(no_key=True).values_list("provider_state", flat=True).get()
        row.update(**facts, updated_at=run.now)
        if seen.state == IN_ERROR != before:
            _record_error(machine, seen, run)
    return True


def _record_error(machine: WorkSpace, seen: aws.Machine, run: _Run) -> None:
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
    """True for one whose launch did not learn it."""
    return machine.connection_url is None and machine.launched_at is not None


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
