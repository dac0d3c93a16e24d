"""Clients with real tokens, and what their requests left in the audit log."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.test import APIClient

from audit.actors import Actor
from audit.models import AuditLog
from forge.accounts.models import User
from forge.accounts.token_services import issue_token

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
