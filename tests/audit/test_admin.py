"""The log in the console: by role, searchable, and read-only in every way."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from audit.models import AuditLog
from forge.accounts.models import Membership
from tests.audit.support import leave, leave_one, person
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.audit.urls")]

LIST = "/admin/audit/auditlog/"
Role = Membership.Role


@pytest.fixture(autouse=True)
def middleware(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def organization():
    return OrganizationFactory()


def console_of(organization, role):
    client = Client()
    user = UserFactory(organization=organization)
    if role is not None:
        MembershipFactory(user=user, role=role, **({} if role in Membership.IN_TEAM else {"team": None}))
    client.force_login(user)
    return client


def leave_here(organization, **fields):
    return leave_one(actor=person(organization_id=organization.id), **fields)


def test_an_auditor_sees_the_organizations_entries_and_their_details(organization):
    receipt = leave_here(organization, description="Stopped a machine", context={"note": "<b>x</b>"})
    leave_one(description="Elsewhere")
    console = console_of(organization, Role.AUDITOR)

    page = console.get(LIST).content.decode()
    assert "Stopped a machine" in page
    assert "Elsewhere" not in page

    page = console.get(reverse("admin:audit_auditlog_change", args=[receipt.entry_id])).content.decode()
    assert str(receipt) in page
    assert "198.51.100.7" in page
    assert "<b>x</b>" not in page


def test_operators_see_everything(organization):
    leave_here(organization, description="Stopped a machine")
    assert "Stopped a machine" in console_of(None, None).get(LIST).content.decode()


@pytest.mark.parametrize("role", [Role.FINANCE, Role.ENGINEER])
def test_others_do_not_get_in(organization, role):
    assert console_of(organization, role).get(LIST).status_code in (302, 403)


def test_nothing_can_be_changed(organization):
    receipt = leave_here(organization)
    console = console_of(organization, Role.ADMIN)
    detail = reverse("admin:audit_auditlog_change", args=[receipt.entry_id])
    for address in (f"{LIST}add/", detail.replace("change", "delete")):
        assert console.get(address).status_code == 403
        assert console.post(address).status_code == 403
    assert console.post(detail, {"result": "DENIED"}).status_code == 403
    assert console.post(LIST, {"action": "delete_selected", "_selected_action": receipt.entry_id}).status_code in (
        200,
        302,
        403,
    )
    assert AuditLog.objects.get(id=receipt.entry_id).result == "SUCCESS"
    model_admin = admin.site.get_model_admin(AuditLog)
    assert model_admin.actions == ()


@pytest.mark.parametrize("term", ["resource-7", "198.51.100.7", "user", "correlation", "nothing-of-the-kind"])
def test_search_finds_by_whole_ids_and_addresses(organization, term):
    receipt = leave_here(organization, resource_id="resource-7", description="The one looked for")
    row = AuditLog.objects.get(id=receipt.entry_id)
    text = {"user": row.user_id, "correlation": row.correlation_id}.get(term, term)
    page = console_of(organization, Role.ADMIN).get(LIST, {"q": text}).content.decode()
    assert ("The one looked for" in page) == (term != "nothing-of-the-kind")


def test_the_list_filters_without_asking_for_distinct_values(organization):
    leave_here(organization, result="DENIED", description="A denial")
    console = console_of(organization, Role.ADMIN)
    assert "A denial" in console.get(LIST, {"result__exact": "DENIED", "action_type": "OTHER"}).content.decode()
    assert "A denial" not in console.get(LIST, {"result__exact": "FAILURE"}).content.decode()
    assert "A denial" in console.get(LIST, {"resource_id__exact": "0"}).content.decode()


def test_a_long_list_counts_nothing_and_asks_a_fixed_number_of_questions(organization, django_assert_max_num_queries):
    leave(120, actor=person(organization_id=organization.id))
    console = console_of(organization, Role.ADMIN)
    with django_assert_max_num_queries(12) as captured:
        assert console.get(LIST).status_code == 200
    counts = [
        query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"] and "audit_" in query["sql"]
    ]
    assert counts == []
