"""What the tests of signing in share: browsers, codes of an authenticator app, and what the log says."""

from __future__ import annotations

import re
import time

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts.signin.factors import close, open_
from tests.factories import PASSWORD

CONSOLE, ACCOUNT = "/admin/login/", "/account/login/"


def browser(**headers):
    return Client(raise_request_exception=False, REMOTE_ADDR="198.51.100.7", HTTP_USER_AGENT="Walk/1.0", **headers)


def sign_in(client, user, *, page=CONSOLE, password=PASSWORD, query=""):
    return client.post(page + query, {"username": user.email, "password": password})


def code_of(secret, *, step=0):
    """What an authenticator app shows now, or `step` times thirty seconds later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def with_app(user):
    """Give the person an authenticator app, as if it had been set up; its secret."""
    secret = generate_totp_secret()
    Authenticator.objects.create(user=user, type="totp", data={"secret": close(secret)}, created_at=timezone.now())
    return secret


def secret_of(user):
    return open_(Authenticator.objects.get(user=user, type="totp").data["secret"])


def secret_on(page):
    """The secret that a page shows while an app is set up."""
    return re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page.content.decode()).group(1)


def left(*actions):
    """(action type, result, resource id) of the entries of these types, in their order."""
    rows = AuditLog.objects.filter(action_type__in=actions) if actions else AuditLog.objects.all()
    return [(row.action_type, row.result, row.resource_id) for row in rows.order_by("timestamp", "id")]


def is_in(client, page="/account/"):
    """Whether the browser is signed in."""
    return client.get(page).status_code == 200
