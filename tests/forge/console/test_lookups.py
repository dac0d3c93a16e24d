"""What a list of the console may be asked by its address: what its filters show and its pages link with, no more."""

from copy import copy
from datetime import timedelta

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.actors import Actor
from forge.accounts.models import User
from forge.accounts.token_services import issue_token
from tests import world as worlds

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def admin(world):
    browser = Client(raise_request_exception=False)
    browser.force_login(world.admin)
    return browser


@pytest.mark.parametrize(
    "query",
    [
        "password__startswith=scrypt",
        "password__regex=^s",
        "password=x",
        "email__contains=a",
        "memberships__user__password__startswith=s",
        "organization__users__password__startswith=s",
        "last_login__year=99999999999",
        "salt=a",
    ],
)
def test_a_field_that_no_filter_shows_cannot_be_guessed_at(world, admin, query):
    password = User.objects.get(pk=world.admin.pk).password
    assert password.startswith("scrypt")
    assert admin.get(f"/admin/accounts/user/?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("accounts/apitoken", "secret_hash=a"),
        ("audit/auditlog", "salt=a"),
        ("audit/auditlog", "content__regex=["),
        ("audit/auditlog", "timestamp__year=99999999999"),
        ("audit/auditlog", "user_email__startswith=a"),
        ("workspaces/workspace", "connection_url__regex=["),
    ],
)
def test_what_would_be_an_error_of_the_database_is_refused(admin, path, query):
    assert admin.get(f"/admin/{path}/?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("accounts/user", "is_active__exact=perhaps"),
        ("accounts/user", "organization__id__exact=nobody"),
        ("audit/auditlog", "timestamp__gte=yesterday"),
        ("audit/auditlog", "user_id__exact=ann"),
        ("workspaces/provideraccount", "enabled__exact=[[["),
    ],
)
def test_a_value_that_cannot_be_leads_back_to_the_list(admin, path, query):
    answer = admin.get(f"/admin/{path}/?{query}")
    assert (answer.status_code, answer.get("Location")) == (302, f"/admin/{path}/?e=1")


@pytest.mark.parametrize("value", ["9" * 12, "9" * 30, "-1"])
def test_a_number_that_no_row_can_hold_is_no_error(value):
    browser = Client(raise_request_exception=False)
    browser.force_login(worlds.factories.UserFactory(organization=None, directory_username=""))
    for path in ("api/denialcount", "api/idempotencykey"):
        assert browser.get(f"/admin/{path}/?status={value}").status_code in (200, 302)


def test_the_links_and_filters_of_the_console_go_on_working(world, admin):
    issue_token(actor=Actor.command("test"), user=world.engineer, name="t", now=timezone.now())
    some_id = world.team.pk
    for view, query in (
        ("audit_auditlog", f"resource_id__exact={some_id}"),
        ("audit_auditlog", f"user_id__exact={some_id}"),
        ("audit_auditlog", f"correlation_id__exact={some_id}"),
        ("audit_auditlog", "action_type=OTHER"),
        ("audit_auditlog", "timestamp__gte=2026-01-01+00:00:00%2B00:00&timestamp__lt=2026-02-01+00:00:00%2B00:00"),
        ("budgets_reservation", f"budget__id__exact={some_id}&released_at__isnull=True"),
        ("budgets_reservation", "released_at__isempty=1"),
        ("operations_operation", "kind=workspace.launch&open=yes"),
        ("workspaces_workspace", "state__exact=AVAILABLE"),
        ("workspaces_workspace", "state__in=AVAILABLE,STOPPED"),
        ("workspaces_workspace", f"team__id__exact={some_id}"),
        ("workspaces_workspace", "team__isnull=True"),
        ("accounts_user", "is_active__exact=1"),
        ("db_jobrun", "job=meter_costs&outcome__exact=FAILED"),
    ):
        browser = admin
        if view == "db_jobrun":
            browser = Client()
            browser.force_login(worlds.factories.UserFactory(organization=None, directory_username=""))
        assert browser.get(f"{reverse(f'admin:{view}_changelist')}?{query}").status_code == 200, (view, query)


def test_every_filter_that_a_list_offers_may_be_followed(world, admin):
    """Each as the list reads it; the page, which differs by nothing but the choice that is marked, for one of each."""
    for view in ("audit_auditlog", "workspaces_workspace", "budgets_reservation", "costs_dailycost", "costs_price"):
        address = reverse(f"admin:{view}_changelist")
        page = admin.get(address)
        changelist = page.context["cl"]
        assert changelist.filter_specs
        for spec in changelist.filter_specs:
            offered = [choice["query_string"] for choice in spec.choices(changelist)]
            assert admin.get(f"{address}{offered[-1]}").status_code == 200, (view, offered[-1])
            for query in offered:
                request = copy(page.wsgi_request)
                request.GET = QueryDict(query.removeprefix("?"))
                found = changelist.model_admin.get_changelist_instance(request)
                assert isinstance(found.result_list, list), (view, query)
