"""The operation that takes the fleet of a provider account over, machine by machine."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from audit.actors import Actor
from audit.entries import FAILURE, SUCCESS
from audit.services import record
from forge.accounts.models import Team
from forge.api.errors import Problem
from forge.operations.claims import Claim
from forge.operations.handlers import Handler
from forge.operations.models import Operation
from forge.operations.runner import UNEXPECTED
from workspaces import actions, aws
from workspaces.fleet import adopting
from workspaces.fleet.looking import GONE_FROM_AWS, gone
from workspaces.fleet.taking import Refusals, Wish
from workspaces.models import ProviderAccount, UnmanagedMachine
from workspaces.places import place_of

logger = logging.getLogger(__name__)

BATCH = aws.BATCH
"""AWS is asked for so many machines right before they are taken over: those of one call."""

STRETCH_SECONDS = 10.0
"""After so long the worker lets other operations have their turn."""


class AdoptFleet(Handler):
    """Each machine is a transaction of its own, so whoever goes on after a crash finds done what is done.

    AWS is asked for each batch right before it is taken over, outside of any transaction, and what has ended since it
    was listed is left. A machine that is refused, or at which something unexpected happens, keeps no other from its
    turn; the result names the first of them and counts all. `steps` holds how far the list is worked off, by the
    machines' ids.
    """

    def run(self, claim: Claim) -> None:
        try:
            self._take_over(claim)
        except (aws.Throttled, aws.Unavailable) as error:
            with transaction.atomic():
                claim.lock()
                claim.retry(reason=str(error), code=error.code)
        except aws.AwsError as error:
            self._fail(claim, error)

    def _take_over(self, claim: Claim) -> None:
        """Go on with the list for a while; may raise any AwsError, with all done that the steps say."""
        operation = claim.operation
        wish = _wish(operation)
        actor = replace(Actor.of_operation(operation), correlation_id=operation.correlation_id)
        place = _place_in_list(operation)
        noted = place.get("refused", {})
        refusals = Refusals(dict(noted), place.get("refusals", len(noted)))
        after = place.get("after")
        until = time.monotonic() + STRETCH_SECONDS
        account = ProviderAccount.objects.get(pk=operation.target_id)
        gateway = aws.Gateway(place_of(account), before_call=claim.heartbeat)
        pending = adopting.candidates(operation.target_id, wish)
        while batch := list((pending.filter(id__gt=after) if after else pending)[:BATCH]):
            ended = gone(batch, gateway)
            for machine_id in batch:
                if machine_id in ended:
                    refusals.add(machine_id, GONE_FROM_AWS)
                    continue
                try:
                    adopting.adopt(
                        actor=actor, machine_id=machine_id, wish=wish, now=claim.now(), operation_id=operation.id
                    )
                except Problem as error:
                    refusals.add(machine_id, error.code)
                except (OperationalError, InterfaceError):
                    raise
                except Exception:
                    logger.exception("machine %s could not be adopted", machine_id)
                    refusals.add(machine_id, UNEXPECTED)
            after = str(batch[-1])
            claim.step("adopt", {"after": after, "adopted": _adopted(operation), **refusals.as_json()})
            if time.monotonic() >= until:
                with transaction.atomic():
                    claim.lock()
                    claim.wait(claim.now())
                return
        self._succeed(claim, refusals)

    def cancel(self, operation: Operation, *, actor: Actor | None, now: datetime) -> None:
        adopted = _adopted(operation)
        operation.result = {"adopted": adopted}
        operation.save(update_fields=["result", "updated_at"])
        _record(operation, result=FAILURE, outcome="cancelled", now=now, actor=actor, adopted=adopted)

    def cancel_requested(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        _record(operation, result=FAILURE, outcome="cancel_requested", now=now, actor=actor)

    def retry(self, operation: Operation, *, actor: Actor, now: datetime) -> None:
        _record(operation, result=SUCCESS, outcome="retry", now=now, actor=actor)

    def may_control(self, user: Any, operation: Operation) -> bool:
        return user.is_operator or adopting.may_adopt(user, operation.organization_id)

    def _succeed(self, claim: Claim, refusals: Refusals) -> None:
        with transaction.atomic():
            operation = claim.lock()
            adopted = _adopted(operation)
            claim.succeed({"adopted": adopted, **refusals.as_json()})
            _record(operation, result=SUCCESS, outcome="succeeded", now=claim.now(), adopted=adopted)

    def _fail(self, claim: Claim, error: aws.AwsError) -> None:
        """AWS does not let Forge look: nothing more is taken over; another try goes on where this one ended."""
        with transaction.atomic():
            operation = claim.lock()
            adopted = _adopted(operation)
            claim.fail(error.code, error.message, {"adopted": adopted})
            _record(operation, result=FAILURE, outcome="failed", now=claim.now(), adopted=adopted, code=error.code)


adopt_fleet = AdoptFleet()


def _wish(operation: Operation) -> Wish:
    spec = operation.spec
    team = Team.objects.get(pk=spec["team"]) if spec["team"] else None
    return Wish(team=team, max_lifetime_days=spec["max_lifetime_days"])


def _place_in_list(operation: Operation) -> dict[str, Any]:
    """How far the list is worked off, as the last batch left it."""
    return next((step["detail"] for step in operation.steps if step["name"] == "adopt"), None) or {}


def _adopted(operation: Operation) -> int:
    """How many machines the operation has taken over, whatever worker did it."""
    return UnmanagedMachine.objects.filter(
        provider_account_id=operation.target_id, operation_id=operation.id, adopted_at__isnull=False
    ).count()


def _record(
    operation: Operation, *, result: str, outcome: str, now: datetime, actor: Actor | None = None, **figures: Any
) -> None:
    who = (actor or Actor.of_operation(operation)).in_organization(operation.organization_id)
    record(
        actor=who.with_correlation(operation.correlation_id),
        action=actions.FLEET_ADOPT_OUTCOME,
        resource_type="ProviderAccount",
        resource_id=str(operation.target_id),
        result=result,
        description=f"{operation.kind} {operation.id}: {outcome.replace('_', ' ')}",
        context={"operation_id": operation.id, "outcome": outcome, **figures},
        occurred_at=now,
    )
