"""HEAD is answered wherever GET is, with the same status and media type, no body, and no entry of a file that left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts.signin.urls import urlpatterns as account_urls
from tests import world as worlds
from tests.audit.walk.console import BUTTONS, operator
from tests.audit.walk.marks import browser, client_of
from tests.isolation.cells import Request, operations

pytestmark = pytest.mark.django_db

ADMINS = {model._meta.model_name: model_admin for model, model_admin in admin.site._registry.items()}
ROWS = {model: (name, case) for (model, name), case in reversed(BUTTONS.items())}
"""A row of each model that has buttons, and the first of them: all of a model's are one route."""
IN_ONE_INSTANT = "cost-export-list"
"""Reads a snapshot of its own, which a transaction around it forbids."""
READ = [one for one in operations() if one.method == "get" and one.route != IN_ONE_INSTANT]
NEEDED = {
    "audit-export": "?format=csv",
    "cost-report-list": "?format=csv&by=team&month={month}",
}
"""Parameters that a read cannot do without."""
BARE = ["/", "/admin", "/account", "/healthz", "/readyz", "/api/v1/schema/", "/api/v1/docs/", "/api/v1/nowhere/"]


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def files():
    """The entries of files that left."""
    left = AuditLog.objects.filter(result="SUCCESS")
    return left.filter(action_type__in=("AUDIT_EXPORT", "AUDIT_EXPORT_DOWNLOAD", "COST_EXPORT", "LIST_EXPORT")).count()


def same(client, address):
    """The status that both methods answer with, and what they do not have in common."""
    before = files()
    head = client.head(address)
    assert files() == before, f"{address}: the HEAD left the entry of a file"
    assert (b"".join(head.streaming_content) if head.streaming else head.content) == b""
    get = client.get(address)
    assert not get.streaming or list(get.streaming_content)
    kinds = [answer.get("Content-Type", "").partition(";")[0] for answer in (head, get)]
    assert (head.status_code, kinds[0]) == (get.status_code, kinds[1]), address
    return get.status_code


@pytest.mark.parametrize("operation", READ, ids=str)
def test_of_the_api(world, operation):
    request = Request.of(operation, world)
    query = NEEDED.get(operation.route, "").format(month=f"{timezone.now():%Y-%m}")
    status = same(client_of(world.admin, "API"), f"{request.path}{query}")
    assert status in ((200, 404, 409) if operation.has_row else (200,)), f"{operation} says {status}"


@pytest.mark.django_db(transaction=True)
def test_of_costs_as_a_file(world):
    assert same(client_of(world.finance, "API"), "/api/v1/costs/export/?format=focus-csv") == 200


def test_of_the_consoles_lists_forms_and_files(world):
    client, statuses = browser(world.admin), {}
    for model, one in ADMINS.items():
        for end, arguments in [("changelist", ()), ("add", ()), *(("export", (form,)) for form in one.export_formats)]:
            if end == "export" and not one.export_fields:
                continue
            address = reverse(f"admin:{one.opts.app_label}_{model}_{end}", args=arguments)
            statuses[model, end] = same(client, address)
    assert set(statuses.values()) <= {200, 302, 403}
    assert sum(status == 200 for status in statuses.values()) > 60


@pytest.mark.parametrize("model", sorted(ROWS))
def test_of_the_consoles_pages_of_a_row_and_of_a_button(world, model):
    name, case = ROWS[model]
    opts, row = ADMINS[model].opts, case.row(world)
    client = browser(operator(world) if case.by == "operator" else getattr(world, case.by))
    of_row = f"admin:{opts.app_label}_{model}_"
    assert same(client, reverse(f"{of_row}button", args=(row.pk, name))) == 200
    assert same(client, reverse(f"{of_row}change", args=(row.pk,))) == 200
    assert same(client, reverse(f"{of_row}history", args=(row.pk,))) == 302


def test_of_the_sites_own_pages_and_those_of_the_account(world):
    client, seen = browser(world.admin), 0
    own = [one for one in admin.site.get_urls() if isinstance(one, URLPattern)]
    for space, pattern in [("admin:", one) for one in own] + [("", one) for one in account_urls]:
        try:
            address = reverse(f"{space}{pattern.name}")
        except NoReverseMatch:  # it needs a row, or an organization's provider
            continue
        same(client, address)
        seen += 1
    for address in BARE:
        same(client, address)
    assert seen > 25
