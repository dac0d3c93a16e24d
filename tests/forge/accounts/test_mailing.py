"""Whom a mail goes to."""

import pytest

from forge.accounts.mailing import reader
from forge.db.ids import uuid7
from forge.outbox.letters import NothingToTell
from tests.factories import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("theirs", "organizations", "zone"),
    [
        ("Europe/Vienna", "UTC", "Europe/Vienna"),
        ("", "America/New_York", "America/New_York"),
        ("Nowhere/Land", "America/New_York", "UTC"),
        ("../etc/passwd", "UTC", "UTC"),
    ],
)
def test_a_person_is_written_to_at_the_address_of_now_in_the_own_time_zone(theirs, organizations, zone):
    user = UserFactory(organization=OrganizationFactory(timezone=organizations), time_zone=theirs)
    found = reader(user.id)
    assert (found.address, found.name, str(found.zone)) == (user.email, user.full_name, zone)


def test_an_operator_of_the_installation_has_no_organizations_time_zone():
    assert str(reader(UserFactory(organization=None, directory_username="").id).zone) == "UTC"


def test_who_is_switched_off_or_gone_gets_no_mail():
    for recipient in (UserFactory(is_active=False).id, uuid7()):
        with pytest.raises(NothingToTell, match="switched off or gone"):
            reader(recipient)
