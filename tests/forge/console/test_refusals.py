"""What the console refuses is in the log as denied, whatever page the person is shown for it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditLog
from tests import world as worlds
from tests.factories import WorkSpaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def machine(world):
    return WorkSpaceFactory(organization=world.organization, team=world.team, owner=world.engineer)


def browser(user):
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def left():
    """(action type, result, code) of every entry since the sign-ins."""
    rows = AuditLog.objects.exclude(action_type="AUTH_LOGIN").order_by("timestamp", "id")
    return [(row.action_type, row.result, row.context.get("code")) for row in rows]


def press(user, row, name="stop"):
    return browser(user).post(f"/admin/workspaces/workspace/{row.pk}/do/{name}/")


DENIED = ("ACCESS_DENIED", "DENIED", "permission_denied")
STOP_DENIED = ("WORKSPACE_STOP", "DENIED", "permission_denied")


def test_a_button_that_the_role_may_not_press_is_denied(world, machine):
    assert press(world.auditor, machine).status_code == 302
    assert left() == [STOP_DENIED]


def test_a_button_on_another_organizations_row_is_denied_and_on_no_row_a_failure(world, machine):
    foreign = worlds.build()
    assert press(foreign.admin, machine).status_code == 302
    assert left() == [("WORKSPACE_STOP", "DENIED", "not_found")]
    machine.pk = worlds.uuid7()
    press(foreign.admin, machine)
    assert left()[1:] == [("WORKSPACE_STOP", "FAILURE", "not_found")]
    machine.pk = "no-id-at-all"
    press(foreign.admin, machine)
    assert left()[2:] == [("WORKSPACE_STOP", "FAILURE", "not_found")]


def test_a_button_that_there_is_not_is_a_failure(world, machine):
    press(world.admin, machine, "explode")
    assert left() == [("OTHER", "FAILURE", "not_found")]


def test_looking_at_another_organizations_row_is_denied_and_at_no_row_nothing(world, machine):
    console = browser(worlds.build().admin)
    for end in ("change/", "history/", "do/stop/"):
        console.get(f"/admin/workspaces/workspace/{machine.pk}/{end}")
    console.get(f"/admin/workspaces/workspace/{worlds.uuid7()}/change/")
    assert ("ACCESS_DENIED", "DENIED", "not_found") in left()
    assert {result for _, result, _ in left()} == {"DENIED"}


def test_an_engineer_is_denied_the_console_by_get_and_post(world, machine):
    assert browser(world.engineer).get("/admin/").status_code == 302
    assert press(world.engineer, machine).status_code == 302
    assert left() == [DENIED, STOP_DENIED]
    assert set(AuditLog.objects.filter(result="DENIED").values_list("user_id", flat=True)) == {world.engineer.pk}


def test_nobodys_press_is_denied_and_counted_like_a_401(machine):
    for _ in range(3):
        assert press(None, machine)["Location"].startswith("/admin/login/")
    assert left() == [("AUTH_FAILED", "DENIED", "not_authenticated")]


def test_looking_for_the_way_in_leaves_nothing():
    assert browser(None).get("/admin/").status_code == 302
    assert left() == []


def test_what_is_done_is_still_a_success(world, machine):
    assert press(world.admin, machine).status_code == 302
    assert [result for _, result, _ in left()] == ["SUCCESS"]
