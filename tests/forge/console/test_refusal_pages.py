"""What a browser is shown instead of a page: in words, with a way on, and without a file that is not there."""

import pytest
from django.test import Client, RequestFactory
from django.views import defaults

from tests.factories import PASSWORD
from tests.forge.console.test_sites import person, signed_in

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("address", "status", "heading"),
    [("/admin/audit/legalhold/add/", 403, "You may not do this"), ("/admin/nowhere/", 404, "There is nothing here")],
)
def test_a_refusal_is_a_page_with_an_icon_and_a_way_on(address, status, heading):
    answer = signed_in("auditor").get(address)
    page = answer.content.decode()
    assert (answer.status_code, heading in page) == (status, True)
    assert 'rel="icon"' in page
    assert 'href="/admin/"' in page


def test_the_page_of_an_error_needs_no_file_and_no_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        page = defaults.server_error(RequestFactory().get("/")).content.decode()
    assert "Something went wrong" in page
    assert "/static/" not in page


def test_a_form_without_its_token_is_refused_in_words():
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/admin/login/", {"username": "a@example.com", "password": PASSWORD})
    assert (answer.status_code, "This form is out of date" in answer.content.decode()) == (403, True)


def test_the_sign_in_page_leads_to_the_overview_where_nobody_said_where_to():
    person("auditor", email="ada@example.com")
    browser = Client()
    answer = browser.post("/admin/login/", {"username": "ada@example.com", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
