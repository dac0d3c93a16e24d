"""A superuser who makes months go, or the records of them: what retention's own word does not cover is found."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction

from audit import actions
from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.services import record
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verification.seals import verify_seals
from audit.verifier import proofs
from forge.db import detached
from forge.db.models import ArchivedMonth
from forge.db.months import add_months
from tests.audit.history import ACTOR, BEGUN, KEPT, NOW, TABLE, build, leave_the_database, name_of, steps, whole
from tests.audit.support import client_of, log_hash
from tests.factories import MembershipFactory

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"])]


def kinds():
    return {one.kind for one in verify().findings + verify_seals().findings}


def details():
    return [one.detail for one in verify().findings]


def audit_verify(*arguments):
    """Exit code and document of `audit_verify --json`."""
    out = StringIO()
    code = 0
    try:
        call_command("audit_verify", "--json", *arguments, stdout=out)
    except SystemExit as stopped:
        code = stopped.code
    return code, json.loads(out.getvalue())


def forge(of, ranges, **context):
    """The entry of a drop that never was, appended as any entry is; sealed."""
    told = {
        "table": TABLE, "month": f"{of:%Y-%m}", "retention_months": 2, "rows": 6, "location": "x",
        "manifest_sha256": "0" * 64, "ranges": ranges, "months": {f"{of:%Y-%m}": "0" * 64},
    }  # fmt: skip
    with transaction.atomic():
        record(actor=ACTOR, action=actions.AUDIT_MONTH_DROP, description="x", resource_id="x", context=told | context)
    seal()


def test_a_month_that_was_detached_and_dropped_without_a_word(oldest, superuser):
    superuser(f"ALTER TABLE audit_auditlog DETACH PARTITION {name_of(oldest)}")
    superuser(f"DROP TABLE {name_of(oldest)}")
    assert {"missing_rows", "no_row"} <= kinds()


def test_a_month_that_was_moved_aside_without_a_record(oldest):
    detached.detach(TABLE, oldest, name_of(oldest))
    assert details() == [f"{name_of(oldest)} was detached, and there is no record of it"]


def test_a_detached_month_that_is_gone_before_it_was_dropped(oldest, superuser):
    steps(BEGUN)
    seal()
    superuser(f"DROP TABLE forge_detached.{name_of(oldest)}")
    assert {"missing_rows", "no_row", "archived_month"} <= kinds()


def test_an_edit_of_a_detached_month(oldest, superuser):
    steps(BEGUN)
    seal()
    superuser(f"UPDATE forge_detached.{name_of(oldest)} SET resource_id = 'x' WHERE lane_seq = 2 AND lane = 0")
    [finding] = verify().findings
    assert (finding.kind, finding.lane, finding.lane_seq) == ("bad_row", 0, 2)
    assert finding.partition == f"forge_detached.{name_of(oldest)}"
    assert "remove" not in steps(NOW)[0]


def test_a_forged_record_without_an_entry(oldest, superuser):
    superuser(f"ALTER TABLE audit_auditlog DETACH PARTITION {name_of(oldest)}")
    superuser(f"DROP TABLE {name_of(oldest)}")
    superuser(
        'INSERT INTO db_archivedmonth ("table", month, partition, state, detached_at, exported_at, verified_at,'
        " dropped_at, rows, location, manifest_sha256, drop_receipt)"
        " VALUES (%s, %s, %s, 'DROPPED', now(), now(), now(), now(), 6, 'x', %s, '')",
        TABLE, oldest, name_of(oldest), "0" * 64,
    )  # fmt: skip
    assert {"missing_rows", "no_row", "archived_month"} <= kinds()
    assert f"{oldest:%Y-%m} is recorded as dropped, and no entry of the log says so" in details()


@pytest.mark.parametrize(
    "statement", ["DELETE FROM db_archivedmonth", "UPDATE db_archivedmonth SET manifest_sha256 = repeat('f', 64)"]
)
def test_a_record_that_was_deleted_or_changed_after_the_drop(oldest, superuser, statement):
    leave_the_database(oldest)
    superuser(statement)
    assert kinds() == {"archived_month"}


def test_a_forged_entry_for_a_month_too_young(oldest, superuser):
    young = add_months(oldest, 2)
    forge(young, [[0, 7, 9], [1, 7, 9]])
    superuser(f"DROP TABLE {name_of(young)}")
    assert {"missing_rows", "no_row", "archived_month"} <= kinds()
    assert f"{young:%Y-%m} was dropped before its time" in details()


@pytest.mark.catalogue(3)
@pytest.mark.parametrize(
    "context",
    [
        {"ranges": "all"}, {"months": []}, {"retention_months": None}, {"month": "x"}, {"retention_months": 2**52},
        {"ranges": [[0, 1, str(2**70)]]}, {"ranges": [[256, 1, 2]]}, {"ranges": [[2**50, 1, 2]]},
        {"ranges": [[0, 3, 2]]}, {"ranges": [[0, 1, 2**44]]},
    ],
)  # fmt: skip
def test_a_forged_entry_that_says_nothing_readable(oldest, context):
    forge(oldest, **({"ranges": []} | context))
    assert "an entry that drops a month cannot be read" in details()


def test_a_forged_entry_of_an_old_month_without_a_copy_in_the_archive(oldest, superuser):
    """Sealed, consistent and old enough: only the archive, which is outside, knows better."""
    forge(oldest, [[0, 1, 3], [1, 1, 3]])
    superuser(f"DROP TABLE {name_of(oldest)}")
    code, document = audit_verify()
    assert code == 1
    assert any("manifest.json is gone" in one["detail"] for one in document["findings"])


def test_a_forged_entry_that_stretches_a_true_one_over_a_younger_month(oldest, superuser):
    leave_the_database(oldest)
    seal()
    true = AuditLog.objects.get(action_type="AUDIT_MONTH_DROP").context
    young = add_months(oldest, 1)
    forge(oldest, [[0, 1, 6], [1, 1, 6]], months=true["months"])
    superuser(f"DROP TABLE {name_of(young)}")
    code, document = audit_verify()
    assert code == 1
    assert "12 entries are said to be dropped, and the copies hold 6" in [one["detail"] for one in document["findings"]]


@pytest.mark.parametrize("kept", [0, -1, -(2**40), 1])
def test_a_forged_entry_that_states_a_retention_which_no_log_has(oldest, superuser, kept):
    young = add_months(oldest, 2)
    forge(young, [[0, 7, 9], [1, 7, 9]], retention_months=kept)
    superuser(f"DROP TABLE {name_of(young)}")
    assert {"missing_rows", "no_row", "archived_month"} <= kinds()


@pytest.mark.parametrize("how", ["detached", "exported"])
def test_a_forged_entry_of_an_old_month_that_takes_the_numbers_of_a_young_one(oldest, superuser, archive, how):
    """As many rows as the old month has, whose copy stands in the archive already: only the time of the seals tells."""
    steps(BEGUN)
    seal()
    exported = ArchivedMonth.objects.get()
    forge(oldest, [[0, 7, 9], [1, 7, 9]], months={f"{oldest:%Y-%m}": exported.manifest_sha256})
    young = add_months(oldest, 2)
    superuser(f"DROP TABLE {name_of(young)}")
    if how == "detached":
        superuser("DELETE FROM db_archivedmonth")
    code, document = audit_verify()
    assert code == 1
    found = [one for one in document["findings"] if "not sealed in that month" in one["detail"]]
    assert [(one["lane"], one["lane_seq"], one["partition"]) for one in found] == [(0, 7, name_of(young))]
    assert {"missing_rows", "no_row"} <= {one["kind"] for one in document["findings"]}


def test_the_same_with_the_checkpoints_dated_back(oldest, superuser, archive):
    steps(BEGUN)
    seal()
    exported = ArchivedMonth.objects.get()
    forge(oldest, [[0, 7, 9], [1, 7, 9]], months={f"{oldest:%Y-%m}": exported.manifest_sha256})
    superuser(f"DROP TABLE {name_of(add_months(oldest, 2))}")
    superuser(
        "UPDATE audit_auditcheckpoint SET sealed_at = %s WHERE id IN (2, 3)",
        datetime(oldest.year, oldest.month, 9, tzinfo=UTC),
    )
    assert audit_verify()[0] == 1
    assert "bad_checkpoint" in kinds()


def test_an_unsealed_entry_does_not_keep_the_copies_from_being_counted(oldest, superuser):
    """Said and sealed differ then, so the count is a bound; it is still one."""
    leave_the_database(oldest)
    seal()
    true = AuditLog.objects.get(action_type="AUDIT_MONTH_DROP").context
    forge(oldest, [[0, 1, 6], [1, 1, 3]], months=true["months"])
    superuser("DELETE FROM audit_auditlog WHERE lane = 0 AND lane_seq IN (4, 5, 6)")
    with transaction.atomic():
        told = {**true, "ranges": [[0, 1, 6], [1, 1, 6]]}
        record(actor=ACTOR, action=actions.AUDIT_MONTH_DROP, description="x", resource_id="x", context=told)
    assert audit_verify()[0] == 1


def test_an_unsealed_entry_excuses_nothing(oldest, superuser, settings):
    sealed_before = AuditLog.objects.count()
    steps(BEGUN)
    seal()
    steps(NOW)
    assert AuditLog.objects.count() < sealed_before  # the month is out, its entry waits for the seal
    superuser(f"DROP TABLE forge_detached.{name_of(oldest)}")
    assert {"missing_rows", "no_row"} <= kinds()


def test_without_the_archive_nothing_says_that_dropped_months_are_no_deletions(oldest, settings, archive, superuser):
    leave_the_database(oldest)
    assert audit_verify()[0] == 0
    for address, why in (("", "were not looked for"), (f"directory:{archive}/away", "there is no such folder")):
        settings.FORGE_ARCHIVE = address
        code, document = audit_verify()
        assert (code, document["status"], why in document["reason"]) == (2, "undecided", True)
    superuser("UPDATE audit_auditlog SET resource_id = 'x' WHERE lane = 0 AND lane_seq = 5")
    code, document = audit_verify()
    assert (code, why in document["seals"]["notices"][-1]) == (1, True)  # what was found stays found
    superuser("UPDATE audit_auditlog SET resource_id = content::jsonb ->> 'resource_id' WHERE lane_seq = 5")
    settings.FORGE_ARCHIVE = f"directory:{archive}"
    (archive / TABLE / f"{oldest:%Y-%m}" / "manifest.json").write_text("{}")
    assert audit_verify()[0] == 1


def test_a_leaf_that_is_passed_off_as_that_of_a_dropped_entry(oldest, superuser):
    """The last entry of a lane is gone and the head set back: its leaf alone would miss it, and is named otherwise."""
    leave_the_database(oldest)
    seal()
    last, before = superuser(
        "SELECT lane_seq, previous_log_hash FROM audit_auditlog WHERE lane = 0 ORDER BY id DESC LIMIT 1"
    ).fetchone()
    superuser("ALTER TABLE audit_auditleaf DROP CONSTRAINT audit_auditleaf_place")
    try:
        superuser("DELETE FROM audit_auditlog WHERE lane = 0 AND lane_seq = %s", last)
        superuser("UPDATE audit_auditlane SET lane_seq = %s, log_hash = %s WHERE lane = 0", last - 1, before)
        superuser("UPDATE audit_auditleaf SET lane_seq = 2 WHERE lane = 0 AND lane_seq = %s", last)
        assert verify().is_intact
        assert [(one.kind, one.lane) for one in verify_seals().findings] == [("bad_leaf", 0)]
    finally:
        superuser("DELETE FROM audit_auditleaf WHERE lane = 0 AND lane_seq = 2")
        superuser("ALTER TABLE audit_auditleaf ADD CONSTRAINT audit_auditleaf_place UNIQUE (lane, lane_seq)")


# -- What is asked of a month that is gone ----------------------------------------------------------------------------
@pytest.mark.parametrize("gone", [False, True])
def test_a_receipt_of_a_month_that_left_is_still_proved(oldest, superuser, gone, capsys):
    receipt = AuditLog.objects.filter(timestamp__lt=BEGUN).order_by("timestamp").first().receipt
    if gone:
        leave_the_database(oldest)
    else:
        steps(BEGUN)
        seal()
    report = verify_receipt(receipt)
    assert report.findings == []
    assert report.facts["archived_month"] == (f"{oldest:%Y-%m}" if gone else None)
    call_command("audit_verify", "--receipt", str(receipt))
    assert ("the copy of" in capsys.readouterr().out) == gone

    answer = client_of(MembershipFactory(role="engineer").user).get(f"/api/v1/audit/proofs/{receipt}/")
    assert answer.status_code == 200
    assert answer.json()["archived_month"] == f"{oldest:%Y-%m}"
    proofs.verify_inclusion(
        leaf=proofs.leaf_hash(receipt.log_hash),
        index=answer.json()["leaf_index"],
        size=answer.json()["tree_size"],
        path=[bytes.fromhex(one) for one in answer.json()["hashes"]],
        root=bytes.fromhex(answer.json()["root_hash"]),
    )


def test_a_made_up_receipt_of_a_month_that_left_is_unknown(oldest):
    receipt = AuditLog.objects.order_by("timestamp").first().receipt
    leave_the_database(oldest)
    other = f"{receipt.lane}-{receipt.lane_seq}-{'0' * 64}"
    answer = client_of(MembershipFactory(role="engineer").user).get(f"/api/v1/audit/proofs/{other}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_receipt")
    with pytest.raises(SystemExit, match="1"):
        call_command("audit_verify", "--receipt", other)


def test_a_month_that_left_is_verified_by_name_while_it_is_here_and_named_when_it_is_gone(oldest):
    assert steps(BEGUN)[1] == []
    seal()
    code, document = audit_verify("--month", f"{oldest:%Y-%m}")
    assert (code, document["rows"]) == (0, 6)
    steps(NOW)
    seal()
    steps(NOW)
    code, document = audit_verify("--month", f"{oldest:%Y-%m}")
    assert (code, "check its copy in the archive" in document["reason"]) == (2, True)
    whole()


def test_a_lane_cut_behind_what_was_dropped_is_found(superuser, outside, archive):
    oldest = build(superuser, kept=KEPT)
    leave_the_database(oldest)
    superuser("DELETE FROM audit_auditlog WHERE lane = 1 AND lane_seq = 4")
    found = [one for one in verify().findings if one.kind == "missing_rows"]
    assert [(one.lane, one.lane_seq, one.detail) for one in found] == [(1, 4, "1 row is missing from number 4 on")]


def test_a_row_that_names_another_before_it_than_the_dropped_one_is_found(oldest, superuser):
    leave_the_database(oldest)
    number, content_hash, at = superuser(
        "SELECT id, content_hash, timestamp FROM audit_auditlog WHERE lane = 1 AND lane_seq = 4"
    ).fetchone()
    hashed = log_hash(lane=1, lane_seq=4, timestamp=at, previous=b"x" * 32, content_hash=content_hash)
    superuser(
        "UPDATE audit_auditlog SET previous_log_hash = %s, log_hash = %s WHERE id = %s", b"x" * 32, hashed, number
    )
    assert ("broken_link", 4) in {(one.kind, one.lane_seq) for one in verify().findings if one.lane == 1}


def test_a_head_that_does_not_vouch_for_the_last_dropped_row_is_found(superuser, outside, archive):
    oldest = build(superuser, kept=KEPT, idle=(7,))
    leave_the_database(oldest)
    superuser("UPDATE audit_auditlane SET log_hash = sha256('x') WHERE lane = 7")
    assert [(one.kind, one.lane) for one in verify().findings] == [("broken_head", 7)]
    superuser("UPDATE audit_auditlane SET lane_seq = 5 WHERE lane = 7")
    assert [(one.kind, one.lane_seq) for one in verify().findings] == [("missing_rows", 4)]
