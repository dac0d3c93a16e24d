"""Whether AWS is to be believed that machines are gone: one rule for reconcile and for operations.

TERMINATED is final and ends a machine's books, and an empty answer is what a wrong role or directory looks like. So an
absence is believed only where AWS shows enough of the account's other machines, or, of its only one, the place in which
it stood. Reconcile knows the whole account; an operation asks for a sample of it.

Where the place itself is gone, a stack or directory that somebody deleted, AWS is believed after an hour, if it proves
that the right account was asked: its own number of it is the one in which the machine was made.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from workspaces import aws
from workspaces.lifecycle import State
from workspaces.models import ProviderAccount, WorkSpace

SAMPLE = 100
"""So many other machines of an account are asked for: all of a small one. A call takes 25."""

BELIEVED_AFTER = timedelta(hours=1)
"""So long AWS must miss a machine, or a place, whose absence is not believed at once."""

SILENCE_AT_MOST = timedelta(minutes=30)
"""So long apart two looks of that time may be; who looks every five minutes may miss some, as AWS does not answer."""

MACHINES_NOT_SHOWN = "machines_not_shown"
PLACE_NOT_SHOWN = "place_not_shown"
CODES = (MACHINES_NOT_SHOWN, PLACE_NOT_SHOWN)


class AbsenceDoubted(aws.UnknownOutcome):
    """AWS does not show the machine, and is not believed: nothing is known of it."""


def is_plausible(*, absent: int, machines: int) -> bool:
    """Whether so many of an account's machines may be gone at once; if not, AWS was asked wrongly or answered so."""
    if absent == machines > 1:
        return False
    most = settings.FORGE_VANISHED_AT_MOST
    return absent <= most or absent * 100 <= machines * settings.FORGE_VANISHED_PERCENT_AT_MOST


def doubt(*, absent: int, machines: int, places: Iterable[str], gateway: aws.Provider) -> AbsenceDoubted | None:
    """Why the absence of so many of an account's machines is not believed, or None where it is.

    One machine is no crowd whose absence would be implausible, and a wrong role looks like the end of the only one: of
    an account that shows none of its machines, `places` (directories or stacks) must be shown. May raise AwsError.
    """
    if not is_plausible(absent=absent, machines=machines):
        told = f"AWS does not show {absent} of {machines} machines of the account, which is not believed"
        return AbsenceDoubted(MACHINES_NOT_SHOWN, f"{told}: look at its role and region")
    if absent < machines:
        return None
    return next(filter(None, (doubt_of_place(place, gateway) for place in places)), None)


def doubt_of_place(place: str, gateway: aws.Provider) -> AbsenceDoubted | None:
    """Why nothing that AWS says of a directory or stack is believed: it does not show it to us. May raise AwsError."""
    if gateway.has_place(place):
        return None
    told = f"AWS does not show {place}, so whether the machine is there is not known"
    return AbsenceDoubted(PLACE_NOT_SHOWN, f"{told}: look at the account's role and region")


def is_silence(looked_at: datetime, now: datetime) -> bool:
    """Whether nothing was seen for so long that the time in which AWS must miss something begins anew."""
    return now - looked_at > SILENCE_AT_MOST


def is_right_account(number: str, account: ProviderAccount) -> bool:
    """Whether `number`, which AWS told, is that of the account in which Forge believes to be."""
    return number == account.account


def was_made_in(workspace: WorkSpace, number: str) -> bool:
    """Whether a machine was made in the AWS account of this number, in the region in which AWS is asked."""
    account = workspace.provider_account
    is_here = workspace.aws_account in ("", number) and workspace.region == account.region
    return is_here and is_right_account(number, account)


class Proof:
    """What AWS shows of the rest of an account, for operations that do not find their machine; asked for once."""

    def __init__(self, gateway: aws.Provider) -> None:
        self._gateway = gateway
        self._number = ""
        self._places: dict[str, bool] = {}
        self._is_shown: dict[tuple[uuid.UUID, str], dict[str, bool]] = {}

    def require(self, workspace: WorkSpace) -> None:
        """Raise AbsenceDoubted where the absence of the machine is not to be believed; may raise any AwsError.

        One that AWS has taken on to end is expected to be gone.
        """
        if workspace.state == State.TERMINATING:
            return
        others = [shown for one, shown in self._others(workspace).items() if one != workspace.provider_id]
        found = doubt(
            absent=1 + others.count(False),
            machines=1 + len(others),
            places=[workspace.directory_id],
            gateway=self._gateway,
        )
        if found is not None:
            raise found

    def is_place_shown(self, workspace: WorkSpace) -> bool:
        """Whether AWS shows the directory or stack in which the machine stood. May raise AwsError."""
        place = workspace.directory_id
        if place not in self._places:
            self._places[place] = self._gateway.has_place(place)
        return self._places[place]

    def is_place_gone(self, workspace: WorkSpace) -> bool:
        """Whether AWS surely has that place no more: the account that does not show it is the machine's own.

        May raise AwsError, also where the role may not ask: then nothing is known.
        """
        if self.is_place_shown(workspace):
            return False
        self._number = self._number or self._gateway.account_number()
        return was_made_in(workspace, self._number)

    def _others(self, workspace: WorkSpace) -> dict[str, bool]:
        key = (workspace.provider_account_id, workspace.service_type)
        if key not in self._is_shown:
            wanted = _sample(*key)
            shown = self._gateway.describe(wanted) if wanted else {}
            self._is_shown[key] = {one: one in shown for one in wanted}
        return self._is_shown[key]


def _sample(provider_account_id: uuid.UUID, service_type: str) -> list[str]:
    """Machines that AWS should show of an account, by its ids; of a large one from four places in the row of ids."""
    rows = WorkSpace.objects.live().filter(provider_account_id=provider_account_id, service_type=service_type)
    rows = rows.exclude(provider_id="").exclude(state__in=(State.PENDING, State.TERMINATING))
    by_id = rows.order_by("id").values_list("id", "provider_id")
    found = dict(by_id[: SAMPLE + 1])
    if len(found) > SAMPLE:
        first, last = min(found), rows.order_by("-id").values_list("id", flat=True)[0]
        found = {}
        while len(found) < SAMPLE:
            start = uuid.UUID(int=random.randint(first.int, last.int))  # noqa: S311 - it only spreads the sample
            others = by_id.exclude(id__in=list(found))
            more = dict(others.filter(id__gte=start)[: aws.BATCH]) or dict(others[: aws.BATCH])
            if not more:
                break  # the account has become small meanwhile
            found |= more
    return list(found.values())
