"""What AWS does not answer Forge of an account: found once, and resolved by the first answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from workspaces import aws
from workspaces.models import ProviderAccount
from workspaces.posture import checks
from workspaces.posture.checks import Deviation
from workspaces.posture.closing import close
from workspaces.posture.keeping import keep
from workspaces.reconciling.run import Run
from workspaces.stacks import refresh_stacks

logger = logging.getLogger(__name__)

GET_RESOURCES = "tag:GetResources"


def tags_of(
    account: ProviderAccount, provider_ids: Sequence[str], gateway: aws.Gateway, run: Run
) -> dict[str, dict[str, str]] | None:
    """The tags of machines by id, or None where the account's role may not read them. Raises any other AwsError."""
    try:
        tags = gateway.tags_of(provider_ids)
    except aws.TagsForbidden as error:
        logger.warning("the tags in provider account %s could not be read: %s", account.id, error)
        _note(account, GET_RESOURCES, checks.TAG_ACCESS, error, run)
        return None
    _note(account, GET_RESOURCES, checks.TAG_ACCESS, None, run)
    return tags


def stacks_of(account: ProviderAccount, run: Run) -> int:
    """Keep the stacks of an account; returns how many are offered. They stay as known where tags may not be read.

    Those that are not closed yet are closed now, and launched from once that was seen. Raises any other AwsError.
    """
    try:
        count, unclosed = refresh_stacks(account=account, actor=run.actor, now=run.now, patience=run.patience)
    except aws.TagsForbidden as error:
        logger.warning("the stacks in provider account %s could not be told: %s", account.id, error)
        _note(account, GET_RESOURCES, checks.TAG_ACCESS, error, run)
        return 0
    _close(account, unclosed, run)
    return count


def _close(account: ProviderAccount, names: Sequence[str], run: Run) -> None:
    """Close stacks; that it cannot be done now is a fault of the run, and keeps no machine from being looked at."""
    try:
        looked = close(account, names, actor=run.actor, now=run.now, patience=run.patience)
    except aws.AwsError as error:
        run.figures.unclosed += len(names)
        told = f"provider account {account.id}: not offered until closed, {', '.join(names)}: {error}"
        run.fault(told)
        logger.warning("%s", told)
        return
    run.figures.unclosed += len(looked.open)
    keep(
        account=account,
        subjects=names,
        checks=checks.STACK_CHECKS,
        deviations=looked.deviations,
        actor=run.actor,
        now=run.now,
    )


def note_service(account: ProviderAccount, service_type: str, error: aws.AwsError | None, run: Run) -> None:
    """Note that a service of an account answered, or that it could not be asked; what is only put off is neither."""
    if error is None or isinstance(error, aws.Unavailable) or error.code in aws.FORBIDDEN:
        _note(account, service_type, checks.SERVICE_ACCESS, error, run)


def _note(account: ProviderAccount, subject: str, check: str, error: aws.AwsError | None, run: Run) -> None:
    """Open the finding that AWS gave this error, or resolve it; once in a run, however often AWS is asked."""
    if run.dry_run or (account.id, check, subject) in run.noted:
        return
    run.noted.add((account.id, check, subject))
    found = [] if error is None else [Deviation(subject, check, {"code": error.code})]
    keep(account=account, subjects=[subject], checks=[check], deviations=found, actor=run.actor, now=run.now)
