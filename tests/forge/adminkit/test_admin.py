import re

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from forge.accounts.models import Project
from forge.adminkit.admin import ForgeModelAdmin
from tests.factories import MembershipFactory, OrganizationFactory, ProjectFactory, UserFactory
from tests.forge.adminkit.urls import site

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.forge.adminkit.urls")]
LIST = "/admin/accounts/project/"


@pytest.fixture
def organization():
    return OrganizationFactory(slug="ours")


@pytest.fixture
def sign_in(organization):
    """Signs a person of the organization with that role in; None is an operator of the installation."""

    def make(role, **client):
        if role is None:
            user = UserFactory(organization=None)
        else:
            wide = {"team": None} if role in ("admin", "auditor", "finance") else {}
            user = MembershipFactory(user__organization=organization, role=role, **wide).user
        browser = Client(**client)
        browser.force_login(user)
        return browser

    return make


@pytest.fixture
def project(organization):
    return ProjectFactory(organization=organization, slug="apollo", name="Apollo", cost_center="r-100")


def page(project, end="change/"):
    return f"{LIST}{project.pk}/{end}"


def said(answer):
    """The messages that the page after a redirect shows."""
    return [str(message) for message in answer.context["messages"]]


def test_only_the_roles_that_oversee_others_come_in(sign_in):
    assert Client().get(LIST).url.startswith("/admin/login/")
    assert sign_in("engineer").get(LIST).url.startswith("/admin/login/")
    assert sign_in("auditor").get(LIST).status_code == 200


def test_a_class_is_closed_to_roles_that_it_does_not_name(sign_in, project):
    finance = sign_in("finance")
    assert finance.get(LIST).status_code == 403
    assert finance.get(page(project)).status_code == 403
    assert finance.get(page(project, "do/rename/")).status_code == 403
    assert finance.post(page(project, "do/rename/"), {"name": "Mine"}).status_code == 403


def test_nobody_sees_a_row_of_another_organization(sign_in, project):
    theirs = ProjectFactory(name="Their secret project", owner__full_name="Their Person", owner=UserFactory())
    admin, operator = sign_in("admin"), sign_in(None)
    listed = admin.get(LIST).content.decode()
    assert "Apollo" in listed
    assert "Their secret project" not in listed
    assert theirs.owner.full_name not in listed
    for end in ("change/", "do/rename/", "history/", "delete/"):
        assert admin.get(page(theirs, end)).status_code in (302, 403), end
    assert admin.post(page(theirs, "do/rename/"), {"name": "Mine"}).status_code == 302
    assert admin.get(f"{LIST}?owner__id__exact={theirs.owner.pk}").status_code == 200
    assert not Project.objects.filter(name="Mine").exists()
    assert "Their secret project" in operator.get(LIST).content.decode()


def test_filters_and_form_fields_offer_only_what_the_person_may_see(sign_in, project, organization):
    ours, theirs = UserFactory(organization=organization, full_name="Our Person"), UserFactory(full_name="Stranger")
    admin = sign_in("admin")
    for address in (LIST, page(project)):
        html = admin.get(address).content.decode()
        assert ours.full_name in html
        assert theirs.full_name not in html


def test_a_filter_that_would_list_values_of_every_organization_is_refused(rf, sign_in):
    class Leaking(ForgeModelAdmin):
        list_filter = ("owner__location",)

    with pytest.raises(ImproperlyConfigured, match="every organization's values"):
        Leaking(Project, site).get_list_filter(rf.get("/"))


def test_looking_is_not_changing(sign_in, project):
    auditor = sign_in("auditor")
    html = auditor.get(page(project)).content.decode()
    assert "Apollo" in html
    assert 'name="_save"' not in html
    assert auditor.post(page(project), {"name": "Changed"}).status_code == 403
    assert auditor.get(f"{LIST}add/").status_code == 403
    assert sign_in("admin").post(page(project, "delete/"), {"post": "yes"}).status_code == 403
    project.refresh_from_db()
    assert project.name == "Apollo"


def test_no_bulk_action_passes_the_services(sign_in, project):
    admin = sign_in("admin")
    assert "delete_selected" not in admin.get(LIST).content.decode()
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [str(project.pk)], "post": "yes"})
    assert Project.objects.filter(pk=project.pk).exists()


@pytest.mark.parametrize("words", ["Apollo", "not-a-uuid", "' OR 1=1", "0" * 500])
def test_any_words_may_be_searched_also_where_ids_are(sign_in, project, words):
    answer = sign_in("admin").get(LIST, {"q": words})
    assert answer.status_code == 200
    assert (page(project) in answer.content.decode()) == (words == "Apollo")


def test_a_whole_id_is_found(sign_in, project):
    assert "Apollo" in sign_in("admin").get(LIST, {"q": str(project.pk)}).content.decode()


def test_a_nul_byte_in_a_search_is_refused(sign_in):
    assert sign_in("admin").get(f"{LIST}?q=%00").status_code == 400


# -- buttons -----------------------------------------------------------------------------------------------------
def test_buttons_stand_only_where_they_are_legal(sign_in, project):
    admin = sign_in("admin")
    assert page(project, "do/close/") in admin.get(page(project)).content.decode()
    assert page(project, "do/close/") not in sign_in("auditor").get(page(project)).content.decode()
    Project.objects.update(cost_center="CLOSED")
    assert page(project, "do/close/") not in admin.get(page(project)).content.decode()


