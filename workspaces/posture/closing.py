"""Closing the ways by which data would leave the sessions of a stack: AWS leaves them open unless it is told.

A stack is launched from only while its row says `closed_at`: somebody has looked, and AWS showed every way closed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count

from audit.actors import Actor
from audit.services import record
from workspaces import actions, aws
from workspaces.models import ApplicationStack, Finding, ProviderAccount, WorkSpace
from workspaces.places import place_of
from workspaces.posture import checks
from workspaces.posture.checks import Deviation

logger = logging.getLogger(__name__)

MOST_ROUNDS = 3
"""So often at most a run looks and closes anew what others have closed, or opened, beside it."""


@dataclass(frozen=True)
class Looked:
    """What a look at stacks showed: which there are, which of them are open all the same, and what is to be found."""

    shown: list[str]
    open: list[str]
    deviations: list[Deviation]


def stacks_to_close(account: ProviderAccount) -> list[str]:
    """The stacks of an account, by name, that are offered or in which a machine of ours stands, offered or not."""
    offered = ApplicationStack.objects.filter(provider_account=account, is_offered=True)
    return sorted({*offered.values_list("name", flat=True), *_machines_in(account)})


def close(
    account: ProviderAccount,
    names: Sequence[str],
    *,
    actor: Actor,
    now: datetime,
    patience: aws.Patience | None = None,
) -> Looked:
    """Have AWS close what these stacks leave open, look again, and keep in their rows whether they are closed.

    What AWS refuses is tried again by the next look, and named in the deviation; a stack that is not there is one of
    its own. Raises the AwsError of a look: those rows then say nothing new.
    """
    if not names:
        return Looked([], [], [])
    catalogue = aws.StackCatalogue(place_of(account), patience=patience)
    known = {one.name: one for one in ApplicationStack.objects.filter(provider_account=account, name__in=names)}
    allowed = catalogue.transfers(names)
    told: set[str] = set()
    refused: dict[str, str] = {}
    for _ in range(MOST_ROUNDS):
        untold = {name: ways for name, ways in allowed.items() if ways and name not in told}
        if not untold:
            break
        for name, ways in untold.items():
            if not _tell(account, name, known.get(name), ways, actor=actor, now=now):
                continue
            told.add(name)
            try:
                catalogue.close(name)
            except aws.AwsError as error:
                refused[name] = error.code
                logger.warning("stack %s of provider account %s could not be closed: %s", name, account.id, error)
        allowed = catalogue.transfers(list(allowed))
    _note(known, allowed, now=now)
    missing = [one for one in names if one not in allowed]
    found = _of(allowed, refused) + checks.missing_stacks(missing, machines=_machines_in(account) if missing else {})
    return Looked(list(allowed), [one for one, ways in allowed.items() if ways], found)


def _machines_in(account: ProviderAccount) -> dict[str, int]:
    """How many machines of ours there are in each stack of an account."""
    machines = WorkSpace.objects.live().filter(
        provider_account=account, service_type=WorkSpace.ServiceType.APPLICATIONS
    )
    return dict(machines.values_list("directory_id").annotate(Count("id")))


def _of(allowed: Mapping[str, tuple[str, ...]], refused: Mapping[str, str]) -> list[Deviation]:
    return [one for name, ways in allowed.items() for one in checks.of_stack(name, ways, refused=refused.get(name))]


def _tell(
    account: ProviderAccount,
    name: str,
    known: ApplicationStack | None,
    ways: tuple[str, ...],
    *,
    actor: Actor,
    now: datetime,
) -> bool:
    """Write down what AWS is about to be asked; what is asked for again is the same change, and has its entry.

    Its mark is the row's `closing_asked`, like that of `workspaces.autostop`: whoever was killed before the call, was
    refused, or looks beside somebody else, asks under the same entry. False where another look has closed the stack
    since `known` was read, which then is as that look left it: only a look after it can say that the stack is open.
    """
    with transaction.atomic():
        if known is None:
            is_new = not _is_found(account, name, ways)
        else:
            locked = ApplicationStack.objects.select_for_update(no_key=True).get(pk=known.pk)
            if _is_closed_since(locked, known):
                known.closed_at, known.closing_asked = locked.closed_at, locked.closing_asked
                return False
            is_new = locked.closing_asked != list(ways)
            known.closed_at, known.closing_asked = None, list(ways)
        if is_new and known is not None:
            rows = ApplicationStack.objects.filter(pk=known.pk)
            rows.update(closed_at=None, closing_asked=known.closing_asked, updated_at=now)
        if is_new:
            record(
                actor=actor.for_one_of(account.organization_id),
                action=actions.APPLICATION_STACK_CLOSE,
                resource_type="ApplicationStack",
                resource_id=str(known.id) if known else name,
                description=f"What stack {name} leaves open is to be closed in AWS",
                changes={"before": {"enabled": list(ways)}, "after": {"enabled": []}},
                context={"provider_account_id": str(account.id), "stack": name},
                occurred_at=now,
            )
    return True


def _is_closed_since(locked: ApplicationStack, known: ApplicationStack) -> bool:
    """Whether another look has closed a stack, all of it, since `known` was read."""
    is_as_read = (locked.closed_at, locked.closing_asked) == (known.closed_at, known.closing_asked)
    return locked.closing_asked is None and not is_as_read


def _is_found(account: ProviderAccount, name: str, ways: tuple[str, ...]) -> bool:
    """Of a stack that has no row, whether a look before this one has found it open in just these ways."""
    found = Finding.objects.open().filter(provider_account=account, check_name=checks.TRANSFERS, subject=name).first()
    return found is not None and found.detail.get("enabled") == list(ways)


def _note(known: Mapping[str, ApplicationStack], allowed: Mapping[str, tuple[str, ...]], *, now: datetime) -> None:
    """Keep what was seen last: that a stack is open in any case, that it is closed in rows that nobody else changed.

    A look beside this one may know better, but nobody launches from a stack that either of them has seen open.
    """
    for name, ways in allowed.items():
        row = known.get(name)
        if row is None:
            continue
        if ways:
            open_all_the_same = ApplicationStack.objects.filter(pk=row.pk, closed_at__isnull=False)
            open_all_the_same.update(closed_at=None, updated_at=now)
        elif row.closed_at is None or row.closing_asked is not None:
            as_left = ApplicationStack.objects.filter(
                pk=row.pk, closed_at=row.closed_at, closing_asked=row.closing_asked
            )
            as_left.update(closed_at=row.closed_at or now, closing_asked=None, updated_at=now)
