"""Add pages open whatever the address writes into their fields."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from tests.factories import UserFactory
from tests.world import build

pytestmark = pytest.mark.django_db
VALUES = ["2026-12-31", "2026-12-31T10:00:00Z", "zz", "", "2026-13-45", "0001-01-01T00:00:00+14:00"]


def add_pages():
    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        for model, model_admin in admin.site._registry.items()
        if getattr(model_admin, "add_roles", ())
    ]


def test_every_add_page_opens_with_a_date_in_each_field(client):
    world = build(expire_at=timezone.now() + timedelta(days=1))
    opened = set()
    for user in (world.admin, world.finance, world.auditor, UserFactory(organization=None)):
        client.force_login(user)
        for page in set(add_pages()) - opened:
            answer = client.get(page)
            if answer.status_code != 200:
                continue
            opened.add(page)
            for value in VALUES:
                prefilled = dict.fromkeys(answer.context["adminform"].form.fields, value)
                assert client.get(page, prefilled).status_code == 200, (page, value)
    assert opened == set(add_pages())


def test_a_date_in_the_address_stands_in_the_form(client):
    client.force_login(build(expire_at=timezone.now() + timedelta(days=1)).admin)
    form = client.get("/admin/budgets/budget/add/?period_end=2026-12-31&period_start=zz").context["adminform"].form
    assert f"{form.initial['period_end']:%Y-%m-%d}" == "2026-12-31"
    assert "period_start" not in form.initial
