"""People are warned before tokens and credentials end: the right ones, once, and not of what has changed since."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor
from forge.accounts import expiring, services
from forge.accounts.mailing import reader
from forge.accounts.models import ApiToken, User
from forge.accounts.token_services import issue_token, revoke_token
from forge.outbox.letters import NothingToTell, letter_of
from forge.outbox.models import Mail
from tests import world as worlds

pytestmark = pytest.mark.django_db
COMMAND = Actor.command("t")


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=300))


def token(user, *, days):
    now = timezone.now()
    return issue_token(actor=COMMAND, user=user, name="ci", now=now, expires_at=now + timedelta(days=days))[0]


def told():
    return sorted((mail.kind, mail.recipient_id) for mail in Mail.objects.all())


def test_the_owner_of_a_token_is_told_once_a_week_before_it_ends(world):
    token(world.engineer, days=6)
    token(world.engineer, days=9)
    revoke_token(actor=COMMAND, token=token(world.engineer, days=3), now=timezone.now())
    for _ in range(2):
        assert expiring.warn(now=timezone.now()) == {"tokens": 1, "people": 0}
    assert told() == [("account.token_ends", world.engineer.id)]
    letter = letter_of(Mail.objects.get(), reader(world.engineer.id))
    assert "ci" in letter.subject


def test_a_token_that_was_revoked_since_is_not_told_of(world):
    one = token(world.engineer, days=2)
    expiring.warn(now=timezone.now())
    ApiToken.objects.update(revoked_at=timezone.now())
    with pytest.raises(NothingToTell):
        letter_of(Mail.objects.get(target_id=one.id), reader(world.engineer.id))


def test_of_a_services_token_the_admins_are_told(world):
    service = services.create_service_account(
        actor=COMMAND, organization=world.organization, name="ci", role="auditor", now=timezone.now()
    ).user
    token(service, days=2)
    expiring.warn(now=timezone.now())
    assert told() == [("account.token_ends", world.admin.id)]


def test_a_contractor_and_the_leads_are_told_before_the_credentials_end_and_again_for_another_end(world):
    now = timezone.now()
    User.objects.filter(pk=world.contractor.pk).update(credentials_expire_at=now + timedelta(days=3))
    expiring.warn(now=now)
    both = [("account.credentials_end", one.id) for one in (world.contractor, world.lead)]
    assert told() == sorted(both)
    mail = Mail.objects.get(recipient_id=world.lead.id)
    assert str(world.contractor) in letter_of(mail, reader(world.lead.id)).sentence
    User.objects.filter(pk=world.contractor.pk).update(credentials_expire_at=now + timedelta(days=5))
    with pytest.raises(NothingToTell):
        letter_of(mail, reader(world.lead.id))
    expiring.warn(now=now)
    assert told() == sorted(both * 2)


def test_what_has_ended_or_is_switched_off_is_not_warned_of(world):
    token(world.engineer, days=2)
    User.objects.filter(pk=world.engineer.pk).update(is_active=False)
    User.objects.filter(pk=world.contractor.pk).update(credentials_expire_at=timezone.now() - timedelta(days=1))
    assert expiring.warn(now=timezone.now()) == {"tokens": 0, "people": 0}
