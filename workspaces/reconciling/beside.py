"""What of a machine in AWS is mended beside its state: its configuration, its AutoStop time, its tags."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

from workspaces import autostop, aws, drift
from workspaces.fleet import survey
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.posture.checks import TAG_CHECKS
from workspaces.posture.keeping import keep
from workspaces.reconciling import access
from workspaces.reconciling.run import Run
from workspaces.tagging import repairing

logger = logging.getLogger(__name__)


def follow_drift(machines: Sequence[WorkSpace], shown: Sequence[aws.Machine], run: Run) -> None:
    """Let rows follow what somebody changed in AWS's own console."""
    by_id = {one.provider_id: one for one in shown}
    for machine, differing in drift.unlike(machines, by_id, now=run.now):
        if not drift.is_known(differing):
            run.figures.unexplained += 1
            logger.warning("machine %s is %s in AWS, which Forge does not know", machine.id, differing)
            continue
        with run.going_on(f"machine {machine.id}"):
            run.figures.drifted += run.dry_run or drift.follow(machine, differing, actor=run.actor, now=run.now)


def settle_auto_stop(
    machines: Sequence[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Gateway, run: Run
) -> None:
    """Let AWS's own AutoStop wait as long as work leases last, and no longer.

    What AWS does not do for one machine is a fault of that one; once it puts one off, the others wait for the next run.
    """
    by_id = {one.provider_id: one for one in shown}
    asked: set[uuid.UUID] = set()
    is_put_off = False
    for machine, minutes, lease in autostop.unlike(machines, by_id, now=run.now):
        asked.add(machine.id)
        if run.dry_run:
            run.figures.auto_stops += 1
            continue
        if is_put_off:
            continue
        before = by_id[machine.provider_id].auto_stop_minutes
        try:
            with run.going_on(f"machine {machine.id}"):
                run.figures.auto_stops += autostop.tell(
                    machine, minutes, lease, before=before, gateway=gateway, actor=run.actor, now=run.now
                )
        except aws.AwsError as error:
            is_put_off = isinstance(error, aws.Throttled | aws.Unavailable)
            run.figures.failed += 1
            run.fault(f"machine {machine.id}: {error}")
            logger.warning("the AutoStop time of machine %s could not be set: %s", machine.id, error)
    if not run.dry_run:
        autostop.note_arrived(machines, asked)


def compare_tags(
    account: ProviderAccount, ours: Sequence[WorkSpace], shown: Sequence[aws.Machine], gateway: aws.Gateway, run: Run
) -> None:
    """Have the tags of ours mended where they differ, and write down what is nobody's; both are asked for together.

    A role that may not read tags, or is of another account than the registered one, has neither: its machines are
    listed without them, and the account has a finding.
    """
    unknown = _nobodys(account, shown, gateway)
    asked = [one.provider_id for one in ours] + [one.provider_id for one in unknown]
    if not asked:
        return
    tags = access.tags_of(account, asked, gateway, run, has_ours=bool(ours))
    if unknown and run.dry_run:
        unmanaged, orphans = survey.foresee(account=account, machines=unknown, tags=tags)
        run.figures.unmanaged += unmanaged
        run.figures.orphans += orphans
    elif unknown:
        run.figures.orphans += survey.note(account=account, machines=unknown, tags=tags, now=run.now)
    if tags is None:
        run.figures.unread += len(ours)
        return
    compared = repairing.compare(ours, tags, now=run.now, dry_run=run.dry_run)
    run.figures.untagged += len(compared.differing)
    if run.dry_run:
        return
    chosen, found = repairing.judge(compared, now=run.now)
    keep(
        account=account,
        subjects=[machine.provider_id for machine in compared.looked],
        checks=TAG_CHECKS,
        deviations=found,
        actor=run.actor,
        now=run.now,
    )
    for machine in chosen[: run.repairs_left(account)]:
        with run.going_on(f"machine {machine.id}"):
            if repairing.repair(actor=run.actor, workspace_id=machine.id, now=run.now):
                run.note_repair(account)


def _nobodys(account: ProviderAccount, shown: Sequence[aws.Machine], gateway: aws.Gateway) -> list[aws.Machine]:
    """What no row of ours describes, of the machines that AWS shows.

    The pages are older than the rows: an operation may have ended a machine in between. So AWS is asked anew for what a
    row that has ended describes; what is gone by then, or about to be, is nobody's to take over.
    """
    unknown = survey.unknown_of(account, shown)
    formerly = survey.formerly_ours(unknown)
    newest = gateway.describe(sorted(formerly))
    there = [newest.get(one.provider_id) if one.provider_id in formerly else one for one in unknown]
    return [one for one in there if one is not None and one.state not in survey.ENDED]
