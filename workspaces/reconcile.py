"""Comparing our machines with what AWS shows, or AWS's own stops would be billed for ever.

A look at an account reads its directories page by page (25 machines a call) and compares each machine that is ours;
what is nobody's is written down with a verdict (`workspaces.fleet`). Of ours that no page showed, each is looked for by
its id before its absence is believed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from audit.actors import Actor
from forge.operations.models import Operation
from workspaces import absence, aws
from workspaces.busy import under_way
from workspaces.fleet import survey
from workspaces.fleet.seen import Seen
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import known, place_of
from workspaces.reconciling import access, gone_places
from workspaces.reconciling.beside import compare_tags, follow_drift, settle_auto_stop
from workspaces.reconciling.following import as_of_now, compare, follow_one
from workspaces.reconciling.run import ReconcileFailed, Run, chunks

logger = logging.getLogger(__name__)

CHUNK = 500
PERSONAL, APPLICATIONS = WorkSpace.ServiceType.PERSONAL, WorkSpace.ServiceType.APPLICATIONS


def reconcile(
    *,
    now: datetime,
    dry_run: bool = False,
    actor: Actor | None = None,
    accounts: QuerySet[ProviderAccount] | None = None,
) -> dict[str, int]:
    """Bring our states to what AWS shows, account by account; a service of one that does not answer is passed over.
    `actor` None = the job, `accounts` None = all.

    Accounts that are switched off take part: their machines run on. Machines with an open operation are left to it.
    Returns the counts of Figures. Whatever is wrong with one machine or account keeps no other from its turn:
    ReconcileFailed is raised at the end.
    """
    run = Run(now, dry_run, actor or Actor.job("reconcile_workspaces"))
    chosen = ProviderAccount.objects.all() if accounts is None else accounts
    for account in chosen.select_related("organization").order_by("id"):
        _compare_account(account, run)
    if run.has_faults:
        raise ReconcileFailed(run.told(), asdict(run.figures))
    return asdict(run.figures)


def _compare_account(account: ProviderAccount, run: Run) -> None:
    """Follow what AWS shows of one account, of each service by itself: one that does not answer stops no other."""
    silent = False
    for service_type, compare_service in ((PERSONAL, _compare_computers), (APPLICATIONS, _compare_streams)):
        what = f"provider account {account.id} ({account}), {service_type}"
        fault: aws.AwsError | None = None
        with run.going_on(what):
            try:
                compare_service(account, run)
            except aws.AwsError as error:
                fault = error
                silent = True
                run.silent.append(f"{what}: {error}")
                logger.warning("%s was passed over: %s", what, error)
            access.note_service(account, service_type, fault, run)
    run.figures.unreachable += silent


def _compare_computers(account: ProviderAccount, run: Run) -> None:
    """WorkSpaces Personal by what its directories hold, so that what is nobody's is seen too.

    Where it is switched off, only the directories of machines that stand there yet.
    """
    gateway = aws.Gateway(place_of(account), patience=run.patience)
    seen = Seen()
    for shown in _shown(account, gateway):
        seen.add(machine.provider_id for machine in shown)
        ours = list(
            _ours(account, PERSONAL)
            .filter(provider_id__in=[one.provider_id for one in shown])
            .select_related("organization", "team", "project", "blueprint")
        )
        ours, shown = as_of_now(ours, shown, gateway, run)
        compare(ours, shown, gateway, run)
        follow_drift(ours, shown, run)
        settle_auto_stop(ours, shown, gateway, run)
        compare_tags(account, ours, shown, gateway, run)
    absent = _absent(account, PERSONAL)
    for machines in chunks(_ours(account, PERSONAL), CHUNK):
        absent.add(machine for machine in machines if machine.provider_id not in seen)
    _judge(account, PERSONAL, absent, gateway, run)
    _tell_doubted(account, PERSONAL, run)
    if not run.dry_run:
        run.figures.unmanaged += sum(survey.settle(account=account, seen=seen, now=run.now).values())


def _compare_streams(account: ProviderAccount, run: Run) -> None:
    """WorkSpaces Applications by the stacks in which machines of ours are, and where it is on, those AWS offers."""
    if account.offers(APPLICATIONS) and not run.dry_run:
        run.figures.stacks += access.stacks_of(account, run)
    gateway = aws.ApplicationsGateway(place_of(account), patience=run.patience)
    absent = _absent(account, APPLICATIONS)
    ours = _ours(account, APPLICATIONS)
    for stack in ours.order_by("directory_id").values_list("directory_id", flat=True).distinct():
        _compare_stack(ours.filter(directory_id=stack), gateway, stack, absent, run)
    _judge(account, APPLICATIONS, absent, gateway, run)
    _tell_doubted(account, APPLICATIONS, run)


def _compare_stack(
    ours: QuerySet[WorkSpace], gateway: aws.ApplicationsGateway, stack: str, absent: Absent, run: Run
) -> None:
    """Compare the machines of one stack with what AWS shows of it, which is asked for once, however many there are.

    It is older than the rows that are read afterwards: one that has changed since before waits for the next run.
    """
    before = Seen()
    for rows in chunks(ours.only("id", "version", "state"), CHUNK):
        before.add(_as_read(row) for row in rows)
    look = gateway.stack(stack)
    for machines in chunks(ours, CHUNK):
        unchanged = [machine for machine in machines if _as_read(machine) in before]
        shown = look.machines([machine.provider_id for machine in unchanged])
        there = [machine for machine in unchanged if machine.provider_id in shown]
        compare(there, list(shown.values()), look, run)
        follow_drift(there, list(shown.values()), run)
        absent.add(machine for machine in unchanged if machine.provider_id not in shown)


def _as_read(machine: WorkSpace) -> str:
    return f"{machine.id} {machine.version} {machine.state}"


class Absent:
    """Machines that AWS did not show, out of so many that should be there; those that are being ended are expected.

    Of the others no more are held than may be gone at once, so that an empty answer does not bring a fleet into memory.
    """

    def __init__(self, machines: int) -> None:
        self.machines = machines
        self.expected: list[WorkSpace] = []
        self.held: list[WorkSpace] = []
        self.count = 0

    @property
    def is_believed(self) -> bool:
        return absence.is_plausible(absent=self.count, machines=self.machines)

    def add(self, machines: Iterable[WorkSpace]) -> None:
        for machine in machines:
            if machine.state == State.TERMINATING:
                self.expected.append(machine)
                continue
            self.count += 1
            self.held.append(machine)
            if not self.is_believed:
                self.held.clear()


def _absent(account: ProviderAccount, service_type: str) -> Absent:
    return Absent(_ours(account, service_type).exclude(state=State.TERMINATING).count())


def _judge(account: ProviderAccount, service_type: str, absent: Absent, gateway: aws.Provider, run: Run) -> None:
    """Believe the absence of machines together, once all were looked at; else of those whose place is gone."""
    run.figures.seen += len(absent.expected) + absent.count
    believed = absent.held
    places = sorted({one.directory_id for one in absent.held})
    doubt = absence.doubt(absent=absent.count, machines=absent.machines, places=places, gateway=gateway)
    if doubt is None:
        gone_places.forget(account, service_type, run)
    else:
        believed = []
        standing = _ours(account, service_type).exclude(state=State.TERMINATING)
        left = absent.count
        try:
            left -= gone_places.end_with_their_place(account, service_type, standing, gateway, run)
        except aws.AwsError as error:  # nothing is known of the places; the rest of the look goes on
            run.fault(f"provider account {account.id}: {error}")
        if left > 0:
            run.figures.implausible += left
            told = f"provider account {account.id}: {left} of {absent.machines} machines absent, none believed"
            run.fault(told)
            logger.error("%s", told)
    for machine in absent.expected + believed:
        with run.going_on(f"machine {machine.id}"):
            follow_one(machine, gateway.look(known(machine)), {}, run)


def _tell_doubted(account: ProviderAccount, service_type: str, run: Run) -> None:
    """Count the machines that operations do not find and keep from being looked at here: as implausible as the rest."""
    doubted = under_way().filter(status=Operation.Status.UNKNOWN, error__code__in=absence.CODES)
    machines = WorkSpace.objects.live().filter(provider_account=account, service_type=service_type)
    count = machines.filter(id__in=doubted.values("target_id")).count()
    if count:
        run.figures.implausible += count
        told = f"provider account {account.id}: operations do not find {count} machines, none believed gone"
        run.fault(told)
        logger.error("%s", told)


def _shown(account: ProviderAccount, gateway: aws.Gateway) -> Iterator[list[aws.Machine]]:
    """What AWS shows of the account's directories, a chunk at a time."""
    standing = WorkSpace.objects.live().filter(provider_account=account, service_type=PERSONAL).order_by("directory_id")
    chunk: list[aws.Machine] = []
    own = {account.directory_id} if account.offers(PERSONAL) else set()
    for directory_id in own.union(standing.values_list("directory_id", flat=True).distinct()):
        for page in gateway.listed(directory_id):
            chunk += page
            if len(chunk) >= CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _ours(account: ProviderAccount, service_type: str) -> QuerySet[WorkSpace]:
    """Live machines of the account and service without an open operation."""
    busy = under_way().filter(target_id=OuterRef("pk"))
    machines = WorkSpace.objects.live().filter(provider_account=account, service_type=service_type)
    return machines.exclude(provider_id="").exclude(Exists(busy))
