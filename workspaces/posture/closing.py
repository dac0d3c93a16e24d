"""Closing the ways by which data would leave the sessions of a stack: AWS leaves them open unless it is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from workspaces import actions, aws
from workspaces.models import ApplicationStack, Finding, ProviderAccount
from workspaces.places import place_of
from workspaces.posture import checks
from workspaces.posture.checks import Deviation

logger = logging.getLogger(__name__)


def close(
    account: ProviderAccount, names: Sequence[str], *, actor: Actor, now: datetime
) -> tuple[list[str], list[Deviation]]:
    """Have AWS close what these stacks leave open, look again, and say which there are and what is open all the same.

    What AWS refuses is tried again by the next look, and named in the deviation. Raises the AwsError of a look.
    """
    if not names:
        return [], []
    catalogue = aws.StackCatalogue(place_of(account))
    allowed = catalogue.transfers(names)
    refused: dict[str, str] = {}
    for name, ways in allowed.items():
        if ways:
            _tell(account, name, ways, actor=actor, now=now)
            try:
                catalogue.close(name)
            except aws.AwsError as error:
                refused[name] = error.code
                logger.warning("stack %s of provider account %s could not be closed: %s", name, account.id, error)
    if any(allowed.values()):
        allowed = catalogue.transfers(names)
    return list(allowed), _of(allowed, refused)


def _of(allowed: Mapping[str, tuple[str, ...]], refused: Mapping[str, str]) -> list[Deviation]:
    return [one for name, ways in allowed.items() for one in checks.of_stack(name, ways, refused=refused.get(name))]


def _tell(account: ProviderAccount, name: str, ways: tuple[str, ...], *, actor: Actor, now: datetime) -> None:
    """Write down what AWS is about to be asked; what is found open and asked for again is the same change."""
    found = Finding.objects.open().filter(provider_account=account, check_name=checks.TRANSFERS, subject=name).first()
    if found is not None and found.detail.get("enabled") == list(ways):
        return
    stack = ApplicationStack.objects.filter(provider_account=account, name=name).first()
    with transaction.atomic():
        record(
            actor=actor.for_one_of(account.organization_id),
            action=actions.APPLICATION_STACK_CLOSE,
            resource_type="ApplicationStack",
            resource_id=str(stack.id) if stack else name,
            description=f"What stack {name} leaves open is to be closed in AWS",
            changes={"before": {"enabled": list(ways)}, "after": {"enabled": []}},
            context={"provider_account_id": str(account.id), "stack": name},
            occurred_at=now,
        )
