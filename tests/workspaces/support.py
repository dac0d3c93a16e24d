"""Clients with real tokens, what their requests left in the audit log, and time that moves when it is told to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.test import APIClient

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import User
from forge.accounts.token_services import issue_token
from forge.operations.models import Operation
from forge.operations.runner import run_due
from tests.world import actor
from workspaces import services
from workspaces.models import WorkSpace

WORKSPACES = "/api/v1/workspaces/"


def client_of(user: User, **token: Any) -> APIClient:
    """A client that sends a new token of the person; `client.token` is its row."""
    made, text = issue_token(actor=Actor.command("tests"), user=user, name="tests", now=timezone.now(), **token)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    client.user, client.token = user, made
    return client


def entries(client: APIClient) -> QuerySet[AuditLog]:
    """What the person's own requests left, oldest first."""
    return AuditLog.objects.filter(user_id=client.user.id).order_by("id")


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, after a look at what every one must have."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["code"] == code, document
    assert document["status"] == status
    for member in ("type", "title", "detail", "instance", "errors", "request_id", "retryable", "suggested_action"):
        assert member in document
    return document


class Clock:
    """Business time and the simulator's, moved together."""

    def __init__(self, simulator) -> None:
        self.now = timezone.now()
        self._simulator = simulator

    def work(self, *, rounds: int = 1, seconds: float = 60) -> None:
        for _ in range(rounds):
            run_due(limit=20, now=self.now)
            self.now += timedelta(seconds=seconds)
            self._simulator.control.advance(seconds * 10)

    def finish(self, operation: Operation) -> Operation:
        """Work until the operation has ended."""
        for _ in range(30):
            self.work()
            if fresh(operation).is_final:
                break
        return fresh(operation)


def launch(world, clock):
    return services.launch(actor=actor(world.engineer), spec=world.spec(), now=clock.now).operation


def ask(verb, world, clock):
    service = getattr(services, verb)
    return service(actor=actor(world.engineer), workspace_id=machine().pk, now=clock.now).operation


def fresh(operation):
    return Operation.objects.get(pk=operation.pk)


def machine():
    return WorkSpace.objects.get()
