"""What every entry of the walk is held against: the twelve fields, and the receipt of the answer."""

import contextlib
import uuid

from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from audit.actors import Actor
from audit.models import AuditLog
from audit.receipts import Receipt
from forge.accounts.token_services import issue_token

ADDRESS, AGENT = "198.51.100.23", "walk/1.0"
FROM = {"REMOTE_ADDR": ADDRESS, "HTTP_USER_AGENT": AGENT}
INTERFACES = ("PORTAL", "API", "CLI", "LUCY")


def client_of(user, interface, **token):
    """A client of the API: a browser session for PORTAL, else a token of that interface."""
    client = APIClient(raise_request_exception=False, **FROM)
    if user is None:
        return client
    if interface == "PORTAL":
        client.force_login(user)
        return client
    made = issue_token(
        actor=Actor.command("walk"), user=user, name="w", now=timezone.now(), interface=interface, **token
    )
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made[1]}", **FROM)
    return client


def browser(user):
    """A browser signed in to the console, or nobody's."""
    client = Client(raise_request_exception=False, **FROM)
    if user is not None:
        client.force_login(user)
    return client


@contextlib.contextmanager
def undone():
    """Takes back what the block did, so that the same row can be tried in the next way."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def left_by(ask):
    """The answer of `ask()` and the entries that it left, in their order."""
    known = set(AuditLog.objects.values_list("id", flat=True))
    answer = ask()
    # Only the new ones whole: a walk asks hundreds of times.
    new = set(AuditLog.objects.values_list("id", flat=True)) - known
    return answer, list(AuditLog.objects.filter(id__in=new).order_by("timestamp", "id"))


def told(entries):
    return [(row.action_type, row.result) for row in entries]


def check_fields(row, *, user, interface, resource=None, resource_id=None):
    """Each of the twelve fields of a request's entry is there and right; action type and result are the caller's."""
    assert row.timestamp is not None
    assert (row.user_id, row.user_email) == ((user.id, user.email) if user is not None else (None, None))
    assert row.action_type
    assert row.action_description
    assert row.interface == interface
    assert (row.source_ip, row.user_agent) == (ADDRESS, AGENT)
    assert isinstance(row.context, dict)
    if row.result != "SUCCESS" and "method" in row.context:
        assert {"method", "view", "status", "code", "request_id"} <= row.context.keys()
    if resource is not None:
        assert row.resource_type == resource
    if resource_id is not None:
        assert row.resource_id == str(resource_id)


def check_receipt(answer, entries):
    assert Receipt.parse(answer["Audit-Receipt"]) == entries[-1].receipt


def nowhere():
    return str(uuid.uuid4())
