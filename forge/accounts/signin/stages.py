"""The step between the password, or the identity provider, and the session: asking for the second factor."""

from __future__ import annotations

from typing import Any

from allauth.mfa.stages import AuthenticateStage
from django.db import transaction

from audit.actors import Actor
from audit.services import record
from forge.accounts import actions


class SecondFactorStage(AuthenticateStage):
    """Allauth's, which leaves its entry: the first step succeeded, nobody is signed in yet."""

    def handle(self) -> tuple[Any, bool]:
        response, goes_on = super().handle()
        if response is not None:
            user = self.login.user
            with transaction.atomic():
                record(
                    actor=Actor.of_request(self.request).in_organization(user.organization_id),
                    action=actions.AUTH_CHALLENGE,
                    resource_type="User",
                    resource_id=str(user.pk),
                    description=f"User {user.pk} was asked for a second factor",
                )
        return response, goes_on
