"""Ending machines whose directory or stack somebody deleted in AWS: else they would be billed for ever.

AWS is believed where the account that answers is the one in which the machines were made, and where it has not had the
place for an hour: the open finding of it says since when.
"""

from __future__ import annotations

import logging

from django.db.models import Count, Q, QuerySet

from workspaces import absence, aws
from workspaces.models import Finding, ProviderAccount, WorkSpace
from workspaces.posture import checks
from workspaces.posture.keeping import keep
from workspaces.reconciling.following import follow_one
from workspaces.reconciling.run import Run, chunks

logger = logging.getLogger(__name__)

CHUNK = 500

_CHECKS = {
    WorkSpace.ServiceType.PERSONAL: (checks.MISSING, checks.missing),
    WorkSpace.ServiceType.APPLICATIONS: (checks.NO_STACK, checks.missing_stacks),
}


def end_with_their_place(
    account: ProviderAccount, service_type: str, ours: QuerySet[WorkSpace], gateway: aws.Provider, run: Run
) -> int:
    """End those of our machines whose place AWS surely has no more; returns how many do not stand there.

    May raise AwsError, also where the role may not ask: then nothing is known.
    """
    places = dict(ours.order_by().values_list("directory_id").annotate(Count("id")))
    missing = [one for one in sorted(places) if not gateway.has_place(one)]
    if not missing:
        _note(account, service_type, places, missing, run)  # one that is back begins its hour anew
        return 0
    number = gateway.account_number()
    if not absence.is_right_account(number, account):
        run.fault(f"provider account {account.id}: AWS answers as account {number}")
        return 0
    made_here = ours.filter(Q(aws_account="") | Q(aws_account=number), region=account.region)
    gone = 0
    _note(account, service_type, places, missing, run)
    for place in _missed_for_long(account, service_type, missing, run):
        logger.warning("provider account %s: %s is gone from AWS, and so are its machines", account.id, place)
        for machines in chunks(made_here.filter(directory_id=place), CHUNK):
            shown = gateway.describe([machine.provider_id for machine in machines])
            for machine in machines:
                if machine.provider_id in shown:
                    continue
                gone += 1
                with run.going_on(f"machine {machine.id}"):
                    follow_one(machine, None, {}, run, why=f"vanished from AWS with {place}")
    return gone


def _note(account: ProviderAccount, service_type: str, places: dict[str, int], missing: list[str], run: Run) -> None:
    """Open the findings of the places that are missing, and resolve those of the others."""
    if run.dry_run:
        return
    check, deviations = _CHECKS[WorkSpace.ServiceType(service_type)]
    keep(
        account=account,
        subjects=sorted(places),
        checks=[check],
        deviations=deviations(missing, machines=places),
        actor=run.actor,
        now=run.now,
    )


def _missed_for_long(account: ProviderAccount, service_type: str, missing: list[str], run: Run) -> list[str]:
    """Those of the missing places that have been so for long."""
    check, _ = _CHECKS[WorkSpace.ServiceType(service_type)]
    found = Finding.objects.open().filter(provider_account=account, check_name=check, subject__in=missing)
    long_ago = found.filter(found_at__lte=run.now - absence.BELIEVED_AFTER)
    return list(long_ago.order_by("subject").values_list("subject", flat=True))
