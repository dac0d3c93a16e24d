"""Erasure follows the personal values into months that left: detached tables and the copies in the archive."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from audit import holds, retention
from audit.actors import Actor
from audit.archive import bundles
from audit.archive import steps as steps_module
from audit.erasure import archived, erasing, people
from audit.places import ArchiveFailed
from audit.sealing.sealer import seal
from audit.verifier.checking import check_bundle
from forge.db import detached
from forge.db.months import add_months
from tests.audit.history import BEGUN, KEPT, NOW, TABLE, build, entries, leave_the_database, name_of, steps, whole
from tests.audit.support import ANN
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"])]

ACTOR = Actor.command("audit_erase")


@pytest.fixture
def copy(archive, oldest):
    """The bundle in the copy of the oldest month; there once it is exported."""
    return archive / TABLE / f"{oldest:%Y-%m}" / "bundle"


def erase():
    return erasing.erase(people.find(str(ANN), using="owner"), actor=ACTOR, reason="ticket 7")


def personal(copy):
    with gzip.open(copy / "personal.ndjson.gz", "rt") as file:
        return [json.loads(line) for line in file]


def seal_and_check(copy, outside):
    seal()
    whole(outside)
    report = check_bundle(copy)
    assert (report.status, report.entries) == ("intact", 6)
    return report


def test_a_detached_month_and_its_copy_lose_the_values_and_the_copy_stays_right(oldest, outside, copy):
    assert steps(BEGUN)[1] == []
    assert {line["user_email"] for line in personal(copy)} == {"ann@example.com"}

    done = erase()

    assert (done.entries > 6, done.archived) == (True, 6)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(salt), count(user_email) FROM forge_detached.audit_auditlog")
        assert cursor.fetchall() == [(6, 0, 0)]
    assert personal(copy) == []
    seal_and_check(copy, outside)
    assert steps(NOW) == ({"drop": [name_of(oldest)]}, [])
    assert erase().archived == 0


def test_of_a_dropped_month_the_copy_loses_them_and_an_entry_names_the_ids(oldest, outside, copy):
    leave_the_database(oldest)
    assert erasing.survey(people.find(str(ANN), using="owner")).archived == 6
    assert len(personal(copy)) == 6

    assert erase().archived == 6

    assert personal(copy) == []
    [entry] = [one for one in entries("AUDIT_ERASE") if one.context["month"] == f"{oldest:%Y-%m}"]
    assert entry.context["entries"] == [[1, 3], [(1 << 44) + 1, (1 << 44) + 3]]
    report = seal_and_check(copy, outside)
    assert any("6 entries are gone" in notice for notice in report.notices)


def test_others_keep_theirs_in_a_copy(oldest, outside, copy, monkeypatch):
    steps(BEGUN)
    before = personal(copy)
    person = people.Person(UserFactory().id, ("bob@example.com",))
    assert erasing.erase(person, actor=ACTOR, reason="ticket 8").archived == 0
    assert personal(copy) == before


def test_a_hold_over_a_dropped_month_stops_the_erasure_before_anything_is_gone(oldest, outside, copy):
    leave_the_database(oldest)
    start = BEGUN.replace(year=oldest.year, month=oldest.month, day=1)
    holds.place(
        actor=Actor.of_user(UserFactory(organization=None)), reason="case 12", now=NOW,
        period_start=start.replace(hour=0), period_end=start.replace(day=2),
    )  # fmt: skip
    with pytest.raises(erasing.Held):
        erase()
    assert len(personal(copy)) == 6
    assert entries("AUDIT_ERASE") == []


@pytest.mark.parametrize("is_written", [False, True])
def test_an_erasure_killed_before_the_file_is_replaced_is_repeated(oldest, outside, copy, monkeypatch, is_written):
    leave_the_database(oldest)

    def die(*arguments):
        raise KeyboardInterrupt

    if is_written:
        monkeypatch.setattr(archived.os, "replace", die)
    else:
        monkeypatch.setattr(archived, "rewrite", die)
    with pytest.raises(KeyboardInterrupt):
        erase()
    monkeypatch.undo()
    assert len(personal(copy)) == 6
    assert check_bundle(copy).status == "intact"
    assert erase().archived == 6
    assert personal(copy) == []
    assert [path.name for path in copy.parents[1].iterdir()] == [copy.parent.name]


def test_without_its_archive_nobody_is_erased_by_half(oldest, outside, copy, settings):
    leave_the_database(oldest)
    settings.FORGE_ARCHIVE = ""
    with pytest.raises(ArchiveFailed, match="FORGE_ARCHIVE is not set"):
        erase()
    assert entries("AUDIT_ERASE") == []


def test_a_month_with_erasures_stays_while_an_older_month_needs_them(superuser, outside, archive):
    """A hold keeps the older month; the younger one, in which it was partly erased, is past its retention too."""
    older = build(superuser, kept=KEPT, over=2)
    younger = add_months(older, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM audit_auditlog WHERE timestamp >= %s AND timestamp < %s LIMIT 1",
            [younger, add_months(younger, 1)],
        )
        (id_,) = cursor.fetchone()
    superuser(
        "UPDATE audit_auditlog SET action_type = 'AUDIT_ERASE', context = %s WHERE id = %s",
        json.dumps({"month": f"{older:%Y-%m}"}), id_,
    )  # fmt: skip
    assert list(retention.hindrances(younger, add_months(younger, 1))) == [
        f"its erasures are needed while {older:%Y-%m} is here"
    ]
    assert list(retention.hindrances(older, younger)) == []


def test_a_copy_that_a_killed_export_left_loses_the_values_too(oldest, outside, copy, monkeypatch):
    """The copy is whole and the month not yet said to be exported; the next run takes the copy as it is."""
    with monkeypatch.context() as killed:
        killed.setattr(steps_module, "_change", die)
        with pytest.raises(KeyboardInterrupt):
            steps(BEGUN)
    assert len(personal(copy)) == 6

    assert erase().archived == 6

    assert personal(copy) == []
    assert steps(BEGUN) == ({"export": [name_of(oldest)]}, [])
    assert personal(copy) == []
    seal_and_check(copy, outside)
    assert steps(NOW) == ({"drop": [name_of(oldest)]}, [])


def test_nobody_is_erased_while_a_month_is_moved_or_copied(oldest, outside, copy, monkeypatch):
    """Otherwise the copy could be of an instant before the erasure, and be said to be right after it."""
    told = []
    write, move = bundles.write, detached.detach

    def erase_beside():
        with ThreadPoolExecutor(1) as other:
            told.append(other.submit(beside).exception())

    def beside():
        try:
            return erase()
        finally:
            connections.close_all()

    def written(*arguments, **options):
        erase_beside()
        return write(*arguments, **options)

    def moved(*arguments, **options):
        erase_beside()
        return move(*arguments, **options)

    with monkeypatch.context() as beside_it:
        beside_it.setattr(bundles, "write", written)
        beside_it.setattr(detached, "detach", moved)
        assert steps(BEGUN)[1] == []
    assert [type(one) for one in told] == [erasing.ErasureBusy] * 2
    assert erase().archived == 6


def test_no_month_is_moved_or_copied_while_somebody_is_erased(oldest, superuser_connection):
    superuser_connection.execute("SELECT pg_advisory_lock(%s)", [holds.ERASURE_LOCK])
    taken, faults = steps(BEGUN)
    assert (taken, len(faults), "an erasure is at work" in faults[0]) == ({}, 1, True)
    superuser_connection.execute("SELECT pg_advisory_unlock(%s)", [holds.ERASURE_LOCK])
    assert steps(BEGUN)[1] == []


def test_a_month_that_is_between_two_tables_is_not_passed_over(oldest, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(detached, "_join_twin", die)
        with pytest.raises(KeyboardInterrupt):
            steps(BEGUN)
    with pytest.raises(erasing.ErasureBusy, match="is being detached"):
        erase()
    assert entries("AUDIT_ERASE") == []
    assert steps(BEGUN)[1] == []
    assert erase().archived == 6


def test_a_copy_that_somebody_took_the_values_from_is_not_enough_to_drop_the_month(oldest, outside, copy):
    """Nothing of the copy is wrong but what is missing, and no erasure took it."""
    steps(BEGUN)
    seal()
    kept = (copy / "personal.ndjson.gz").read_bytes()
    with gzip.open(copy / "personal.ndjson.gz", "rt") as file:
        lines = file.readlines()
    for changed in ([], lines[1:], [json.dumps(json.loads(lines[0]) | {"personal": None}) + "\n", *lines[1:]]):
        with gzip.open(copy / "personal.ndjson.gz", "wt") as file:
            file.writelines(changed)
        taken, [fault] = steps(NOW)
        assert (taken, "drop failed" in fault) == ({}, True)
    (copy / "personal.ndjson.gz").write_bytes(kept)
    assert steps(NOW) == ({"drop": [name_of(oldest)]}, [])


def test_nor_is_one_in_which_somebody_put_back_what_was_erased(oldest, outside, copy):
    steps(BEGUN)
    kept = (copy / "personal.ndjson.gz").read_bytes()
    erase()
    seal()
    (copy / "personal.ndjson.gz").write_bytes(kept)
    taken, [fault] = steps(NOW)
    assert (taken, "are not those that the database has" in fault) == ({}, True)


def die(*arguments, **options):
    raise KeyboardInterrupt
