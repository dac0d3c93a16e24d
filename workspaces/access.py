"""What AWS lets the role of a provider account do, asked with calls that change nothing.

Reads ask for a machine that cannot exist: AWS's ids have nine characters after `ws-`, this one has twenty. Writes ask
for the same, so that AWS answers "no such machine" to a role that may, and "access denied" to one that may not. What
makes a machine (CreateWorkspaces) is not tried: a call that were taken would cost money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from workspaces import absence, aws
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import place_of

NO_MACHINE = "ws-" + "0" * 20


@dataclass(frozen=True)
class Trouble:
    """Something that the account cannot do; `is_passing` where asking again later may help."""

    text: str
    mend: str
    is_passing: bool = False


def ask(account: ProviderAccount, *, now: datetime) -> list[Trouble]:
    """Everything that stands in the way of machines in this account; empty when all was allowed."""
    try:
        return list(_asked(account, now))
    except aws.RoleNotAssumed as error:
        return [
            Trouble(f"the role cannot be assumed: {error}", "Let the role trust the credentials that Forge runs with.")
        ]
    except aws.Unavailable as error:
        return [
            Trouble(f"AWS does not answer, or takes no credentials: {error}", "Look at network, clock, credentials.")
        ]
    except aws.Throttled as error:
        return [Trouble(f"AWS is called too often: {error}", "Ask again in a minute.", is_passing=True)]


def _asked(account: ProviderAccount, now: datetime) -> Iterator[Trouble]:
    place = place_of(account)
    gateway = aws.Gateway(place)
    yield from _number(gateway, account)
    if account.offers(WorkSpace.ServiceType.PERSONAL):
        yield from _directory(gateway, account.directory_id)
        yield from _refused(_reads(gateway, place, now) | _writes(gateway))
    if account.offers(WorkSpace.ServiceType.APPLICATIONS):
        slug = account.organization.slug
        yield from _refused(
            {"see stacks of WorkSpaces Applications": lambda: aws.StackCatalogue(place).offered_to(slug)}
        )


def _number(gateway: aws.Gateway, account: ProviderAccount) -> Iterator[Trouble]:
    """A trouble where AWS is asked in another account than the one that is registered."""
    told: list[str] = []
    yield from _refused({"tell its account": lambda: told.append(gateway.account_number())})
    if told and not absence.is_right_account(told[0], account):
        yield Trouble(
            f"AWS answers as account {told[0]}, and account {account.account} is registered",
            "Register it anew with its own number and a role of it, and switch this one off.",
        )


def _directory(gateway: aws.Gateway, directory_id: str) -> Iterator[Trouble]:
    found: dict[str, aws.Directory] = {}
    refusals = list(_refused({"see directories": lambda: found.update(gateway.directories([directory_id]))}))
    yield from refusals
    if not refusals and directory_id not in found:
        yield Trouble(
            f"directory {directory_id} is not registered with WorkSpaces", "Register it, or name another one."
        )


def _reads(gateway: aws.Gateway, place: aws.Place, now: datetime) -> dict[str, Callable[[], object]]:
    asked = [NO_MACHINE]
    since = now - timedelta(minutes=5)
    return {
        "see machines": lambda: gateway.describe(asked),
        "see who is connected": lambda: gateway.connections(asked),
        "read tags": lambda: gateway.tags_of(asked),
        "read metrics in CloudWatch": lambda: aws.Metrics(place).read(asked, since=since, until=now),
    }


def _writes(gateway: aws.Gateway) -> dict[str, Callable[[], object]]:
    return {
        "start machines": lambda: gateway.start(NO_MACHINE),
        "stop machines": lambda: gateway.stop(NO_MACHINE),
        "reboot machines": lambda: gateway.reboot(NO_MACHINE),
        "terminate machines": lambda: gateway.terminate(NO_MACHINE),
        "modify machines": lambda: gateway.modify(NO_MACHINE, {"running_mode": WorkSpace.RunningMode.ALWAYS_ON}),
    }


def _refused(calls: dict[str, Callable[[], object]]) -> Iterator[Trouble]:
    """A trouble for each call that the role may not make; that the machine does not exist is the good answer."""
    for what, call in calls.items():
        try:
            call()
        except aws.Invalid as error:
            if error.code in aws.FORBIDDEN:
                yield Trouble(f"the role may not {what}: {error.code}", "Add it to the role (docs/settings.md).")
        except (aws.NotFound, aws.NotReady, aws.UnknownOutcome):
            continue
