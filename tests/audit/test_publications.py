"""What a sink lacks says the sink: the database's notes of it keep nothing from the outside."""

import pytest

from audit.sealing.sealer import seal
from audit.sealing.sinks import notes_in
from tests.audit.support import leave
from tests.audit.test_seals import outside_of, whole

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

_NOTED = "INSERT INTO audit_auditpublication (checkpoint_id, sink, published_at) SELECT %s, %s, clock_timestamp()"


@pytest.fixture
def sealed(outside):
    """Two checkpoints, of sizes 3 and 5; the name of the directory sink."""
    for count in (3, 2):
        leave(count, lane=0)
        seal()
    return f"directory:{outside}"


@pytest.mark.parametrize("number", [3, 4, 10**9])
def test_a_checkpoint_that_is_noted_as_published_beforehand_is_published(sealed, outside, superuser, number):
    superuser(_NOTED, number, sealed)
    superuser(_NOTED, number, "log:")
    for _ in range(3):
        leave(2, lane=0)
        done = seal()
        assert done.published == 2
        assert "noted as published" in done.failures.get(sealed, "noted as published")
    assert [one.size for one in outside_of(outside)] == [3, 5, 7, 9, 11]


def test_the_forged_note_is_told(sealed, superuser):
    superuser(_NOTED, 10**9, sealed)
    leave(1)
    assert "noted as published" in seal().failures[sealed]


def test_checkpoints_that_a_sink_lost_are_told_and_published_again(sealed, outside):
    leave(1, lane=0)
    seal()
    for path, _ in list(notes_in(outside))[1:]:
        path.unlink()
    done = seal()
    assert (done.published, "noted as published" in done.failures[sealed]) == (2, True)
    assert [one.size for one in outside_of(outside)] == [3, 5, 6]
    assert seal().failures == {}
    whole()


def test_a_sink_that_lost_all_of_them_gets_all_again(sealed, outside):
    for path, _ in list(notes_in(outside)):
        path.unlink()
    assert seal().published == 2
    assert [one.size for one in outside_of(outside)] == [3, 5]
    assert seal().failures == {}


def test_a_sink_that_is_new_gets_all_of_them_and_nothing_is_told(sealed, outside, settings):
    other = outside.with_name("other")
    other.mkdir()
    settings.FORGE_AUDIT_SINKS = [*settings.FORGE_AUDIT_SINKS, f"directory:{other}"]
    done = seal()
    assert (done.published, done.failures) == (2, {})
    assert outside_of(other) == outside_of(outside)
