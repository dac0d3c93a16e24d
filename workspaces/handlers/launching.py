"""Carrying out a launch: look, create at most once, verify, and say AVAILABLE only of a machine that is.

A worker may be killed between any two lines. What makes that harmless: the operation's id is a tag of the machine,
AWS gives a directory user one machine at most, and every attempt begins with a look.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.actors import Actor
from blueprints.models import BlueprintBundle
from forge.operations.claims import Claim
from forge.operations.models import Operation
from workspaces import absence, actions, aws
from workspaces.handlers.common import MachineHandler
from workspaces.lifecycle import State, meaning_of
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.places import known
from workspaces.posture.sweep import note_launched
from workspaces.regions.choosing import allowed_regions
from workspaces.tagging.wanted import OPERATION, wanted_of
from workspaces.transitions import lock_machine, move

logger = logging.getLogger(__name__)

VISIBLE_AFTER = timedelta(minutes=2)
"""A machine that AWS took on may be missing from its lists for so long; after that its absence counts."""

TAGS_VISIBLE_AFTER = timedelta(hours=1)
"""The tags of a machine may be missing for so long; after that one without any is not ours."""

ADDRESS_TRIES = 3
"""How often a launch asks for the address of its machine; after that it is done, and reconcile finds it."""

JOIN_TRIES = 3
"""How often a machine is made anew because it could not join the domain of its directory, before the launch fails."""

_NOT_JOINED = re.compile(r"domain.?join|join\w* .*\bdomain", re.IGNORECASE)
"""How AWS says so in a machine's ErrorCode and ErrorMessage, which it names nowhere in full."""

CALLED_OFF = "called_off"
_UP = (State.AVAILABLE, State.STOPPING, State.STOPPED)


