"""A token that is ended makes no other meanwhile, whichever of the two comes first."""

import threading

import pytest
from django.db import connections, transaction
from django.utils import timezone

from audit.actors import Actor, Interface, Kind
from forge.accounts import token_services
from forge.accounts.authentication import TokenExpired
from forge.accounts.models import ApiToken
from forge.accounts.services import set_active
from tests.factories import MembershipFactory
from tests.races.threads import wait_until_somebody_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user():
    return MembershipFactory(role="engineer").user


def actor_of(user, token=None):
    return Actor(
        kind=Kind.USER,
        interface=Interface.API,
        user=user,
        user_id=user.id,
        organization_id=user.organization_id,
        credential_id=token and token.id,
    )


def make(user, token=None):
    return token_services.issue_token(actor=actor_of(user, token), user=user, name="laptop", now=timezone.now())[0]


def in_thread(work):
    """Start it on a connection of its own; the list gets what it answers or raises."""
    got = []

    def run():
        try:
            got.append(work())
        except TokenExpired as error:
            got.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def test_revoke_all_ends_what_a_token_is_just_making(user):
    stolen = make(user)
    with transaction.atomic():
        make(user, stolen)
        thread, got = in_thread(lambda: token_services.revoke_all(actor=actor_of(user), user=user, now=timezone.now()))
        wait_until_somebody_waits_for_a_lock()
    thread.join()
    assert got == [2]
    assert not token_services.live_tokens(user, timezone.now()).exists()


@pytest.mark.parametrize("how", ["revoke", "revoke_all", "switch off"])
def test_a_token_that_is_being_ended_makes_no_other(user, how):
    stolen = make(user)
    with transaction.atomic():
        if how == "revoke":
            token_services.revoke_token(actor=actor_of(user), token=stolen, now=timezone.now())
        elif how == "revoke_all":
            token_services.revoke_all(actor=actor_of(user), user=user, now=timezone.now())
        else:
            set_active(actor=Actor.command("test"), user=user, is_active=False)
        thread, got = in_thread(lambda: make(user, stolen))
        wait_until_somebody_waits_for_a_lock()
    thread.join()
    assert isinstance(got[0], TokenExpired)
    assert ApiToken.objects.count() == 1
