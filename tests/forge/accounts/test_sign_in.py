"""Who is let in: accounts, credentials and organizations that are all live."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone

from forge.accounts.models import Organization, User
from tests import world as worlds
from tests.factories import PASSWORD
from tests.workspaces.support import client_of, problem

pytestmark = pytest.mark.django_db

ENDS = {
    "organization": lambda user: Organization.objects.filter(pk=user.organization_id).update(is_active=False),
    "account": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    "credentials": lambda user: User.objects.filter(pk=user.pk).update(credentials_expire_at=timezone.now()),
}


@pytest.fixture
def admin():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30)).admin


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_opens_neither_by_password_nor_session_nor_token(admin, end):
    console, api = Client(), client_of(admin)
    console.force_login(admin)
    assert authenticate(username=admin.email, password=PASSWORD) == admin
    assert console.get("/admin/").status_code == 200
    assert api.get("/api/v1/me/").status_code == 200

    ENDS[end](admin)

    assert authenticate(username=admin.email, password=PASSWORD) is None
    assert console.get("/admin/").status_code == 302
    problem(api.get("/api/v1/me/"), 401, "token_expired")