class Launch(MachineHandler):
    outcome_action = actions.WORKSPACE_LAUNCH_OUTCOME
    action = "launch"
    unclear_at_most = None  # there is a machine of it

    def advance(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        if workspace.launched_at is not None:
            self._find_address(claim, workspace, gateway)
        elif not workspace.provider_id:
            self._obtain(claim, workspace, gateway)
        else:
            self._follow(claim, workspace, gateway)

    def refused(self, claim: Claim, workspace: WorkSpace, error: aws.AwsError) -> None:
        """A look was refused, so that nobody knows whether there is a machine: all stays reserved."""
        with transaction.atomic():
            claim.lock()
            claim.unknown(str(error), self.after_unknown(claim), code=error.code)

    def figures(self, workspace: WorkSpace, code: str) -> Mapping[str, Any]:
        """Where else the same could be launched, when the region has no room for it."""
        return {"alternatives": elsewhere(workspace)} if code in aws.NO_ROOM else {}

    def cancellable(self, operations: Sequence[Operation]) -> set[uuid.UUID]:
        """Past the point of no return too, while there is no machine to use: what comes of it is ended at once."""
        passed = {one.target_id: one.id for one in operations if not one.cancellable}
        pending = WorkSpace.objects.filter(id__in=list(passed), state=State.PENDING).values_list("id", flat=True)
        return super().cancellable(operations) | {passed[machine_id] for machine_id in pending}

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        workspace = lock_machine(operation.target_id)
        who = actor or Actor.job("operations", operation.organization_id)
        who = who.with_correlation(operation.correlation_id)
        move(workspace=workspace, target=State.FAILED, occurred_at=now, reason="cancelled", actor=who, now=now)
        super().cancel(operation, actor=actor, now=now)

    def _obtain(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        claim.step("look", progress=5)
        found = gateway.find(directory_id=workspace.directory_id, user_name=workspace.directory_user)
        if found is None and self._is_called_off(claim):
            self._end_without_machine(claim, workspace, gateway)
            return
        asked_before = self._asked_at(claim)
        is_made_now = False
        claim.point_of_no_return()
        if found is None:
            self._wait_for_the_unclear(claim, asked_before)
            claim.step("create", progress=10)
            try:
                found = gateway.create(self._wanted(claim, workspace))
                is_made_now = True
            except aws.Exists as error:
                found = gateway.find(directory_id=workspace.directory_id, user_name=workspace.directory_user)
                if found is None:
                    raise aws.UnknownOutcome(error.code, "AWS has a machine that it does not show yet") from error
            except (aws.Throttled, aws.Unavailable):
                self._note_refusal(claim, asked_before)
                raise
            except (aws.LimitReached, aws.Invalid, aws.NotFound) as error:
                self._note_refusal(claim, asked_before, code=error.code)
                if asked_before is not None and claim.now() - asked_before < VISIBLE_AFTER:
                    raise aws.UnknownOutcome(error.code, f"an earlier request may have passed: {error}") from error
                self._require_place(claim, workspace, gateway, asked_before)
                self._give_up(claim, workspace, code=error.code, detail=error.message)
                return
        if not is_made_now and not self._is_ours(claim, found, gateway, asked_before=asked_before):
            self._give_up(
                claim,
                workspace,
                code="directory_user_taken",
                detail=f"The directory user has machine {found.provider_id} already",
            )
            return
        claim.step("created", found.provider_id, progress=30)
        with self.finishing(claim, workspace) as locked:
            locked.provider_id = found.provider_id
            locked.provider_state = found.state
            if locked.capabilities.takes_tags:
                locked.applied_tags = wanted_of(workspace)
            if locked.capabilities.joins_domain:
                locked.domain_join_status = WorkSpace.DomainJoin.IN_PROGRESS
                locked.domain_join_attempts += 1
            locked.save(
                update_fields=[
                    "provider_id",
                    "provider_state",
                    "applied_tags",
                    "domain_join_status",
                    "domain_join_attempts",
                    "updated_at",
                ]
            )
            claim.wait(claim.now())

    def _follow(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        seen = gateway.look(known(workspace))
        if seen is None or seen.state == "TERMINATED":
            created = self._step(claim, "created")
            if seen is None and created and claim.now() - datetime.fromisoformat(created["at"]) < VISIBLE_AFTER:
                self.poll_later(claim)
                return
            if seen is None:
                proof = absence.Proof(gateway)
                with self.believing_in_time(claim, workspace, proof):
                    proof.require(workspace)
            if self._is_called_off(claim):
                self._give_up(claim, workspace, code=CALLED_OFF, detail="Called off; its machine is gone")
            elif self._may_try_again(claim, workspace):
                self._try_again(claim, workspace)
            elif (discarded := self._step(claim, "discard")) is not None:
                self._give_up(claim, workspace, code="machine_discarded", detail=discarded["detail"])
            else:
                self._give_up(claim, workspace, code="machine_vanished", detail="AWS no longer has the machine")
            return
        claim.step("wait", seen.state, progress=60)
        fault = self._fault(claim, workspace, seen)
        if fault and seen.state != "TERMINATING":
            claim.step("discard", fault)
            with suppress(aws.NotFound):
                gateway.terminate(workspace.provider_id)
            self.poll_later(claim)
            return
        if meaning_of(seen.state).state not in _UP:
            self.poll_later(claim)
            return
        claim.step("verified", progress=90)
        with self.finishing(claim, workspace) as locked:
            if self._is_called_off(claim):
                claim.wait(claim.now())
                return
            self._take_over(locked, seen)
            move(
                workspace=locked,
                target=State.AVAILABLE,
                occurred_at=claim.now(),
                reason="launched",
                actor=self._actor(claim),
                now=claim.now(),
            )
            if locked.capabilities.joins_domain:
                note_launched(workspace=locked, seen=seen, actor=self._actor(claim), now=claim.now())
        self._find_address(claim, workspace, gateway)

    def _may_try_again(self, claim: Claim, workspace: WorkSpace) -> bool:
        """True when the machine that is gone was discarded because it could not join its domain, and tries are left."""
        return self._was_not_joined(claim) and workspace.domain_join_attempts < JOIN_TRIES

    def _was_not_joined(self, claim: Claim) -> bool:
        discarded = self._step(claim, "discard")
        return discarded is not None and _NOT_JOINED.search(discarded["detail"]) is not None

    def _try_again(self, claim: Claim, workspace: WorkSpace) -> None:
        """Let the next turn ask for another machine; the one before is surely gone, so the user is free."""
        with self.finishing(claim, workspace) as locked:
            locked.provider_id = locked.provider_state = ""
            locked.domain_join_status = WorkSpace.DomainJoin.RETRY
            locked.save(update_fields=["provider_id", "provider_state", "domain_join_status", "updated_at"])
            claim.wait(claim.now())

    def _find_address(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        """The last step: the machine runs and is paid for, so its address may also come later, by reconcile."""
        url = None
        try:
            url = self._address(workspace, gateway)
        except aws.AwsError as error:
            if isinstance(error, aws.Throttled | aws.Unavailable) and claim.failures + 1 < ADDRESS_TRIES:
                raise
            logger.warning("machine %s has no address yet: %s", workspace.id, error)
        with self.finishing(claim, workspace) as locked:
            locked.connection_url = url
            locked.save(update_fields=["connection_url", "updated_at"])
            self.succeed(claim, locked)

    @staticmethod
    def _address(workspace: WorkSpace, gateway: Any) -> str | None:
        """What the machine's `connection_url` becomes; may raise any AwsError."""
        return connection_url(gateway.registration_code(workspace.directory_id))

    def _require_place(
        self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider, asked_before: datetime | None
    ) -> None:
        """Raise AbsenceDoubted where a machine may have been made, if asked for, and AWS does not show its place."""
        doubt = None if asked_before is None else absence.doubt_of_place(workspace.directory_id, gateway)
        if doubt is not None:
            with self.believing_in_time(claim, workspace, absence.Proof(gateway)):
                raise doubt

    def _end_without_machine(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        """Called off, and no machine is seen: over, once one that was asked for would have been seen."""
        asked_at = self._asked_at(claim)
        if asked_at is not None and claim.now() - asked_at < VISIBLE_AFTER:
            self.poll_later(claim)
            return
        self._require_place(claim, workspace, gateway, asked_at)
        self._give_up(claim, workspace, code=CALLED_OFF, detail="Called off; AWS has no machine of it")

    def _give_up(self, claim: Claim, workspace: WorkSpace, *, code: str, detail: str) -> None:
        """No machine exists: FAILED, with the reservations released by the end hooks."""
        with self.finishing(claim, workspace) as locked:
            if locked.domain_join_status == WorkSpace.DomainJoin.IN_PROGRESS and self._was_not_joined(claim):
                locked.domain_join_status = WorkSpace.DomainJoin.FAILED
                locked.save(update_fields=["domain_join_status", "updated_at"])
            move(
                workspace=locked,
                target=State.FAILED,
                occurred_at=claim.now(),
                reason=code,
                actor=self._actor(claim),
                now=claim.now(),
            )
            self.fail(claim, locked, code=code, detail=detail)

    @staticmethod
    def _actor(claim: Claim) -> Actor:
        return Actor.job("operations", claim.operation.organization_id, correlation_id=claim.operation.correlation_id)

    @staticmethod
    def _step(claim: Claim, name: str) -> dict[str, Any] | None:
        return next((step for step in claim.operation.steps if step["name"] == name), None)

    def _asked_at(self, claim: Claim) -> datetime | None:
        """When AWS was last asked to create the machine, by whatever attempt, and did not clearly refuse."""
        asked, refused = self._step(claim, "create"), self._step(claim, "refused")
        if asked is None:
            return None
        if refused is None or refused["detail"]["request"] < asked["times"]:
            return datetime.fromisoformat(asked["at"])
        before = refused["detail"]["asked_before"]
        return datetime.fromisoformat(before) if before else None

    def _note_refusal(self, claim: Claim, asked_before: datetime | None, *, code: str = "") -> None:
        """The request just made came to nothing for certain; what is unclear is one made before, if any.

        `code` says why, where AWS would say the same again.
        """
        asked = self._step(claim, "create")
        if asked is not None:
            claim.step("refused", {"request": asked["times"], "asked_before": asked_before, "code": code})

    def _wait_for_the_unclear(self, claim: Claim, asked_before: datetime | None) -> None:
        """Ask for nothing that AWS has refused while an earlier request may still have passed; raises UnknownOutcome.

        Each further request that times out would make it unclear anew, so that the refusal could not be told for long.
        """
        asked, refused = self._step(claim, "create"), self._step(claim, "refused")
        if asked_before is None or asked is None or refused is None or not refused["detail"].get("code"):
            return
        if refused["detail"]["request"] == asked["times"] and claim.now() - asked_before < VISIBLE_AFTER:
            raise aws.UnknownOutcome(refused["detail"]["code"], "refused, but an earlier request may have passed")

    @staticmethod
    def _is_called_off(claim: Claim) -> bool:
        """Whether somebody wants nothing of it any more, past the point where nothing had happened."""
        return not claim.operation.cancellable and claim.operation.cancel_requested_at is not None

    @staticmethod
    def _is_ours(claim: Claim, found: aws.Machine, gateway: Any, *, asked_before: datetime | None) -> bool:
        """True for the machine that an earlier attempt of this very operation has made.

        Raises UnknownOutcome for one without any tags while those of ours may not be visible yet.
        """
        tags = gateway.tags(found.provider_id)
        if not tags and asked_before is not None and claim.now() - asked_before < TAGS_VISIBLE_AFTER:
            raise aws.UnknownOutcome("TagsNotShown", f"{found.provider_id} may be the machine that was asked for")
        return tags.get(OPERATION) == str(claim.operation.id)

    def _fault(self, claim: Claim, workspace: WorkSpace, seen: aws.Machine) -> str:
        """Why the machine is to be ended at once, in words; empty when it is welcome."""
        if self._is_called_off(claim):
            return "Called off"
        if seen.state == "PENDING":
            return ""
        return f"AWS reports {seen.error or 'ERROR'}" if seen.state == "ERROR" else self._mismatch(workspace, seen)

    @staticmethod
    def _wanted(claim: Claim, workspace: WorkSpace) -> aws.NewMachine:
        offered = BlueprintBundle.objects.get(
            blueprint=workspace.blueprint_id, region=workspace.region, bundle_type=workspace.bundle_type
        )
        return aws.NewMachine(
            directory_id=workspace.directory_id,
            user_name=workspace.directory_user,
            bundle_id=offered.bundle_id,
            bundle_type=workspace.bundle_type,
            running_mode=workspace.running_mode,
            auto_stop_minutes=workspace.auto_stop_timeout_minutes,
            operation_id=str(claim.operation.id),
            workspace_id=str(workspace.id),
            tags=wanted_of(workspace),
            volume_key=workspace.provider_account.volume_key,
        )

    @staticmethod
    def _mismatch(workspace: WorkSpace, seen: aws.Machine) -> str:
        """What AWS made otherwise than asked, in words; empty when all is as asked."""
        pairs = {
            "user": (workspace.directory_user.lower(), seen.user_name.lower()),
            "compute type": (workspace.bundle_type, seen.bundle_type),
            "running mode": (workspace.running_mode, seen.running_mode),
        }
        if seen.operating_system:
            pairs["operating system"] = (workspace.operating_system, aws.system_of(seen.operating_system))
        return "; ".join(f"{what} is {is_}, not {asked}" for what, (asked, is_) in pairs.items() if asked != is_)

    @staticmethod
    def _take_over(locked: WorkSpace, seen: aws.Machine) -> None:
        locked.provider_state = seen.state
        locked.health = meaning_of(seen.state).health
        locked.ip_address = seen.ip_address
        # A bundle of one's own may have other volumes than AWS's of that type, and costs accordingly.
        locked.root_volume_gb = seen.root_volume_gb or locked.root_volume_gb
        locked.user_volume_gb = seen.user_volume_gb or locked.user_volume_gb
        if locked.capabilities.joins_domain:
            locked.domain_joined = True
            locked.domain_join_status = WorkSpace.DomainJoin.JOINED
        locked.save(
            update_fields=[
                "provider_state",
                "health",
                "ip_address",
                "root_volume_gb",
                "user_volume_gb",
                "domain_joined",
                "domain_join_status",
                "updated_at",
            ]
        )


def elsewhere(workspace: WorkSpace) -> list[dict[str, str]]:
    """The other regions that offer the machine's bundle type by its blueprint and are open to its team."""
    offering = ProviderAccount.objects.offering(workspace.service_type)
    open_to_us = offering.filter(organization_id=workspace.organization_id)
    offered = BlueprintBundle.objects.filter(
        blueprint=workspace.blueprint_id, bundle_type=workspace.bundle_type, region__in=open_to_us.values("region")
    )
    regions = offered.exclude(region=workspace.region).order_by("region").values_list("region", flat=True)
    allowed = allowed_regions(workspace.organization_id, workspace.team_id)
    possible = [region for region in regions if allowed is None or region in allowed]
    return [{"region": region, "bundle_type": workspace.bundle_type} for region in possible]


def connection_url(registration_code: str) -> str | None:
    """The address at which AWS's web client takes the registration code; None without one."""
    if not registration_code:
        return None
    return f"https://clients.amazonworkspaces.com/webclient#registrationCode={registration_code}"
