"""Carrying out tags: look at the machine's own, write what differs, and look again before it is believed.

What is wanted is read from the machine's row at each turn and not from the operation, so whatever changes in between is
followed, and two such operations at once come to the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.db import transaction

from forge.operations.claims import Claim
from forge.operations.models import Operation
from workspaces import actions, aws
from workspaces.busy import TAG_KIND
from workspaces.handlers.common import MachineHandler, times
from workspaces.lifecycle import TERMINAL_STATES
from workspaces.models import WorkSpace
from workspaces.tagging.wanted import MOST, TOO_MANY, Difference, difference, wanted_of

MOST_ASKS = 5
NO_EFFECT = "no_effect"
ENDED = "machine_ended"


class Tag(MachineHandler):
    """Only WorkSpaces Personal has tags (`workspaces.capabilities`)."""

    outcome_action = actions.WORKSPACE_TAG_OUTCOME
    action = "tag"

    def advance(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        if not isinstance(gateway, aws.Gateway):
            raise TypeError(f"{claim.operation.kind} of a {workspace.service_type}")
        if workspace.state in TERMINAL_STATES:
            self._fail(claim, workspace, ENDED, f"The machine is {workspace.state}")
            return
        claim.step("look", progress=10)
        wanted = wanted_of(workspace)
        differs = self._differs(workspace, wanted, gateway)
        if differs and differs.total > MOST:
            detail = f"With Forge's the machine would have {differs.total} tags, and AWS takes {MOST}: take others' off"
            self._fail(claim, workspace, TOO_MANY, detail)
            return
        if differs and times(claim, "write") - times(claim, "put_off") >= MOST_ASKS:
            detail = f"AWS took the tags {MOST_ASKS} times and does not show them"
            self._fail(claim, workspace, NO_EFFECT, detail)
            return
        if differs:
            self._write(claim, workspace, differs, gateway)
            claim.step("verify", progress=70)
            differs = self._differs(workspace, wanted, gateway)
        if differs:
            self.poll_later(claim)
        else:
            self._arrived(claim, workspace, wanted)

    @staticmethod
    def _differs(workspace: WorkSpace, wanted: dict[str, str], gateway: aws.Gateway) -> Difference:
        return difference(wanted, gateway.tags(workspace.provider_id), applied=workspace.applied_tags)

    @staticmethod
    def _write(claim: Claim, workspace: WorkSpace, differs: Difference, gateway: aws.Gateway) -> None:
        """What is superfluous goes first, to make room. The keys are noted before: one that was written is Forge's."""
        note_written(workspace, differs.put)
        claim.point_of_no_return()
        claim.step("write", {"put": sorted(differs.put), "remove": list(differs.remove)}, progress=30)
        try:
            if differs.remove:
                gateway.remove_tags(workspace.provider_id, differs.remove)
            if differs.put:
                gateway.put_tags(workspace.provider_id, differs.put)
        except (aws.Throttled, aws.Unavailable):
            claim.step("put_off")
            raise

    def _arrived(self, claim: Claim, workspace: WorkSpace, wanted: dict[str, str]) -> None:
        with self.finishing(claim, workspace) as locked:
            if wanted_of(locked) != wanted:
                claim.wait(claim.now())
                return
            others = others_writing(locked.pk, claim.operation.pk)
            locked.applied_tags = locked.applied_tags | wanted if others else wanted
            locked.tags_applied_at = claim.now()
            locked.save(update_fields=["applied_tags", "tags_applied_at", "updated_at"])
            self.succeed(claim, locked)

    def _fail(self, claim: Claim, workspace: WorkSpace, code: str, detail: str) -> None:
        with self.finishing(claim, workspace) as locked:
            self.fail(claim, locked, code=code, detail=detail)


def note_written(workspace: WorkSpace, put: Mapping[str, str]) -> None:
    """Add to what Forge has written to the machine, keeping what others have noted since it was read.

    Until AWS is seen to show it, it is not known to be applied.
    """
    row = WorkSpace.objects.filter(pk=workspace.pk)
    with transaction.atomic():
        noted = row.select_for_update(no_key=True).values_list("applied_tags", flat=True).get()
        workspace.applied_tags, workspace.tags_applied_at = noted | put, None
        row.update(applied_tags=workspace.applied_tags, tags_applied_at=None)


def others_writing(workspace_id: uuid.UUID, operation_id: uuid.UUID) -> bool:
    """Whether another operation may yet write tags that were wanted before: what it has noted stays noted."""
    others = Operation.objects.open().filter(target_id=workspace_id, kind=TAG_KIND)
    return others.exclude(pk=operation_id).exists()
