"""What the console says of a refusal is for people: no header, no field of the API, and no riddle at the door."""

import re
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from costs.bills.formats import NotABill
from forge.accounts import services
from forge.accounts.models import Project
from forge.adminkit.problems import advice_of, sentence_of
from forge.api.errors import Conflict, Problem, TooMany, Unavailable
from forge.api.idempotency import IdempotencyInProgress
from tests import world as worlds
from tests.factories import PASSWORD, UserFactory
from tests.forge.accounts.signin.support import browser, sign_in
from workspaces.resolve import TeamNotYours, TeamRequired
from workspaces.services.connecting import OpensSession, UnknownApplication
from workspaces.services.control import OperationInProgress

RTL = "r-\u202e001"


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


def kinds(kind=Problem):
    """Every class of problem that there is."""
    return {kind} | {deeper for one in kind.__subclasses__() for deeper in kinds(one)}


def test_a_figure_that_is_part_of_another_one_is_told_and_what_is_no_figure_is_not():
    figures = {"limit": "100.00", "count": 5, "used": "1100.00", "machines": 15, "is_ok": True, "at": None}
    said = sentence_of(Conflict("1100.00 USD, 15 machines", extra=figures, suggested_action=""))
    assert said == "1100.00 USD, 15 machines. Limit 100.00, count 5."


def test_no_advice_speaks_to_programs():
    assert len(kinds()) > 100
    for kind in kinds():
        assert not re.search(r"`|Retry-After|If-Match|\b(?:GET|POST)\b|^Send ", advice_of(kind.__new__(kind))), kind


NAMES = re.compile(r"`|\bnamed in\b|\bresource ids?\b|\b[a-z]+_[a-z_]+\b|\b[A-Z][a-z]+-[A-Z][a-z]+\b|manage\.py")


def test_no_advice_names_a_field_or_a_header():
    """A person sees neither: whoever is refused in the console is told of boxes and pages."""
    told = {kind: advice_of(kind.__new__(kind)) for kind in kinds() - {NotABill}}  # whose columns do have such names
    assert {kind.__name__: said for kind, said in told.items() if NAMES.search(said)} == {}
    in_code = {kind for kind in kinds() if "`" in kind.suggested_action and not kind.advice}
    assert {kind.__name__ for kind in in_code} <= {"InvalidToken", "TokenExpired", "InvalidCredentials"}


def test_a_refusal_by_the_state_of_things_says_what_to_do_in_the_console():
    """Its advice names no member of an answer, which the console does not show, and is never left out."""
    found = kinds(Conflict) - {IdempotencyInProgress, OpensSession, UnknownApplication}  # the API's alone
    assert len(found) > 40
    for kind in found:
        said = advice_of(kind.__new__(kind))
        assert said, kind
        assert not re.search(r"\bnamed in\b|\bresource\b|\b[a-z]+_[a-z_]+\b", said), (kind, said)


def test_the_api_is_told_as_before_and_what_was_said_of_the_case_wins():
    busy = OperationInProgress("Busy.")
    assert busy.document()["suggested_action"] == "Wait for the operation named in `operation`, or cancel it."
    assert sentence_of(busy) == "Busy. Wait until that has ended, or cancel it under Operations."
    assert advice_of(OperationInProgress(suggested_action="Ask your administrator.")) == "Ask your administrator."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (3600, "60 minutes"), (5401, "2 hours")],
)
def test_a_wait_is_said_in_words(seconds, said):
    assert sentence_of(TooMany("Slowly", retry_after=seconds)) == f"Slowly. Try again in {said}."


def test_what_is_wrong_with_a_field_is_said_without_the_api():
    assert advice_of(TeamNotYours()) == "Choose one of the person's own teams."
    assert advice_of(TeamRequired()) == "Choose one of the person's teams."
    assert advice_of(Unavailable()) == "Try again in 5 seconds."


def test_what_failed_on_our_side_is_not_called_safe_to_repeat():
    failed = Problem().document()
    assert (failed["retryable"], "Try again" in failed["suggested_action"]) == (False, False)


def test_the_page_of_a_refusal_says_a_thing_once_and_what_to_do():
    page = render_to_string("account/refused.html", {"problem": TooMany(retry_after=120)})
    assert page.count("Too many requests") == 2  # the title and the heading
    assert "Try again in 2 minutes." in page


@pytest.mark.django_db
class TestTheDoor:
    def test_who_has_the_right_password_hears_that_the_console_is_for_others(self, world):
        page = sign_in(browser(), world.engineer).content.decode()
        assert "your role does not open the console" in page
        assert '<a href="/account/login/"' in page
        assert "do not open a live account" not in page

    def test_a_stranger_hears_the_same_of_everybody(self, world):
        nobody = UserFactory.build(email="nobody@example.com")
        gone = UserFactory(organization=world.organization, is_active=False)
        tries = ((world.engineer, "wrong"), (world.admin, "wrong"), (nobody, "wrong"), (gone, PASSWORD))
        for user, password in tries:
            page = sign_in(browser(), user, password=password).content.decode()
            assert "do not open a live account" in page
            assert "your role does not open" not in page

    def test_who_is_signed_in_already_is_told_whose_role_it_is(self, world):
        client = browser()
        client.force_login(world.engineer)
        page = client.get("/admin/", follow=True).content.decode()
        assert f"You are signed in as {world.engineer.email}; that role does not open the console." in page
        assert '<a href="/account/"' in page
        assert "You are signed in" not in browser().get("/admin/", follow=True).content.decode()


@pytest.mark.django_db
class TestLists:
    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("/admin/accounts/project/", "This list is searched by a whole id, name, slug, cost center."),
            ("/admin/workspaces/workspace/", "This list is searched by: "),
        ],
    )
    def test_an_empty_search_says_what_the_list_searches(self, world, address, said):
        client = browser()
        client.force_login(world.admin)
        page = client.get(f"{address}?q=no-such-thing").content.decode()
        assert said in page
        assert "Take a filter away" not in page


@pytest.mark.django_db
class TestTexts:
    @pytest.mark.parametrize("wanted", [{"cost_center": RTL}, {"name": "a\u2066b"}, {"cost_center": "r\x07"}])
    def test_a_text_of_a_project_is_read_as_it_stands(self, world, wanted):
        actor = worlds.actor(world.admin)
        with pytest.raises(services.TextRefused):
            services.change_project(actor=actor, project_id=world.project.pk, wanted=wanted, now=timezone.now())
        made = {"name": "n", "cost_center": "c"} | wanted
        with pytest.raises(services.TextRefused):
            services.create_project(actor=actor, organization=world.organization, slug="other", **made)
        assert not Project.objects.filter(slug="other").exists()

    def test_the_form_says_which_box(self, world):
        client = browser()
        client.force_login(world.admin)
        form = {"name": "n", "cost_center": RTL, "owner": ""}
        page = client.post(f"/admin/accounts/project/{world.project.pk}/do/change/", form).content.decode()
        assert "cost center: Characters that hide or turn others are not taken." in page
