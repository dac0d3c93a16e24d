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
    assert console.post(LIST, {"action": "delete_selected", "_selected_action": receipt.entry_id}).status_code == 405
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
    with django_assert_max_num_queries(14) as captured:
        assert console.get(LIST).status_code == 200
    counts = [
        query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"] and "audit_" in query["sql"]
    ]
    assert counts == []


def test_times_name_their_zone_and_the_entry_shows_all_of_them(organization):
    receipt = leave_here(organization)
    console, entry = console_of(organization, Role.AUDITOR), AuditLog.objects.get(id=receipt.entry_id)
    assert f"{entry.timestamp:%Y-%m-%d<br>%H:%M:%S} UTC" in console.get(LIST).content.decode()
    page = console.get(reverse("admin:audit_auditlog_change", args=[receipt.entry_id])).content.decode()
    assert f"{entry.timestamp:%Y-%m-%d %H:%M:%S.%f} UTC" in page
    assert f"{entry.occurred_at:%Y-%m-%d %H:%M:%S.%f} UTC" in page


def test_the_history_of_an_entry_is_that_of_what_it_is_about_or_of_its_request(organization):
    about = leave_here(organization, resource_id="7/a?b")
    of_nothing = leave_here(organization, resource_id="")
    console = console_of(organization, Role.AUDITOR)
    history = [console.get(f"{LIST}{receipt.entry_id}/history/")["Location"] for receipt in (about, of_nothing)]
    request = AuditLog.objects.get(id=of_nothing.entry_id).correlation_id
    assert history == [f"{LIST}?resource_id__exact=7%2Fa%3Fb", f"{LIST}?correlation_id__exact={request}"]
    assert [len(console.get(address).context["cl"].result_list) for address in history] == [1, 1]


def test_whoever_acted_is_shown_with_the_way_and_without_markup_of_their_own(organization):
    leave_one(actor=person(organization_id=organization.id, email="a@<i>b</i>.example"))
    page = console_of(organization, Role.AUDITOR).get(LIST).content.decode()
    assert 'a@<wbr>&lt;i&gt;b&lt;/i&gt;.example<span class="block text-xs">' in page


def test_the_search_knows_a_receipt(organization):
    receipt = leave_here(organization, description="The one looked for")
    leave_here(organization, description="Another")
    page = console_of(organization, Role.ADMIN).get(LIST, {"q": str(receipt)}).content.decode()
    assert "The one looked for" in page
    assert "Another" not in page
    assert not console_of(OrganizationFactory(), Role.ADMIN).get(LIST, {"q": str(receipt)}).context["cl"].result_list


@pytest.mark.parametrize("query", ["timestamp__gte=x", "correlation_id__exact=x"])
def test_an_address_that_cannot_be_meant_is_not_passed_over_in_silence(organization, query):
    page = console_of(organization, Role.ADMIN).get(f"{LIST}?{query}", follow=True)
    assert "This is the list without filters." in page.content.decode()


def test_nobody_is_told_that_an_entry_may_have_been_deleted(organization):
    page = console_of(organization, Role.ADMIN).get(f"{LIST}77/change/", follow=True).content.decode()
    assert "There is no audit entry “77” here." in page
    assert "deleted" not in page


def test_the_list_counts_no_choices_of_its_filters(organization, django_assert_max_num_queries):
    leave_here(organization)
    console = console_of(organization, Role.ADMIN)
    with django_assert_max_num_queries(14):
        page = console.get(LIST, {"_facets": "True"})
    assert "Show counts" not in page.content.decode()


def test_before_and_after_stand_side_by_side(organization):
    changes = {"before": {"state": "AVAILABLE"}, "after": {"state": "STOPPING", "tags": ["<b>"]}}
    receipt = leave_here(organization, changes=changes)
    detail = reverse("admin:audit_auditlog_change", args=[receipt.entry_id])
    page = console_of(organization, Role.ADMIN).get(detail).content.decode()
    assert "<td>&quot;AVAILABLE&quot;</td><td>&quot;STOPPING&quot;</td>" in page
    assert "<td></td><td>[&quot;&lt;b&gt;&quot;]</td>" in page
