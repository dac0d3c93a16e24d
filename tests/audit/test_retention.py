"""Months past their retention leave the log in steps, and everything left verifies; what goes wrong keeps them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from audit import checks, tasks
from audit.archive import plan as plans
from audit.archive import retention
from audit.models import AuditLeaf, AuditLog
from audit.sealing.sealer import seal
from audit.verification.receipts import verify_receipt
from audit.verification.rows import verify
from audit.verifier.checking import check_bundle
from forge.console import health
from forge.db import detached, partitions
from forge.db.jobs import JobFault
from forge.db.models import ArchivedMonth
from forge.db.months import add_months
from tests.audit.history import (
    ACTOR,
    BEGUN,
    KEPT,
    NOW,
    TABLE,
    build,
    command,
    due_by_the_clock,
    entries,
    leave_the_database,
    name_of,
    steps,
    whole,
)  # fmt: skip
from tests.audit.support import leave

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "owner"]), pytest.mark.servers]


# -- The way out ----------------------------------------------------------------------------------------------------
def test_a_month_leaves_in_steps_and_everything_left_verifies_after_each(oldest, outside, archive):
    rows, leaves, name = AuditLog.objects.count(), AuditLeaf.objects.count(), name_of(oldest)
    whole(outside)

    assert steps(BEGUN) == ({"detach": [name], "export": [name]}, [])
    assert AuditLog.objects.count() == rows - 6 + 2
    report = verify()
    assert (report.findings, report.months[0], report.rows) == ([], f"{oldest:%Y-%m}", rows + 2)
    assert steps(BEGUN + timedelta(days=6, hours=23)) == ({}, [])

    seal()
    assert steps() == ({"drop": [name]}, [])
    assert steps() == ({}, [])  # the entry is not sealed yet
    whole(outside)
    seal()
    whole(outside)
    assert steps() == ({"remove": [name]}, [])
    assert steps() == ({}, [])

    whole(outside)
    assert verify().months[0] == f"{add_months(oldest, 1):%Y-%m}"
    assert AuditLeaf.objects.count() == leaves + 3
    assert detached.months_of(TABLE) == []
    whole(outside)


def test_each_step_leaves_one_entry_and_the_record_tells_the_same(oldest, archive):
    leave_the_database(oldest)
    [record] = ArchivedMonth.objects.all()
    for action in ("AUDIT_MONTH_DETACH", "AUDIT_MONTH_EXPORT", "AUDIT_MONTH_DROP"):
        [entry] = entries(action)
        assert (entry.resource_type, entry.resource_id) == ("ArchivedMonth", name_of(oldest))
        assert entry.context["month"] == f"{oldest:%Y-%m}"
    assert entry.context["manifest_sha256"] == record.manifest_sha256
    assert entry.context["rows"] == record.rows == 6
    assert entry.context["ranges"] == [[0, 1, 3], [1, 1, 3]]
    assert entry.context["months"] == {f"{oldest:%Y-%m}": record.manifest_sha256}
    assert (record.state, record.drop_receipt) == ("DROPPED", str(entry.receipt))
    assert record.location == f"directory:{archive}/{TABLE}/{oldest:%Y-%m}"


def test_months_that_follow_name_what_went_before_them(superuser, outside, archive):
    first = build(superuser, kept=KEPT, over=3)
    names = [name_of(add_months(first, number)) for number in range(3)]
    assert steps(BEGUN) == ({"detach": names, "export": names}, [])
    seal()
    assert steps() == ({"drop": names}, [])
    seal()
    assert steps() == ({"remove": names}, [])
    assert entries("AUDIT_MONTH_DROP")[-1].context["ranges"] == [[0, 1, 9], [1, 1, 9]]
    whole(outside)


def test_a_lane_of_which_every_row_is_gone_verifies_and_goes_on(superuser, outside, archive):
    oldest = build(superuser, kept=KEPT, idle=(7,))
    leave_the_database(oldest)
    whole(outside)
    leave(1, lane=7)
    seal()
    whole(outside)


def test_nothing_is_due_within_the_retention(superuser, outside, archive):
    build(superuser, kept=KEPT, over=0)
    assert plans.plan(BEGUN) == []


def test_without_an_archive_nothing_is_detached_and_it_is_said(oldest, settings, capsys):
    settings.FORGE_ARCHIVE = ""
    assert steps() == ({}, [])
    code, out = command(capsys, "--check", "--json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (1, False)
    assert [one["waits"] for one in answer["due"]] == [["FORGE_ARCHIVE is not set"] for _ in due_by_the_clock(oldest)]
    assert retention.problems(NOW) == [
        f"1 months are past their retention, first {name_of(oldest)}, and FORGE_ARCHIVE is not set"
    ]


def test_an_unsealed_month_stays(oldest, superuser):
    superuser("DELETE FROM audit_auditpublication")
    assert steps() == ({}, [])
    assert "6 entries are not under a signed and published checkpoint" in plans.plan(NOW)[0].waits


def test_the_command_takes_the_same_steps_and_tells_them(oldest, capsys):
    code, out = command(capsys, "--dry-run")
    assert code == 0
    assert f"due: detach {name_of(oldest)}" in out
    assert ArchivedMonth.objects.count() == 0
    code, out = command(capsys, "--json")
    answer = json.loads(out)
    assert (code, answer["taken"]) == (0, dict.fromkeys(("detach", "export"), due_by_the_clock(oldest)))
    assert answer["due"][0]["step"] == "drop"
    assert "its copy must stand until" in answer["due"][0]["waits"][0]


def test_the_job_fails_with_figures_where_a_month_could_not_be_retired(oldest, settings):
    settings.FORGE_ARCHIVE = "directory:/nowhere/at/all"
    with pytest.raises(JobFault, match="there is no such folder") as caught:
        retention.retire_months(actor=ACTOR, now=NOW)
    assert caught.value.figures["detach"] == 1
    assert caught.value.figures["export"] == 0
    whole()


@pytest.mark.soak
def test_84_months_are_kept_the_85th_is_dropped_and_everything_left_verifies(
    superuser, outside, archive, settings, scale
):
    kept, over = scale(84, 12), 3
    settings.FORGE_AUDIT_RETENTION_MONTHS = kept
    first = build(superuser, kept=kept, over=over, rows=scale(100, 2))
    receipts = [entry.receipt for entry in AuditLog.objects.order_by("timestamp")[:: scale(500, 5)]]
    copies = archive / TABLE
    for number in range(over):
        begins = add_months(first, kept + number + 1)
        at = datetime(begins.year, begins.month, 1, tzinfo=UTC)
        oldest = add_months(first, number)
        assert steps(at - timedelta(microseconds=1)) == ({}, [])
        assert steps(at) == ({"detach": [name_of(oldest)], "export": [name_of(oldest)]}, [])
        seal()
        assert steps(at + timedelta(days=7)) == ({"drop": [name_of(oldest)]}, [])
        seal()
        assert steps(at + timedelta(days=8)) == ({"remove": [name_of(oldest)]}, [])

        present = [one.first for one in partitions.attached(TABLE) if one.first < begins]
        assert present == [add_months(oldest, 1 + later) for later in range(kept)]
        whole(outside)
    assert sorted(path.name for path in copies.iterdir()) == [f"{add_months(first, n):%Y-%m}" for n in range(over)]
    for path in copies.iterdir():
        assert check_bundle(path / "bundle").status == "intact"
    for receipt in receipts:
        assert verify_receipt(receipt).findings == []


def test_months_that_were_sealed_long_after_and_all_at_once_leave_as_well(superuser, outside, archive):
    first = build(superuser, kept=KEPT, over=2, at_once=True)
    names = [name_of(first), name_of(add_months(first, 1))]
    before = BEGUN.replace(day=1) - timedelta(days=8)
    assert steps(before)[0] == {"detach": names[:1], "export": names[:1]}
    for _ in range(2):
        seal()
        assert steps(BEGUN)[1] == []
    assert len(detached.months_of(TABLE)) == 1
    seal()
    assert [one.step for one in plans.plan(NOW)] == ["drop"]
    for _ in range(2):
        seal()
        assert steps(NOW)[1] == []
    assert detached.months_of(TABLE) == []
    whole(outside)


# -- The set-up -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("FORGE_ARCHIVE", "", []),
        ("FORGE_ARCHIVE", "s3://bucket", ["audit.E004"]),
        ("FORGE_ARCHIVE", "directory:not/absolute", ["audit.E004"]),
        ("FORGE_AUDIT_RETENTION_MONTHS", 1, ["audit.E005"]),
        ("FORGE_COST_RETENTION_MONTHS", 0, ["audit.E005"]),
    ],
)
def test_the_system_check_names_what_is_wrong_with_the_set_up(archive, settings, name, value, found, capsys):
    setattr(settings, name, value)
    assert [message.id for message in checks.check_retention(None)] == found
    if found:
        assert command(capsys)[0] == 1  # in one line, and nothing is detached


def test_a_job_that_failed_shows_in_readyz_until_one_succeeds(oldest, settings, archive):
    settings.FORGE_AUDIT_RETENTION_MONTHS = KEPT
    assert health.check_retention() == health.Finding("ok")
    archive.rename(archive.with_name("away"))
    with pytest.raises(JobFault, match="there is no such folder"):
        tasks.retire_months()
    assert health.check_retention().status == "degraded"
    archive.with_name("away").rename(archive)
    assert tasks.retire_months()["export"] == len(due_by_the_clock(oldest))
    assert health.check_retention() == health.Finding("ok")
    assert tasks.retire_months() is None  # once a day


def test_contradicting_options_are_refused(archive, capsys):
    assert command(capsys, "--export-again", "x", "--dry-run")[0] == 1
    assert command(capsys, "--export-again", "audit_auditlog_1999_01")[0] == 1
