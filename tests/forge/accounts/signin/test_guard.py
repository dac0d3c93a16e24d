"""Five failures in a row shut an account for half an hour, whoever guesses and however many guess at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditLog
from forge.accounts.models import SignInGuard
from forge.accounts.services import MayNotManagePeople
from forge.accounts.signin import guarding
from forge.outbox.models import Mail
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.support import browser, is_in, left, sign_in
from tests.world import actor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def admin():
    return MembershipFactory(role="admin", team=None).user


def fail(user, times, client=None):
    for _ in range(times):
        sign_in(client or browser(), user, password="wrong")


def test_the_fifth_failure_locks_the_account_for_the_right_password_too_and_says_so_in_the_log_and_by_mail(admin):
    fail(admin, 4)
    assert left("ACCOUNT_LOCK") == []
    fail(admin, 1)

    assert left("ACCOUNT_LOCK") == [("ACCOUNT_LOCK", "SUCCESS", str(admin.pk))]
    entry = AuditLog.objects.get(action_type="ACCOUNT_LOCK")
    assert (entry.organization_id, entry.actor_kind, entry.source_ip) == (
        admin.organization_id,
        "ANONYMOUS",
        "198.51.100.7",
    )
    assert Mail.objects.get(kind="account.locked").recipient_id == admin.pk
    client = browser()
    assert sign_in(client, admin).status_code == 200
    assert not is_in(client)


def test_a_locked_account_and_one_that_does_not_exist_are_answered_alike(admin):
    fail(admin, 5)
    locked = sign_in(browser(), admin).content.decode()
    assert "lock an account for a while" in locked
    admin.email = "nobody@example.com"
    unknown = sign_in(browser(), admin).content.decode()
    start, end = "errornote", "</form>"
    said = [page.partition(start)[2].partition("login-form")[0] for page in (locked, unknown)]
    assert said[0] == said[1]
    assert end in locked


def test_the_lock_ends_by_itself_and_the_count_begins_anew(admin):
    fail(admin, 5)
    SignInGuard.objects.update(locked_until=timezone.now() - timedelta(seconds=1))
    client = browser()
    sign_in(client, admin)
    assert is_in(client)
    guard = SignInGuard.objects.get()
    assert (guard.failures, guard.locked_until) == (0, None)


def test_a_success_in_between_and_failures_far_apart_do_not_add_up(admin):
    fail(admin, 4)
    sign_in(browser(), admin)
    fail(admin, 4)
    assert left("ACCOUNT_LOCK") == []
    SignInGuard.objects.update(failed_at=timezone.now() - timedelta(minutes=31))
    fail(admin, 1)
    assert left("ACCOUNT_LOCK") == []
    assert SignInGuard.objects.get().failures == 1


def test_guesses_at_once_all_count(admin):
    def guess(number):
        sign_in(browser(), admin, password=f"wrong {number}")
        connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(guess, range(5)))
    assert len(left("ACCOUNT_LOCK")) == 1


def test_a_lock_without_its_entry_is_no_lock(admin, superuser_connection):
    fail(admin, 4)
    superuser_connection.execute("ALTER TABLE audit_auditlane RENAME TO away")
    try:
        assert sign_in(browser(), admin, password="wrong").status_code == 503
    finally:
        superuser_connection.execute("ALTER TABLE away RENAME TO audit_auditlane")
    guard = SignInGuard.objects.get()
    assert (guard.failures, guard.locked_until) == (4, None)


def test_an_admin_unlocks_and_nobody_else(admin):
    fail(admin, 5)
    colleague = MembershipFactory(role="auditor", team=None, user__organization=admin.organization).user
    with pytest.raises(MayNotManagePeople):
        guarding.unlock(actor=actor(colleague), user=admin, now=timezone.now())
    stranger = MembershipFactory(role="admin", team=None).user
    with pytest.raises(MayNotManagePeople):
        guarding.unlock(actor=actor(stranger), user=admin, now=timezone.now())
    guarding.unlock(actor=actor(admin), user=admin, now=timezone.now())
    assert left("ACCOUNT_UNLOCK") == [("ACCOUNT_UNLOCK", "SUCCESS", str(admin.pk))]
    with pytest.raises(guarding.NotLocked):
        guarding.unlock(actor=actor(admin), user=admin, now=timezone.now())
