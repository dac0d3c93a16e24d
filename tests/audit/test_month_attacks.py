"""A month that is verified by itself: what was rewritten together with its leaves, or is gone whole, is found too."""

from io import StringIO

import pytest
from django.core.management import call_command

from audit.sealing.sealer import seal
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from tests.audit.attacker import COUNTS, MONTHS, Attacker, build, name_of
from tests.audit.support import leave

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def attacker(superuser, outside):
    build(superuser)
    leave(3, lane=0)
    seal()
    return Attacker(superuser)


def exit_code(month):
    try:
        call_command("audit_verify", "--month", f"{month:%Y-%m}", "--dry-run", stdout=StringIO())
    except SystemExit as ended:
        return ended.code
    return 0


def kinds(month):
    return {one.kind for one in verify(month=month).findings + verify_seals(month=month).findings}


@pytest.mark.parametrize("month", MONTHS)
def test_a_month_that_nobody_touched_is_intact(attacker, month):
    assert kinds(month) == set()
    assert exit_code(month) == 0
    assert verify_seals(month=month).signed >= 1


def test_a_month_rewritten_with_its_leaves_is_found(attacker):
    attacker.swap_partition(MONTHS[1], 0, 6)
    attacker.reseal()
    assert verify(month=MONTHS[1]).is_intact
    assert kinds(MONTHS[1]) == {"bad_signature"}
    assert exit_code(MONTHS[1]) == 1


def test_a_leaf_that_was_rewritten_with_its_row_alone_is_found(attacker):
    attacker.edit(0, 6, recompute=True)
    attacker.relink(0)
    attacker.sql(
        """UPDATE audit_auditleaf AS leaf SET hash = sha256('\\x00'::bytea || log_hash) FROM audit_auditlog AS log
            WHERE log.lane = leaf.lane AND log.lane_seq = leaf.lane_seq"""
    )
    assert verify(month=MONTHS[1]).is_intact
    assert "bad_root" in kinds(MONTHS[1])
    found = [one for one in verify_seals(month=MONTHS[1]).findings if one.kind == "bad_root"]
    assert (0, name_of(MONTHS[1])) in {(one.lane, one.partition) for one in found}


def test_a_month_that_is_gone_with_the_rest_renumbered_is_found(attacker):
    attacker.sql(f"TRUNCATE {name_of(MONTHS[1])}")
    for lane in COUNTS:
        attacker.relink(lane)
    assert verify(month=MONTHS[1]).is_intact
    assert exit_code(MONTHS[1]) == 1


def test_a_month_whose_tail_is_cut_off_with_the_heads_set_back_is_found(superuser, outside):
    """The newest month has nothing after it that would miss its end."""
    build(superuser)
    attacker = Attacker(superuser)
    attacker.delete(0, 12)
    attacker.relink(0)
    assert verify(month=MONTHS[2]).is_intact
    found = [one for one in verify_seals(month=MONTHS[2]).findings if one.kind == "no_row"]
    assert [(one.lane, one.lane_seq, one.partition) for one in found] == [(0, 12, name_of(MONTHS[2]))]
