"""Stops and ends that a rule has queued, while the rules are paused.

What has not begun is called off, not held: when the rules go on they judge the machine anew, as it is then.
"""

from __future__ import annotations

from django.db import transaction

from forge.operations.claims import Claim
from workspaces import aws
from workspaces.handlers.power import Power, Stop, Terminate
from workspaces.lifecycle import AUTOMATIC
from workspaces.models import WorkSpace
from workspaces.rules.pausing import pause_of

PAUSED = "rules_paused"


class _UnlessPaused(Power):
    """Asks whether the rules are paused when it is taken up, and again right before AWS is asked."""

    def work(self, claim: Claim, workspace: WorkSpace) -> None:
        if not self._called_off(claim):
            super().work(claim, workspace)

    def decide(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None) -> bool:
        return not self._called_off(claim) and super().decide(claim, workspace, seen)

    def _called_off(self, claim: Claim) -> bool:
        """Whether it was just called off: a rule asked for it, AWS was not asked yet, and the rules are paused.

        The step of that name says whose pause it was.
        """
        if claim.operation.spec != AUTOMATIC or not claim.operation.cancellable:
            return False
        pause = pause_of(claim.operation.organization_id)
        if pause is None:
            return False
        with transaction.atomic():
            self.lock_first(claim.operation)
            operation = claim.lock()
            claim.step(PAUSED, f"{pause}.")
            self.record_outcome(
                operation, result="FAILURE", context={"outcome": "cancelled", "code": PAUSED}, now=claim.now()
            )
            claim.cancelled()
        return True


class StopUnlessPaused(_UnlessPaused, Stop):
    """The stop of a machine."""


class TerminateUnlessPaused(_UnlessPaused, Terminate):
    """The end of a machine."""
