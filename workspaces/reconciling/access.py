"""What AWS does not answer Forge of an account: found once, and resolved by the first answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from workspaces import absence, aws
from workspaces.models import ProviderAccount
from workspaces.posture import checks
from workspaces.posture.checks import Deviation
from workspaces.posture.closing import close
from workspaces.posture.keeping import keep
from workspaces.reconciling.run import Run
from workspaces.stacks import refresh_stacks

logger = logging.getLogger(__name__)

GET_RESOURCES = "tag:GetResources"
ANOTHER_ACCOUNT = "another_account"
"""The code of a finding: AWS is asked in another account than the one that is registered."""


def tags_of(
    account: ProviderAccount, provider_ids: Sequence[str], gateway: aws.Gateway, run: Run, *, has_ours: bool
) -> dict[str, dict[str, str]] | None:
    """The tags of machines by id, or None where they cannot be read in this account. Raises any other AwsError.

    AWS knows them by ARNs, which name the account: where it shows no tag although some of the machines are Forge's
    (`has_ours`), it is asked whether the account is the one that is registered.
    """
    try:
        tags = gateway.tags_of(provider_ids)
        if has_ours and not tags:
            _require_registered(account, gateway)
    except aws.TagsForbidden as error:
        logger.warning("the tags in provider account %s could not be read: %s", account.id, error)
        _note(account, GET_RESOURCES, checks.TAG_ACCESS, error, run)
        return None
    _note(account, GET_RESOURCES, checks.TAG_ACCESS, None, run)
    return tags


def _require_registered(account: ProviderAccount, gateway: aws.Gateway) -> None:
    """Raises TagsForbidden where AWS answers as another account; any AwsError where it does not say."""
    number = gateway.account_number()
    if not absence.is_right_account(number, account):
        raise aws.TagsForbidden(ANOTHER_ACCOUNT, f"AWS answers as account {number}, not {account.account}")


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
