"""Looking at every account: its machines page by page, its directories 25 and its stacks at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from audit.actors import Actor
from forge.db.jobs import JobFault
from workspaces import aws
from workspaces.lifecycle import State
from workspaces.models import Finding, ProviderAccount, WorkSpace
from workspaces.places import place_of
from workspaces.posture import checks
from workspaces.posture.attesting import unattested
from workspaces.posture.closing import close, stacks_to_close
from workspaces.posture.keeping import keep, resolve_ended

logger = logging.getLogger(__name__)

JOB = "check_posture"
EVERY = timedelta(hours=1)

UP = (State.AVAILABLE, State.STOPPING, State.STOPPED, State.STARTING)
"""States of machines that are looked at: what is being launched or ended is not."""

PERSONAL, APPLICATIONS = WorkSpace.ServiceType.PERSONAL, WorkSpace.ServiceType.APPLICATIONS


Note = Callable[[Sequence[str], Sequence[str], Sequence[checks.Deviation]], None]


class PostureUnchecked(JobFault):
    """Some accounts could not be looked at; all others were."""


@dataclass
class Figures:
    """Counts of one run: subjects looked at, findings opened and resolved, accounts that did not answer whole."""

    machines: int = 0
    directories: int = 0
    stacks: int = 0
    opened: int = 0
    resolved: int = 0
    unreachable: int = 0


def check(*, now: datetime, actor: Actor | None = None) -> dict[str, int]:
    """Look at all accounts, also those that are switched off: their machines run on. Returns the counts of Figures.

    What a service does not answer for keeps its findings as they are; PostureUnchecked is raised at the end.
    """
    actor = actor or Actor.job(JOB)
    figures = Figures()
    faults: list[str] = []
    patience = aws.Patience()
    for account in ProviderAccount.objects.select_related("organization").order_by("id"):
        silent = False
        for service_type, check_service in ((PERSONAL, _check_computers), (APPLICATIONS, _check_stacks)):
            try:
                check_service(account, figures, _note_of(account, figures, actor, now), patience, actor, now)
            except aws.AwsError as error:
                silent = True
                faults.append(f"provider account {account.id} ({account}), {service_type}: {error}")
                logger.warning("the posture of %s", faults[-1])
        figures.unreachable += silent
        figures.resolved += resolve_ended(account=account, actor=actor, now=now)
    if faults:
        raise PostureUnchecked("; ".join(faults[:20]), asdict(figures))
    return asdict(figures)


def note_launched(*, workspace: WorkSpace, seen: aws.Machine, actor: Actor, now: datetime) -> None:
    """Verify a machine that AWS has just made; what is otherwise than asked is found at once."""
    keep(
        account=workspace.provider_account,
        subjects=[seen.provider_id],
        checks=checks.MACHINE_CHECKS,
        deviations=_of(workspace, seen, workspace.provider_account),
        actor=actor,
        now=now,
    )


def _note_of(account: ProviderAccount, figures: Figures, actor: Actor, now: datetime) -> Note:
    def note(subjects: Sequence[str], of: Sequence[str], deviations: Sequence[checks.Deviation]) -> None:
        opened, resolved = keep(
            account=account, subjects=subjects, checks=of, deviations=deviations, actor=actor, now=now
        )
        figures.opened += opened
        figures.resolved += resolved

    return note


def _check_computers(
    account: ProviderAccount, figures: Figures, note: Note, patience: aws.Patience, actor: Actor, now: datetime
) -> None:
    gateway = aws.Gateway(place_of(account), patience=patience)
    standing = WorkSpace.objects.live().filter(provider_account=account, service_type=PERSONAL, state__in=UP)
    own = {account.directory_id} if account.offers(PERSONAL) else set()
    machines = dict(standing.values_list("directory_id").annotate(Count("id")))
    wanted = sorted(own | machines.keys())
    directories = gateway.directories(wanted)
    figures.directories += len(directories)
    note(
        wanted,
        checks.PLACE_CHECKS,
        checks.missing((one for one in wanted if one not in directories), machines=machines),
    )
    of_directories = (*checks.PLACE_CHECKS, *checks.DIRECTORY_CHECKS)
    found = Finding.objects.open().filter(provider_account=account, check_name__in=of_directories)
    left = found.exclude(subject__in=wanted).order_by("subject").values_list("subject", flat=True).distinct()
    note(list(left), of_directories, [])  # one in which nothing stands, or is launched, any more is nobody's business
    note(
        list(directories),
        checks.DIRECTORY_CHECKS,
        [one for directory in directories.values() for one in checks.of_directory(directory)]
        + unattested(account, list(directories), now=now),
    )
    for directory_id in directories:
        for page in gateway.listed(directory_id):
            shown = {one.provider_id: one for one in page}
            ours = list(standing.filter(provider_id__in=list(shown)))
            figures.machines += len(ours)
            note(
                [machine.provider_id for machine in ours],
                checks.MACHINE_CHECKS,
                [one for machine in ours for one in _of(machine, shown[machine.provider_id], account)],
            )


def _check_stacks(
    account: ProviderAccount, figures: Figures, note: Note, patience: aws.Patience, actor: Actor, now: datetime
) -> None:
    names = stacks_to_close(account)
    looked = close(account, names, actor=actor, now=now, patience=patience)
    figures.stacks += len(looked.shown)
    note(names, checks.STACK_CHECKS, looked.deviations)


def _of(machine: WorkSpace, seen: aws.Machine, account: ProviderAccount) -> list[checks.Deviation]:
    return checks.of_machine(
        seen,
        workspace_id=str(machine.id),
        is_joined=machine.domain_joined,
        key=account.volume_key or aws.DEFAULT_KEY,
    )
