"""People change their own password in the console, and the log has it or it does not happen."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from audit.models import AuditLog
from forge.accounts.passwords import OthersPassword, change_password
from tests.factories import PASSWORD, MembershipFactory
from tests.world import actor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

PAGE = "/admin/password_change/"
NEW = "quite another horse"


@pytest.fixture
def admin():
    return MembershipFactory(role="admin", team=None).user


@pytest.fixture
def browser(admin):
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    return client


@pytest.fixture
def no_log(superuser_connection):
    superuser_connection.execute("ALTER TABLE audit_auditlane RENAME TO away")
    yield
    superuser_connection.execute("ALTER TABLE away RENAME TO audit_auditlane")


def form(**changes):
    return {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW} | changes


def left():
    return AuditLog.objects.exclude(action_type="AUTH_LOGIN").order_by("timestamp", "id")


def test_the_new_password_opens_and_the_log_says_who_changed_it(admin, browser):
    assert browser.post(PAGE, form())["Location"] == f"{PAGE}done/"
    admin.refresh_from_db()
    assert admin.check_password(NEW)
    [entry] = left()
    assert (entry.action_type, entry.result, entry.resource_id) == ("PASSWORD_CHANGE", "SUCCESS", str(admin.pk))
    assert (entry.user_id, entry.organization_id) == (admin.pk, admin.organization_id)
    assert browser.get(PAGE).status_code == 200, "the session that changed it goes on"


def test_other_sessions_end_with_the_old_password(admin, browser):
    other = Client()
    other.force_login(admin)
    browser.post(PAGE, form())
    assert isinstance(other.get("/admin/").wsgi_request.user, AnonymousUser)


@pytest.mark.parametrize(
    "changes", [{"old_password": "wrong"}, {"new_password2": "x"}, {"new_password1": "short", "new_password2": "short"}]
)
def test_what_is_not_accepted_changes_nothing_and_is_a_failure(admin, browser, changes):
    assert browser.post(PAGE, form(**changes)).status_code == 200
    admin.refresh_from_db()
    assert admin.check_password(PASSWORD)
    assert [(entry.action_type, entry.result) for entry in left()] == [("PASSWORD_CHANGE", "FAILURE")]


def test_without_a_log_the_password_stays(admin, browser, no_log):
    assert browser.post(PAGE, form()).status_code == 503
    admin.refresh_from_db()
    assert admin.check_password(PASSWORD)


def test_nobody_changes_anybody_elses(admin):
    other = MembershipFactory(user__organization=admin.organization).user
    with pytest.raises(OthersPassword):
        change_password(actor=actor(admin), user=other, password=NEW)