def test_a_button_first_says_what_it_will_do_and_does_nothing(sign_in, project):
    answer = sign_in("admin").get(page(project, "do/close/"))
    assert "Apollo takes no more costs." in answer.content.decode()
    assert "Write “apollo” to confirm" in answer.content.decode()
    project.refresh_from_db()
    assert project.cost_center == "r-100"


def test_a_button_is_pressed_by_post_with_the_typed_words(sign_in, project):
    admin = sign_in("admin")
    for words in ("", "Apollo", "apollo2"):
        answer = admin.post(page(project, "do/close/"), {"typed_confirmation": words})
        assert answer.status_code == 200
    project.refresh_from_db()
    assert project.cost_center == "r-100"

    answer = admin.post(page(project, "do/close/"), {"typed_confirmation": "apollo"}, follow=True)
    assert answer.redirect_chain == [(page(project), 302)]
    assert said(answer) == ["Close: Apollo"]
    project.refresh_from_db()
    assert project.cost_center == "CLOSED"


def test_a_button_hands_the_fields_of_its_form_to_the_service(sign_in, project):
    auditor = sign_in("auditor")
    assert auditor.post(page(project, "do/rename/"), {"name": "x" * 60}).status_code == 200
    assert said(auditor.post(page(project, "do/rename/"), {"name": "Gemini"}, follow=True)) == ["Now called Gemini."]


def test_a_refusal_stands_on_the_form_which_keeps_what_was_typed(sign_in, project):
    answer = sign_in("admin").post(page(project, "do/rename/"), {"name": "taken"})
    assert (answer.status_code, answer.problem.code) == (200, "conflict")
    [error] = answer.context["form"].non_field_errors()
    assert error == "The name is taken. See how it stands now, and decide anew."
    html = answer.content.decode()
    assert error in html
    assert 'value="taken"' in html
    assert "Look at it again" not in html


@pytest.mark.parametrize("name", ["close", "nothing"])
def test_a_button_that_is_not_legal_now_only_says_so(sign_in, project, name):
    Project.objects.update(cost_center="CLOSED")
    answer = sign_in("admin").post(page(project, f"do/{name}/"), {"typed_confirmation": "apollo"}, follow=True)
    assert said(answer) == [f"“{name}” is not possible for Apollo now."]


def test_a_button_wants_the_csrf_token(sign_in, project):
    assert (
        sign_in("admin", enforce_csrf_checks=True).post(page(project, "do/rename/"), {"name": "x"}).status_code == 403
    )
    project.refresh_from_db()
    assert project.name == "Apollo"


# -- forms -------------------------------------------------------------------------------------------------------
def test_a_form_is_saved_by_the_service_alone(sign_in, project):
    admin = sign_in("admin")
    answer = admin.post(page(project), {"name": "Gemini", "cost_center": "r-1", "owner": ""})
    assert answer.status_code == 302
    assert admin.post(f"{LIST}add/", {"name": "New", "cost_center": "", "owner": ""}).status_code == 302
    assert sorted(Project.objects.values_list("name", "slug")) == [("Gemini", "apollo"), ("New", "made-here")]


def test_a_refused_form_comes_back_with_the_reason_and_nothing_is_written(sign_in, project):
    answer = sign_in("admin").post(page(project), {"name": "Gemini", "cost_center": "full", "owner": ""})
    assert answer.status_code == 200
    assert "No room. Limit 3. Choose another." in answer.content.decode()
    assert "Gemini" in answer.content.decode()
    assert answer.problem.code == "cost_center_full"
    project.refresh_from_db()
    assert (project.name, project.cost_center) == ("Apollo", "r-100")


def test_a_form_does_not_take_a_row_of_another_organization(sign_in, project):
    stranger = UserFactory()
    answer = sign_in("admin").post(page(project), {"name": "Apollo", "cost_center": "", "owner": str(stranger.pk)})
    assert answer.status_code == 200
    project.refresh_from_db()
    assert project.owner is None


# -- the site ----------------------------------------------------------------------------------------------------
def test_the_system_page_shows_checks_and_jobs_to_those_who_run_things(sign_in):
    html = sign_in("admin").get("/admin/system/").content.decode()
    for words in ("database", "partitions", "meter_costs", "not yet"):
        assert words in html
    assert sign_in("finance").get("/admin/system/").status_code == 403
    assert sign_in("admin").post("/admin/system/").status_code == 405


@pytest.mark.parametrize("query", ["s=proj", "s=proj&page=x", "s=proj&page=999", "s=", "s=proj&page=٣"])
def test_the_sidebars_search_survives_any_words(sign_in, query):
    assert sign_in("admin").get(f"/admin/search/?{query}").status_code in (200, 404)


def test_the_sign_in_page_asks_nothing_of_other_hosts():
    html = Client().get("/admin/login/").content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_the_history_of_a_row_is_the_audit_log(sign_in, project):
    answer = sign_in("admin").get(page(project, "history/"))
    assert answer.status_code in (200, 302)
