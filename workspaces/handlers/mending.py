"""Carrying out reboot, rebuild and restore: done when the machine was seen on its way and is there again."""

from __future__ import annotations

from forge.operations.claims import Claim
from workspaces import actions, aws
from workspaces.handlers.asking import MOST_ASKS, AskingHandler
from workspaces.handlers.common import times
from workspaces.models import WorkSpace

NOT_SEEN = "not_seen"
NO_SNAPSHOT = "no_snapshot"


class _Mending(AskingHandler):
    """AWS shows `passing` while it works; of a machine that was never seen so nobody pretends that it was done."""

    passing: str

    def proceed(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        claim.step("look", progress=10)
        seen = self.look(claim, workspace, gateway)
        if self.is_due(claim, workspace, seen) and self.may_ask(claim, workspace, gateway):
            self.request(claim, workspace, gateway)

    def is_due(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None) -> bool:
        """True when AWS is to be asked now; else the claim has its outcome."""
        if seen is None or seen.state == "TERMINATED":
            self.vanished(claim, workspace)
            return False
        self.show(claim, workspace, seen)
        if seen.state == self.passing:
            if self.is_open(claim):
                claim.step("passing", progress=60)
            self.poll_later(claim)
        elif times(claim, "passing"):
            with self.finishing(claim, workspace) as locked:
                self.follow(claim, locked, seen)
                self.succeed(claim, locked)
        elif self.is_watched(claim):
            claim.step("watch")
            self.look_soon(claim)
        elif self.is_open(claim) and not self._is_lost(claim):
            detail = f"AWS was asked, and the machine was never seen {self.passing}; look at it before you ask again"
            with self.finishing(claim, workspace) as locked:
                self.fail(claim, locked, code=NOT_SEEN, detail=detail)
        else:
            return True
        return False

    def may_ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> bool:
        """Whether there is anything to ask for; if not, the operation has been ended."""
        return True

    @staticmethod
    def _is_lost(claim: Claim) -> bool:
        """Whether the last request surely had no effect: its answer never came, and the machine was watched since."""
        unanswered = times(claim, "ask") - times(claim, "put_off") - times(claim, "taken")
        return 0 < unanswered < MOST_ASKS and not times(claim, "taken") and times(claim, "watch") > 0


class Reboot(_Mending):
    """Also in bulk: `decide` and `conclude` are what it has in common with start, stop and terminate there."""

    outcome_action = actions.WORKSPACE_REBOOT_OUTCOME
    action = "reboot"
    passing = "REBOOTING"

    def ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        gateway.reboot(workspace.provider_id)

    def decide(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None) -> bool:
        if not self.is_due(claim, workspace, seen):
            return False
        self.note_request(claim)
        return True

    def conclude(
        self, claim: Claim, workspace: WorkSpace, seen: aws.Machine | None, fault: aws.AwsError | None
    ) -> None:
        if fault is not None:
            self.refused(claim, workspace, fault)
        else:
            self.note_taken(claim)


class Rebuild(_Mending):
    outcome_action = actions.WORKSPACE_REBUILD_OUTCOME
    action = "rebuild"
    passing = "REBUILDING"

    def ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        gateway.rebuild(workspace.provider_id)


class Restore(_Mending):
    outcome_action = actions.WORKSPACE_RESTORE_OUTCOME
    action = "restore"
    passing = "RESTORING"

    def ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        gateway.restore(workspace.provider_id)

    def may_ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> bool:
        points = gateway.restore_points(workspace.provider_id)
        if points:
            claim.step("snapshot", max(points).isoformat())
            return True
        with self.finishing(claim, workspace) as locked:
            detail = "AWS has no snapshot of the machine yet; it takes one every 12 hours"
            self.fail(claim, locked, code=NO_SNAPSHOT, detail=detail)
        return False
