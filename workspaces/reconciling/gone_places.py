"""Ending machines whose directory or stack somebody deleted in AWS: else they would be billed for ever.

AWS is believed where every look of an hour that it answered showed that it has the place no more, and the account that
answered was the one in which the machines were made. A look that shows it, or that another account answers, begins the
hour anew, and so does half an hour without an answer.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from workspaces import absence, aws
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.posture import checks
from workspaces.posture.keeping import keep
from workspaces.reconciling.following import follow_one
from workspaces.reconciling.run import Run, chunks

logger = logging.getLogger(__name__)

CHUNK = 500

LOOKED_AT = "looked_at"
"""Beside the services in `gone_since`: when each was last looked at while a place of it was missing."""

_CHECKS = {
    WorkSpace.ServiceType.PERSONAL: (checks.MISSING, checks.missing),
    WorkSpace.ServiceType.APPLICATIONS: (checks.NO_STACK, checks.missing_stacks),
}


def end_with_their_place(
    account: ProviderAccount, service_type: str, ours: QuerySet[WorkSpace], gateway: aws.Provider, run: Run
) -> int:
    """End those of our machines whose place AWS surely has no more; returns how many have ended.

    May raise AwsError, also where the role may not ask: then nothing is known.
    """
    places = dict(ours.order_by().values_list("directory_id").annotate(Count("id")))
    missing = [one for one in sorted(places) if not gateway.has_place(one)]
    number = gateway.account_number() if missing else account.account
    if not absence.is_right_account(number, account):
        run.fault(f"provider account {account.id}: AWS answers as account {number}")
        missing = []
    since = _remember(account, service_type, missing, run)
    if missing:
        _note(account, service_type, places, missing, run)
    made_here = ours.filter(Q(aws_account="") | Q(aws_account=number), region=account.region)
    gone = 0
    for place in (one for one in missing if since[one] <= run.now - absence.BELIEVED_AFTER):
        logger.warning("provider account %s: %s is gone from AWS, and so are its machines", account.id, place)
        for machines in chunks(made_here.filter(directory_id=place), CHUNK):
            shown = gateway.describe([machine.provider_id for machine in machines])
            for machine in machines:
                if machine.provider_id in shown:
                    continue
                before = run.figures.vanished
                with run.going_on(f"machine {machine.id}"):
                    follow_one(machine, None, {}, run, why=f"vanished from AWS with {place}")
                gone += run.figures.vanished - before
    return gone


def forget(account: ProviderAccount, service_type: str, run: Run) -> None:
    """Every place of the service was shown, or what AWS says of it is believed at once."""
    if account.gone_since.get(service_type):
        _remember(account, service_type, [], run)


def _remember(account: ProviderAccount, service_type: str, gone: list[str], run: Run) -> dict[str, datetime]:
    """Note which places are gone; returns since when each has been so at every look."""
    now = run.now.isoformat()
    with transaction.atomic():
        locked = ProviderAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
        remembered, looked = locked.gone_since, locked.gone_since.get(LOOKED_AT, {})
        last = looked.get(service_type)
        is_anew = last is None or absence.is_silence(datetime.fromisoformat(last), run.now)
        known = {} if is_anew else remembered.get(service_type, {})
        since = {place: known.get(place, now) for place in gone}
        if not run.dry_run and (since or remembered.get(service_type)):
            noted = remembered | {service_type: since, LOOKED_AT: looked | {service_type: now}}
            ProviderAccount.objects.filter(pk=account.pk).update(gone_since=noted)
    return {place: datetime.fromisoformat(at) for place, at in since.items()}


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
