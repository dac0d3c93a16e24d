"""Owing mail: in the caller's transaction, once per fact and person, and of kinds that somebody words."""

import pytest
from django.db import IntegrityError, transaction

from forge.db.ids import uuid7
from forge.outbox.models import Mail
from forge.outbox.services import MailNotGivenUp, owe, put_back
from tests.factories import MembershipFactory, UserFactory
from tests.forge.db.conftest import at_once
from tests.forge.outbox.support import NOW, ORGANIZATION, owed, write

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
State = Mail.State


def test_a_mail_is_gone_with_the_transaction_that_owed_it():
    with transaction.atomic():
        owe([owed()], now=NOW)
        transaction.set_rollback(True)
    assert not Mail.objects.exists()


def test_outside_a_transaction_nothing_is_owed():
    with pytest.raises(transaction.TransactionManagementError):
        owe([owed()], now=NOW)
    assert not Mail.objects.exists()


def test_the_same_fact_is_told_to_the_same_person_once_whoever_writes_it():
    one, another = owed(once="stop 1"), uuid7()
    at_once(4, lambda _: write(one))
    write(owed(once="stop 1", recipient_id=another), owed(once="stop 2", recipient_id=one.recipient_id))
    assert Mail.objects.count() == 3


def test_a_kind_that_nobody_words_is_refused_where_it_is_written():
    with pytest.raises(LookupError, match=r"no\.such"):
        write(owed(kind="no.such"))
    assert not Mail.objects.exists()


def test_facts_that_json_does_not_know_are_refused_where_they_are_written():
    with pytest.raises(TypeError):
        write(owed(facts={"id": uuid7()}))


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("DUE", {"due_at": None}),
        ("SENT", {"due_at": None}),
        ("SENT", {"sent_at": NOW}),
        ("GIVEN_UP", {"due_at": None}),
        ("WITHDRAWN", {"due_at": None}),
        ("LOST", {"due_at": None}),
        ("DUE", {"sent_at": NOW}),
    ],
)
def test_postgresql_refuses_a_state_without_its_facts(state, fields):
    [mail] = write()
    with pytest.raises(IntegrityError):
        Mail.objects.filter(pk=mail.pk).update(state=state, **fields)


@pytest.mark.parametrize("state", ["DUE", "SENT", "WITHDRAWN"])
def test_only_what_was_given_up_is_put_back(state):
    [mail] = write()
    facts = {"SENT": {"sent_at": NOW, "due_at": None}, "WITHDRAWN": {"withdrawn_because": "x", "due_at": None}}
    Mail.objects.filter(pk=mail.pk).update(state=state, **facts.get(state, {}))
    with pytest.raises(MailNotGivenUp), transaction.atomic():
        put_back(mail=mail, now=NOW)


def test_admins_and_auditors_see_the_organizations_mail_and_others_their_own():
    reader = MembershipFactory(role="engineer").user
    wide = {role: MembershipFactory(user__organization=reader.organization, team=None, role=role).user for role in
            ("admin", "auditor", "finance")}  # fmt: skip
    there = {"organization_id": reader.organization_id}
    write(owed(**there, recipient_id=reader.id), owed(**there), owed(organization_id=ORGANIZATION))
    seen = {name: Mail.objects.visible_to(user).count() for name, user in {**wide, "reader": reader}.items()}
    assert seen == {"admin": 2, "auditor": 2, "finance": 0, "reader": 1}
    assert Mail.objects.visible_to(UserFactory(organization=None)).count() == 3
