"""Requests that AWS carries out without saying whose they were: asked, watched, and asked again only if surely lost.

A worker may be killed between any two lines. The steps of the operation say what is known: `ask` before each call,
`put_off` when AWS surely did not take it, `taken` when it surely did.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from forge.operations.claims import Claim
from workspaces import aws
from workspaces.handlers.common import MachineHandler, step_of, times
from workspaces.lifecycle import BY_ITSELF_AFTER
from workspaces.models import WorkSpace

WATCHED_FOR = timedelta(minutes=2)
"""So long the effect of a request may take to be seen; after that it has had none."""

WATCHED_EVERY = timedelta(seconds=4)

MOST_ASKS = 3


class AskingHandler(MachineHandler):
    """Base of the handlers of such requests; subclasses say in `ask` what AWS is asked for.

    Only WorkSpaces Personal has them (`workspaces.capabilities`).
    """

    def advance(self, claim: Claim, workspace: WorkSpace, gateway: aws.Provider) -> None:
        if not isinstance(gateway, aws.Gateway):
            raise TypeError(f"{claim.operation.kind} of a {workspace.service_type}")
        self.proceed(claim, workspace, gateway)

    def proceed(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        """`advance` for a machine of WorkSpaces Personal."""
        raise NotImplementedError

    def ask(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        """The one call; may raise any AwsError."""
        raise NotImplementedError

    def request(self, claim: Claim, workspace: WorkSpace, gateway: aws.Gateway) -> None:
        """Ask AWS once and look again soon; a refusal for good ends the operation."""
        self.note_request(claim)
        try:
            self.ask(claim, workspace, gateway)
        except (aws.Throttled, aws.Unavailable):
            self.put_off(claim)
            raise
        self.note_taken(claim)

    @staticmethod
    def note_request(claim: Claim) -> None:
        """AWS is asked next."""
        claim.point_of_no_return()
        claim.step("ask", progress=30)

    def note_taken(self, claim: Claim) -> None:
        """AWS has taken the request: look again soon."""
        claim.step("taken", progress=50)
        self.look_soon(claim)

    def put_off(self, claim: Claim) -> None:
        claim.step("put_off")

    def look_soon(self, claim: Claim) -> None:
        """Look again before the effect can have passed unseen; a bulk operation does so for its parts."""
        with transaction.atomic():
            operation = claim.lock()
            claim.wait(claim.now() + (BY_ITSELF_AFTER if operation.parent_id else WATCHED_EVERY))

    def is_open(self, claim: Claim) -> bool:
        """Whether AWS may have taken a request of this operation."""
        return times(claim, "ask") > times(claim, "put_off")

    def is_watched(self, claim: Claim) -> bool:
        """Whether the effect of the last request may still come."""
        step = step_of(claim, "ask")
        return self.is_open(claim) and claim.now() - datetime.fromisoformat(step["at"]) < WATCHED_FOR
