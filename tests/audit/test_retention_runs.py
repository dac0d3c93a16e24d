"""However a verification is asked for, months that leave the log and what was erased are judged as they must be."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.erasure import erasing, people
from audit.sealing.sealer import seal
from audit.verification import runs
from audit.verification.dropped import Dropped, load
from audit.verification.events import verify_events
from audit.verification.findings import CannotDecide
from audit.verification.rows import verify
from audit.verification.runs import Run, Scope
from forge.db import detached, partitions
from forge.db.months import add_months, month_of
from tests.audit import business
from tests.audit.attacker import Attacker, place
from tests.audit.history import BEGUN, KEPT, TABLE, build, leave_the_database, name_of, steps
from tests.audit.support import leave

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]


def outcome(scope=Scope.FULL, **asked):
    """INTACT or the kinds of what was found."""
    run = runs.verify_all(Run(scope), **asked)
    return sorted({one.kind for one in run.report.findings}) or run.outcome


def everything(*, after=1):
    return {"full": outcome(), "jobs": outcome(jobs=2), "since": outcome(Scope.SINCE, after=after)}


INTACT = {"full": "INTACT", "jobs": "INTACT", "since": "INTACT"}


@pytest.fixture
def two(superuser, outside, archive):
    """Two months past their retention; checkpoint 1 is over the first of them."""
    first = build(superuser, kept=KEPT, over=2)
    return first, add_months(first, 1)


def test_all_rows_that_are_left_and_what_came_since_are_intact_at_every_step(two):
    names = [name_of(month) for month in two]
    assert outcome(Scope.SINCE, after=1) == "INTACT"
    assert steps(BEGUN)[0]["detach"] == names
    assert everything() == INTACT
    seal()
    assert steps()[0] == {"drop": names}
    seal()
    assert outcome(Scope.SINCE, after=1) == "INTACT"  # said to be gone, and still there
    assert steps()[0] == {"remove": names}
    assert everything() == INTACT
    assert verify(since=runs.Since.after(1), dropped=Dropped()).findings != []


def test_rows_of_a_detached_month_are_looked_at_by_every_process_and_since_a_checkpoint(two, superuser):
    steps(BEGUN)
    superuser(
        f"UPDATE forge_detached.{name_of(two[1])} SET action_description = 'Did nothing' WHERE id = %s", place(0, 5)
    )
    assert everything() == {way: ["bad_row"] for way in INTACT}
    superuser(f"DELETE FROM forge_detached.{name_of(two[1])} WHERE id = %s", place(0, 5))
    assert everything() == {way: ["missing_rows", "no_row"] for way in INTACT}


def test_a_row_that_is_there_twice_is_found_where_rows_before_it_were_dropped(two, superuser):
    steps(BEGUN)
    seal()
    steps()
    seal()
    steps()
    Attacker(superuser).copy(0, 8, to=8, at=datetime.now(UTC))
    assert "duplicate_id" in outcome(Scope.SINCE, after=1)
    assert "duplicate_id" in outcome()


def test_months_that_move_meanwhile_leave_nothing_decided(oldest, monkeypatch):
    def detach(**asked):
        steps(BEGUN)
        return verify_events(**asked)

    monkeypatch.setattr(runs, "verify_events", detach)
    with pytest.raises(CannotDecide, match="meanwhile"):
        outcome()
    assert outcome() == "INTACT"


def test_the_copies_of_dropped_months_are_looked_for_whoever_asks(oldest, archive):
    leave_the_database(oldest)
    assert outcome() == outcome(Scope.SINCE, after=1) == "INTACT"
    (archive / TABLE / f"{oldest:%Y-%m}" / "manifest.json").write_text("{}")
    assert outcome() == outcome(Scope.SINCE, after=1) == ["archived_month"]


@pytest.fixture
def this_month(superuser):
    """This month, of which the log has a table again at the end."""
    month = month_of(timezone.now())
    yield month
    superuser(f"DROP TABLE IF EXISTS forge_detached.{name_of(month)}")
    partitions.ensure(TABLE, month, month)


def test_an_entry_in_a_detached_month_vouches_and_rows_from_before_a_dropped_one_are_left_out(superuser, this_month):
    business.live()
    month = this_month
    detached.detach(TABLE, month, name_of(month))
    assert verify_events(dropped=Dropped()).findings == []
    id_ = business.hide(superuser, "workspaces_workspace", None)
    assert [one.key for one in verify_events(dropped=Dropped()).findings] == [id_]
    gone = verify_events(dropped=Dropped(months={month: "00" * 32}))
    assert gone.findings == []
    assert f"before {add_months(month, 1):%Y-%m-%d} were not held against the log" in gone.notices[0]


def test_what_was_erased_since_a_checkpoint_is_intact_and_what_was_blotted_out_is_not(outside, superuser):
    leave(3, lane=0)
    seal()
    leave(3, lane=0)
    leave(2, lane=3)
    seal()
    person = people.find("ann@example.com", using=erasing.OWNER)
    erasing.erase(person, actor=Actor.command("test"), reason="asked")
    assert outcome(Scope.SINCE, after=1) == outcome() == "INTACT"
    leave(1, lane=3)
    superuser("UPDATE audit_auditlog SET user_email = NULL WHERE id = %s", place(3, 3))
    assert outcome(Scope.SINCE, after=1) == outcome() == ["bad_row"]
    assert load().ranges == set()
