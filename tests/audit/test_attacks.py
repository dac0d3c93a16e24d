"""The attacks of a superuser who knows all but the signing key, each found, with lane and partition named.

Rows, links, heads and seals are verified as `audit_verify --against` does it, with the sinks' directory as the outside.
Where the database has nothing left to tell by, a receipt that its holder kept tells: the tests say so. An event that
was never given to the log is told by the rows that it left elsewhere.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from audit.evidence import declared
from audit.models import AuditLog
from audit.sealing.sealer import SealRefused, seal
from audit.verification.events import verify_events
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from tests.audit import business
from tests.audit.attacker import COUNTS, MONTHS, THIS_MONTH, Attacker, build, months_of, name_of, place
from tests.audit.support import OTHER_SIGNING_KEY, SIGNING_KEY, leave, rechain
from tests.plugins.scale import count

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.soak,
    pytest.mark.catalogue(2),
    pytest.mark.parametrize("seed", range(count(10, 2, soak=os.environ.get("FORGE_SOAK", "0")))),
]


class World:
    """The attacked log, one random row in the middle of it, and what verification finds."""

    def __init__(self, superuser, outside, seed):
        self.receipts = build(superuser)
        self.outside, self.attacker, self.sql = outside, Attacker(superuser), superuser
        self.choices = random.Random(seed)
        self.lane = self.choices.choice((0, 1))
        self.number = self.choices.randrange(2, sum(COUNTS[self.lane]) - 1)
        self.month = months_of(self.lane)[self.number - 1]

    def findings(self):
        return verify().findings + verify_seals(against=self.outside).findings + verify_events().findings

    def assert_located(self, kind=None, *, number=None, month=None):
        """Something is found in the lane of the attack, at its number if one is given, in its partition."""
        found = self.findings()
        number, month = number or self.number, month or self.month
        hits = [
            one
            for one in found
            if one.lane == self.lane and one.lane_seq == number and one.partition == name_of(month)
            if kind in (None, one.kind)
        ]
        assert hits, found
        assert self.exit_code() == 1
        return hits[0]

    def exit_code(self, *asked):
        asked = asked or ("--against", str(self.outside))
        with pytest.raises(SystemExit) as ended:
            call_command("audit_verify", *asked, "--dry-run", stdout=StringIO())
        return ended.value.code

    def assert_receipt_tells(self, lane, number):
        """The holder of the receipt learns that the entry is not there any more, and where it was."""
        found = verify_receipt(self.receipts[lane, number]).findings
        assert {(one.lane, one.lane_seq) for one in found} == {(lane, number)}
        assert self.exit_code("--receipt", str(self.receipts[lane, number])) == 1


@pytest.fixture
def world(superuser, outside, seed):
    return World(superuser, outside, seed)


def test_a_clean_log_gives_no_false_alarm(world, seed):
    business.live()
    leave(4, lane=0)
    seal()
    leave(2, lane=1)
    assert world.findings() == []
    call_command("audit_verify", "--against", str(world.outside), stdout=StringIO())
    receipt = world.receipts[world.lane, world.number]
    assert verify_receipt(receipt).findings == []
    call_command("audit_verify", "--receipt", str(receipt), "--dry-run", stdout=StringIO())  # exits 0


def test_01_an_edited_row(world, seed):
    world.attacker.edit(world.lane, world.number, recompute=False)
    world.assert_located("bad_row")


def test_02_an_edited_row_with_its_hash(world, seed):
    world.attacker.edit(world.lane, world.number, recompute=True)
    world.sql(
        """UPDATE audit_auditlog SET log_hash = sha256('forge.audit.entry'::bytea ||
           substring(int2send(hash_version) FROM 2) || int2send(lane) || int8send(lane_seq) ||
           timestamptz_send("timestamp") || previous_log_hash || content_hash) WHERE id = %s""",
        place(world.lane, world.number),
    )
    world.assert_located("broken_link")
    world.assert_located("other_leaf")


def test_03_an_edited_row_with_its_whole_lane_and_head(world, seed):
    world.attacker.edit(world.lane, world.number, recompute=True)
    world.attacker.relink(world.lane)
    assert verify().is_intact  # what the chain alone cannot see
    world.assert_located("other_leaf")


def test_04_a_deleted_row(world, seed):
    world.attacker.delete(world.lane, world.number)
    world.assert_located("no_row")


def test_05_a_deleted_row_and_the_rest_renumbered(world, seed):
    world.attacker.delete(world.lane, world.number)
    world.attacker.relink(world.lane)
    assert verify().is_intact
    found = world.assert_located("other_leaf", month=months_of(world.lane)[world.number])
    assert (found.before.year, found.before.month) == (world.month.year, world.month.month)


def test_06_the_sealed_tail_cut_off_and_the_head_set_back(world, seed):
    last = sum(COUNTS[world.lane])
    world.attacker.delete(world.lane, last, last - 1)
    world.attacker.relink(world.lane)
    assert verify().is_intact
    world.assert_located("no_row", number=last - 1, month=MONTHS[2])


def test_07_the_unsealed_tail_cut_off_and_the_head_set_back(world, seed):
    receipts = leave(3, lane=world.lane)
    world.attacker.delete(world.lane, *(receipt.lane_seq for receipt in receipts[1:]))
    world.attacker.relink(world.lane)
    world.receipts |= {(receipt.lane, receipt.lane_seq): receipt for receipt in receipts}
    assert world.findings() == []  # nothing in the database or outside was ever told of them
    world.assert_receipt_tells(world.lane, receipts[1].lane_seq)


def test_08_a_truncated_month(world, seed):
    world.sql(f"TRUNCATE {name_of(MONTHS[1])}")
    found = [one for one in world.findings() if one.kind == "no_row"]
    assert {one.lane for one in found} == {0, 1, 2}
    assert {one.partition for one in found} == {name_of(MONTHS[1])}


def test_09_a_truncated_month_and_the_rest_renumbered(world, seed):
    world.sql(f"TRUNCATE {name_of(MONTHS[1])}")
    for lane in COUNTS:
        world.attacker.relink(lane)
    assert verify().is_intact
    found = world.findings()
    assert {one.lane for one in found} == {0, 1, 2}
    first = next(one for one in found if one.kind == "other_leaf" and one.lane == world.lane)
    assert first.lane_seq == COUNTS[world.lane][0] + 1
    assert (first.before.year, first.before.month) == (MONTHS[1].year, MONTHS[1].month)


def test_10_two_swapped_rows(world, seed):
    world.attacker.swap(world.lane, world.number, world.number + 1)
    world.assert_located("bad_row")


def test_11_two_swapped_rows_with_the_whole_lane_and_head(world, seed):
    world.attacker.swap(world.lane, world.number, world.number + 1)
    world.attacker.relink(world.lane)
    assert verify().is_intact
    world.assert_located("other_leaf")


def test_12_a_row_slipped_in_between(world, seed):
    (at,) = world.sql(
        'SELECT "timestamp" FROM audit_auditlog WHERE id = %s', place(world.lane, world.number)
    ).fetchone()
    for row_id, _, _ in reversed(world.attacker.rows(world.lane)[world.number - 1 :]):
        world.sql("UPDATE audit_auditlog SET id = id + 1, lane_seq = lane_seq + 1 WHERE id = %s", row_id)
    world.attacker.copy(world.lane, world.number - 1, to=world.number, at=at - timedelta(seconds=1))
    world.attacker.relink(world.lane)
    assert verify().is_intact
    world.assert_located("other_leaf")


def test_13_a_back_dated_row_by_the_normal_path(world, seed):
    leave(1, lane=2)
    seal()
    leave(1, lane=world.lane)
    times = [at for _, _, at in world.attacker.rows(world.lane)]
    back = datetime.now(UTC) - timedelta(minutes=10 + world.choices.randrange(10))
    rechain(world.sql, world.lane, [*times[:-1], back])
    assert any("impossible time" in fault for fault in seal().faults)
    assert verify().is_intact
    world.assert_located("impossible_time", number=len(times), month=back.date().replace(day=1))


def test_14_a_partition_swapped_for_a_rewritten_one(world, seed):
    world.attacker.swap_partition(world.month, world.lane, world.number)
    assert verify().is_intact
    world.assert_located("other_leaf")


def test_15_a_rewritten_partition_with_its_leaves(world, seed):
    world.attacker.swap_partition(world.month, world.lane, world.number)
    world.attacker.reseal()
    assert verify().is_intact
    assert "bad_signature" in {one.kind for one in verify_seals().findings}
    assert_window(world)


def test_16_a_rewritten_partition_signed_with_another_key(world, seed):
    world.attacker.swap_partition(world.month, world.lane, world.number)
    world.attacker.reseal(sign_with=OTHER_SIGNING_KEY)
    assert "bad_signature" in {one.kind for one in verify_seals().findings}
    assert_window(world)


def test_17_a_rewritten_partition_signed_with_the_real_key(world, seed):
    world.attacker.swap_partition(world.month, world.lane, world.number)
    world.attacker.reseal(sign_with=SIGNING_KEY)
    assert verify().is_intact
    assert verify_seals().findings == []  # only the outside knows better
    assert_window(world)
    with pytest.raises(SealRefused):
        seal()


def assert_window(world):
    """The outside narrows it down to what one checkpoint sealed: the lane and the partition of the attack."""
    found = [one for one in world.findings() if one.kind == "outside_root"]
    assert (world.lane, name_of(world.month)) in {(one.lane, one.partition) for one in found}
    assert {one.partition for one in found} == {name_of(world.month)}


@pytest.mark.parametrize("key", [None, SIGNING_KEY], ids=["unsigned", "real key"])
def test_18_a_lane_dropped_with_head_and_leaves(world, seed, key):
    world.sql("DELETE FROM audit_auditlog WHERE lane = %s", world.lane)
    world.sql("DELETE FROM audit_auditleaf WHERE lane = %s", world.lane)
    world.attacker.relink(world.lane)
    world.sql("DELETE FROM audit_auditpublication")
    world.attacker.reseal(sign_with=key)
    assert verify().is_intact
    found = [one for one in world.findings() if one.kind == "outside_root"]
    assert min(one.partition for one in found) == name_of(MONTHS[0])
    # Hashes do not tell which lane it was; the receipts of its entries do.
    world.assert_receipt_tells(world.lane, world.number)


def test_19_an_old_backup_restored(world, seed):
    for lane in COUNTS:
        kept = sum(COUNTS[lane][:2])
        world.attacker.delete(lane, *range(kept + 1, kept + 10))
        world.attacker.relink(lane)
    (size,) = world.sql("SELECT tree_size FROM audit_auditcheckpoint WHERE id = 2").fetchone()
    world.sql("DELETE FROM audit_auditleaf WHERE index >= %s", size)
    world.sql("DELETE FROM audit_auditnode WHERE (index + 1) << level > %s", size)
    world.sql("DELETE FROM audit_auditpublication WHERE checkpoint_id > 2")
    world.sql("DELETE FROM audit_auditcheckpoint WHERE id > 2")
    assert verify().is_intact
    assert verify_seals().findings == []
    assert {one.kind for one in world.findings()} == {"outside_ahead"}
    assert world.exit_code() == 1
    world.assert_receipt_tells(world.lane, sum(COUNTS[world.lane]))
    with pytest.raises(SealRefused):
        seal()


def test_20_an_id_doubled_in_another_partition(world, seed):
    at = datetime(THIS_MONTH.year, THIS_MONTH.month, 1, tzinfo=UTC)
    world.attacker.copy(world.lane, world.number, to=world.number, at=at)
    world.assert_located("duplicate_id", month=THIS_MONTH)
    world.assert_located("other_leaf", month=THIS_MONTH)


def test_21_a_row_inserted_around_the_functions(world, seed):
    last = sum(COUNTS[world.lane])
    at = datetime(THIS_MONTH.year, THIS_MONTH.month, 1, tzinfo=UTC)
    world.attacker.copy(world.lane, world.number, to=last + 1, at=at)
    world.assert_located("rows_beyond_head", number=last + 1, month=THIS_MONTH)


def test_22_an_unsealed_row_edited_with_its_lane_and_head(world, seed):
    receipts = leave(3, lane=world.lane)
    world.attacker.edit(world.lane, receipts[1].lane_seq, recompute=True)
    world.attacker.relink(world.lane)
    assert world.findings() == []
    found = verify_receipt(receipts[1]).findings[0]
    assert (found.lane, found.lane_seq) == (world.lane, receipts[1].lane_seq)
    assert found.partition == name_of(THIS_MONTH)
    assert world.exit_code("--receipt", str(receipts[1])) == 1


@pytest.mark.parametrize("how", ["all", "one", "the newest"])
def test_23_checkpoints_deleted(world, seed, how):
    where = {"all": "true", "one": f"id = {1 + seed % 2}", "the newest": "id = 3"}[how]
    world.sql("DELETE FROM audit_auditpublication")
    world.sql(f"DELETE FROM audit_auditcheckpoint WHERE {where}")
    assert "missing_checkpoint" in {one.kind for one in verify_seals().findings}
    assert world.exit_code() == 1


def test_24_an_event_that_was_never_given_to_the_log(world, seed):
    business.live()
    assert world.findings() == []
    tables = sorted({(one.table, one.only) for one in declared()}, key=str)
    hidden = {}
    for table, only in world.choices.sample(tables, world.choices.randrange(1, 16)):
        hidden[table, business.hide(world.sql, table, only)] = only

    found = world.findings()

    assert {(one.kind, one.table, one.key) for one in found} == {("event_without_entry", *where) for where in hidden}
    assert {one.partition for one in found} == {name_of(THIS_MONTH)}
    assert all(one.timestamp is not None and one.key in str(one) for one in found)
    assert verify_events(since=datetime.now(UTC) - timedelta(minutes=1)).findings == found
    assert world.exit_code() == 1


def test_an_attack_on_the_tree_alone_is_found(world, seed):
    index = world.choices.randrange(AuditLog.objects.count() // 2)
    world.sql("UPDATE audit_auditnode SET hash = sha256('x') WHERE level = 1 AND index = %s", index)
    assert "bad_node" in {one.kind for one in world.findings()}
    world.sql("DELETE FROM audit_auditnode WHERE level = 1 AND index = %s", index)
    assert "bad_node" in {one.kind for one in world.findings()}
    world.sql("DELETE FROM audit_auditleaf WHERE index = %s", 2 * index)
    kinds = {one.kind for one in world.findings()}
    assert {"missing_leaf"} <= kinds
