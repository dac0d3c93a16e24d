"""The real console: sign-in, its pages for each role, and that none of them needs another host."""

import re

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from forge.adminkit.admin import ForgeModelAdmin
from forge.console.hints import HINTS
from forge.console.unfold import SIDEBAR
from forge.db.models import JobRun
from tests.factories import PASSWORD, MembershipFactory, ProjectFactory, UserFactory

pytestmark = pytest.mark.django_db
ROLES = ["admin", "auditor", "finance", "team_lead", None]


def person(role, **fields):
    if role is None:
        return UserFactory(organization=None, **fields)
    wide = {"team": None} if role in ("admin", "auditor", "finance") else {}
    return MembershipFactory(role=role, **wide, **{f"user__{name}": value for name, value in fields.items()}).user


def signed_in(role):
    browser = Client()
    browser.force_login(person(role))
    return browser


@pytest.mark.parametrize("role", ["admin", "team_lead"])
def test_those_who_oversee_others_sign_in_by_email_whatever_its_case(role):
    person(role, email="Ada@Example.com")
    browser = Client()
    answer = browser.post("/admin/login/?next=/admin/", {"username": "ada@example.COM", "password": PASSWORD})
    assert answer.status_code == 302, answer.context["form"].errors
    assert browser.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("role", "password"), [("engineer", PASSWORD), ("admin", "wrong"), ("admin", ""), ("admin", "\x00")]
)
def test_nobody_else_does(role, password):
    person(role, email="ada@example.com")
    answer = Client().post("/admin/login/", {"username": "ada@example.com", "password": password})
    assert answer.status_code == 200
    assert answer.context["form"].errors


@pytest.mark.parametrize("role", ROLES)
def test_every_list_that_the_role_may_open_opens_empty_and_works_offline(role, share):
    """In the share of `make test` each role searches each list for one of the words, in turn."""
    browser = signed_in(role)
    pages = [browser.get("/admin/")]
    for turn, (model, model_admin) in enumerate(admin.site._registry.items(), ROLES.index(role)):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = browser.get(address)
        assert answer.status_code in (200, 403), (address, answer.status_code)
        pages += [answer] if answer.status_code == 200 else []
        if model_admin.search_fields and answer.status_code == 200:
            for words in share(("x", "0190f5a2-0000-7000-8000-000000000000", "1"), 3, turn):
                assert browser.get(address, {"q": words}).status_code == 200, (address, words)
    for page in pages:
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.content.decode())


def test_the_sidebar_shows_what_the_role_may_open():
    def links(role):
        html = signed_in(role).get("/admin/").content.decode()
        sidebar = html[html.index("nav-sidebar-apps") :]
        return set(re.findall(r'href="(/admin/[a-z/]*)"', sidebar))

    assert {"/admin/accounts/project/", "/admin/system/", "/admin/db/jobrun/"} <= links("admin")
    assert "/admin/db/jobswitch/" in links(None)
    lead = links("team_lead")
    assert "/admin/workspaces/workspace/" in lead
    assert not {"/admin/db/jobrun/", "/admin/db/jobswitch/", "/admin/system/"} & lead


def test_every_admin_class_stands_on_the_common_base():
    assert [
        model._meta.label
        for model, model_admin in admin.site._registry.items()
        if not isinstance(model_admin, ForgeModelAdmin)
    ] == []


@pytest.mark.parametrize(("role", "told"), [("admin", False), ("auditor", False), (None, True)])
def test_what_a_job_did_for_all_organizations_is_told_to_operators_alone(role, told):
    now = timezone.now()
    job = next(iter(settings.CELERY_BEAT_SCHEDULE))
    run = JobRun.objects.create(
        job=job,
        slot=now,
        started_at=now,
        outcome="FAILED",
        error="ValueError: their-secret broke",
        figures={"machines": 4711},
    )
    browser = signed_in(role)
    for address in ("/admin/system/", f"/admin/db/jobrun/{run.pk}/change/", "/admin/db/jobrun/"):
        page = browser.get(address)
        assert page.status_code == 200
        shown = page.content.decode()
        assert job in shown
        if address != "/admin/db/jobrun/":
            where = shown.find("4711")
            assert ("their-secret" in shown, "4711" in shown) == (told, told), (
                address,
                shown[where - 200 : where + 50],
            )


def test_every_list_of_the_sidebar_says_when_empty_what_would_stand_there():
    labels = {target for _, entries in SIDEBAR for target, _, _ in entries if "." in target}
    assert labels == HINTS.keys()
    browser = signed_in(None)
    assert HINTS["costs.advice"] in browser.get("/admin/costs/advice/").content.decode()
    found = browser.get("/admin/costs/advice/", {"status__exact": "OPEN"}).content.decode()
    assert "Take a filter away" in found
    assert HINTS["costs.advice"] not in found


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize(
    ("role", "address", "page"),
    [
        ("admin", "/", "/admin/"),
        ("engineer", "/", "/account/"),
        ("admin", "/admin", "/admin/"),
        ("admin", "/account?a=b", "/account/?a=b"),
    ],
)
def test_a_bare_address_leads_to_what_the_person_may_open(method, role, address, page):
    answer = getattr(signed_in(role), method)(address)
    assert (answer.status_code, answer.headers.get("Location")) == (302, page)


@pytest.mark.parametrize(
    ("address", "page"), [("/", "/account/login/"), ("/admin", "/admin/login/"), ("/account", "/account/login/")]
)
def test_a_bare_address_leads_to_the_sign_in_of_whoever_is_not_signed_in(address, page):
    answer = Client().get(address, follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain[-1][0].partition("?")[0] == page
    assert Client().post(address).status_code == 405


@pytest.mark.parametrize(("role", "offered"), [("admin", True), ("auditor", True), ("finance", False)])
def test_the_history_of_a_row_is_offered_to_those_who_may_read_the_log(role, offered):
    user = person(role)
    project = ProjectFactory(organization=user.organization)
    browser = Client()
    browser.force_login(user)
    page = browser.get(f"/admin/accounts/project/{project.pk}/change/")
    assert page.status_code == 200
    assert (f"/admin/accounts/project/{project.pk}/history/" in page.content.decode()) == offered
