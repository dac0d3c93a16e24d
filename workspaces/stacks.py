"""Which stacks of WorkSpaces Applications an organization may launch from: what AWS shows, kept as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from workspaces import actions, aws
from workspaces.models import ApplicationStack, ProviderAccount, WorkSpace
from workspaces.places import place_of


def refresh_stacks(
    *, account: ProviderAccount, actor: Actor, now: datetime, patience: aws.Patience | None = None
) -> tuple[int, list[str]]:
    """Keep the stacks that AWS offers in a provider account, and withdraw those that it no longer does.

    Returns how many are offered, and the names of those that were not seen closed yet, new ones and those that were
    withdrawn in between; none where WorkSpaces Applications was switched off meanwhile. Raises any AwsError.
    """
    shown = aws.StackCatalogue(place_of(account), patience=patience).offered_to(account.organization.slug)
    actor = actor.for_one_of(account.organization_id)
    with transaction.atomic():
        locked = ProviderAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        if not locked.offers(WorkSpace.ServiceType.APPLICATIONS):
            return 0, []
        kept = {stack.name: stack for stack in ApplicationStack.objects.filter(provider_account=account)}
        for stack in shown:
            keep(account, kept.pop(stack.name, None), stack, actor=actor, now=now)
        _withdraw([gone for gone in kept.values() if gone.is_offered], actor=actor, now=now)
        unclosed = ApplicationStack.objects.filter(provider_account=account, is_offered=True, closed_at__isnull=True)
        return len(shown), list(unclosed.order_by("name").values_list("name", flat=True))


def withdraw_all(account: ProviderAccount, *, actor: Actor, now: datetime) -> None:
    """Offer no stack of an account any more, in the caller's transaction, which has locked it."""
    offered = ApplicationStack.objects.filter(provider_account=account, is_offered=True).order_by("id")
    _withdraw(list(offered), actor=actor, now=now)


def keep(
    account: ProviderAccount, known: ApplicationStack | None, stack: aws.Stack, *, actor: Actor, now: datetime
) -> None:
    """Write down a stack as AWS shows it, in the caller's transaction; `known` is its row, None for a new one."""
    facts: dict[str, Any] = {
        **asdict(stack),
        "application_ids": list(stack.application_ids),
        "is_offered": True,
    }
    if known is None:
        made = ApplicationStack.objects.create(
            organization_id=account.organization_id, provider_account=account, **facts
        )
        _tell(made, is_offered=True, actor=actor, now=now)
        return
    if not known.is_offered:  # nobody has looked whether it is closed since it was withdrawn
        facts |= {"closed_at": None, "closing_asked": None}
    if any(getattr(known, name) != value for name, value in facts.items()):
        ApplicationStack.objects.filter(pk=known.pk).update(**facts, updated_at=now)
    if not known.is_offered:
        _tell(known, is_offered=True, actor=actor, now=now)


def _withdraw(gone: Sequence[ApplicationStack], *, actor: Actor, now: datetime) -> None:
    for stack in gone:
        ApplicationStack.objects.filter(pk=stack.pk).update(is_offered=False, updated_at=now)
        _tell(stack, is_offered=False, actor=actor, now=now)


def _tell(stack: ApplicationStack, *, is_offered: bool, actor: Actor, now: datetime) -> None:
    record(
        actor=actor,
        action=actions.APPLICATION_STACK_OFFER if is_offered else actions.APPLICATION_STACK_WITHDRAW,
        resource_type="ApplicationStack",
        resource_id=str(stack.id),
        description=f"AWS {'offers' if is_offered else 'no longer offers'} stack {stack.id}",
        changes={"before": {"is_offered": not is_offered}, "after": {"is_offered": is_offered}},
        context={"provider_account_id": str(stack.provider_account_id)},
        occurred_at=now,
    )
