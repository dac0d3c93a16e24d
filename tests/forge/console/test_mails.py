"""Those who oversee an organization see who was told what; admins have what was given up tried again."""

import pytest

from audit.models import AuditLog
from forge.console import mails
from forge.outbox import sending
from forge.outbox.models import Mail
from forge.outbox.services import MailNotGivenUp
from tests import factories
from tests import world as worlds
from tests.audit.walk import rows
from tests.forge.outbox.support import NOW
from tests.world import actor as acting

pytestmark = pytest.mark.django_db
LIST = "/admin/outbox/mail/"


@pytest.fixture
def world():
    return worlds.build()


@pytest.fixture
def console(client, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("whitenoise")]

    def of(user):
        client.force_login(user)
        return client

    return of


def test_the_list_says_who_what_and_what_became_of_it(world, console):
    rows.mail_given_up(world)
    for _ in range(3):
        rows.mail(world)
    admin = console(world.admin)
    shown = admin.get(LIST).content.decode()
    assert world.lead.email in shown
    assert "budget.mark" in shown
    assert "Given up" in shown


def test_the_list_is_filtered_and_searched_by_a_whole_id(world, console):
    given_up, due = rows.mail_given_up(world), rows.mail(world)
    client = console(world.auditor)

    def ids(**parameters):
        return {row.id for row in client.get(LIST, parameters).context["cl"].result_list}

    assert ids(state__exact="GIVEN_UP") == {given_up.id}
    assert ids(kind="budget.mark") == {given_up.id, due.id}
    assert ids(q=str(due.target_id)) == {due.id}
    assert ids(q="nonsense") == set()


def test_another_organizations_mail_is_not_there(world, console):
    theirs = rows.mail_given_up(worlds.build())
    client = console(world.admin)
    assert str(theirs.id) not in client.get(LIST).content.decode()
    assert client.post(f"{LIST}{theirs.id}/do/retry/").status_code == 302
    theirs.refresh_from_db()
    assert theirs.state == Mail.State.GIVEN_UP


@pytest.mark.parametrize("role", ["lead", "finance"])
def test_who_oversees_no_organization_sees_no_mail(world, console, role):
    assert console(getattr(world, role)).get(LIST).status_code == 403


def test_a_mail_that_was_given_up_is_tried_again_and_the_log_says_who_asked(world, console):
    mail = rows.mail_given_up(world)
    client = console(world.admin)
    assert client.post(f"{LIST}{mail.id}/do/retry/").status_code == 302
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == (Mail.State.DUE, 0)
    entry = AuditLog.objects.get(action_type="MAIL_RETRY")
    assert (entry.user_id, entry.resource_id, entry.result) == (world.admin.id, str(mail.id), "SUCCESS")
    assert world.lead.email not in str(entry.context) + str(entry.changes) + entry.action_description


@pytest.mark.django_db(transaction=True)
def test_a_mail_put_back_is_sent_with_the_next_run(world, mailoutbox):
    budget = rows.budget(world)
    facts = {
        "fraction": "0.80", "scope": "TEAM", "amount": "10", "spent": "8", "currency": "USD", "period_start": "a",
        "period_end": "b", "on_limit": "BLOCK_LAUNCHES", "fired_at": "2026-03-01T00:00:00Z",
    }  # fmt: skip
    mail = rows.mail_given_up(world)
    Mail.objects.filter(pk=mail.pk).update(target_id=budget.id, facts=facts)
    mails.retry(actor=acting(world.admin), mail=mail, now=NOW)
    assert sending.send(now=NOW)["sent"] == 1
    assert mailoutbox[0].to == [world.lead.email]


def test_operators_of_the_installation_may_too(world):
    operator = factories.UserFactory(organization=None, directory_username="")
    mails.retry(actor=acting(operator), mail=rows.mail_given_up(world), now=NOW)
    assert AuditLog.objects.get(action_type="MAIL_RETRY").organization_id == world.organization.id


@pytest.mark.parametrize("role", ["auditor", "lead", "engineer"])
def test_nobody_else_may(world, role):
    mail = rows.mail_given_up(world)
    with pytest.raises(mails.MayNotRetryMail):
        mails.retry(actor=acting(getattr(world, role)), mail=mail, now=NOW)
    mail.refresh_from_db()
    assert mail.state == Mail.State.GIVEN_UP


def test_what_was_not_given_up_is_refused_with_its_state(world):
    with pytest.raises(MailNotGivenUp) as caught:
        mails.retry(actor=acting(world.admin), mail=rows.mail(world), now=NOW)
    assert caught.value.extra == {"state": "DUE"}


def test_without_its_audit_entry_nothing_is_put_back(world, monkeypatch):
    mail = rows.mail_given_up(world)

    def fail(**kwargs):
        raise ConnectionError

    monkeypatch.setattr(mails, "record", fail)
    with pytest.raises(ConnectionError):
        mails.retry(actor=acting(world.admin), mail=mail, now=NOW)
    mail.refresh_from_db()
    assert mail.state == Mail.State.GIVEN_UP
