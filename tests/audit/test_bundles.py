"""What an export bundle holds: the months asked for, whole, without personal values, from one snapshot."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from audit.archive import bundles, files, sealed_rows
from audit.archive.bundles import NothingSealed
from audit.archive.files import FolderExists
from audit.models import AuditLog
from audit.sealing.sealer import seal
from audit.verifier import layout
from audit.verifier.checking import check_bundle
from forge.db import partitions
from forge.db.months import add_months
from tests.audit.attacker import COUNTS, MONTHS, THIS_MONTH, Attacker, build
from tests.audit.bundle_files import check, export, lines, manifest
from tests.audit.support import SIGNING_KEY, leave, leave_one, rechain

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

TOTAL = sum(map(sum, COUNTS.values()))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "bundle"


@pytest.fixture
def world(superuser, outside):
    return build(superuser)


def test_the_whole_log_is_intact_and_holds_each_sealed_entry_once(world, target):
    leave(2)
    told = export(target).manifest
    assert check(target) == ("intact", [])
    ids = [entry["id"] for entry in lines(target, layout.ENTRIES)]
    assert sorted(ids) == sorted((lane << 44) + number for lane, number in world)
    assert (told["entries"], told["unsealed"], told["neighbours"]) == (TOTAL, 2, 0)
    assert told["is_complete"] is False
    assert any("2 rows of the range were not sealed yet" in notice for notice in check_bundle(target).notices)


@pytest.mark.parametrize("number", range(3))
def test_a_month_holds_its_entries_and_proves_that_the_others_are_of_other_months(world, target, number):
    month = MONTHS[number]
    told = export(target, month, month).manifest
    count = sum(counts[number] for counts in COUNTS.values())
    assert check(target) == ("intact", [])
    assert told["entries"] == count
    assert {entry["timestamp"][:7] for entry in lines(target, layout.ENTRIES)} == {f"{month:%Y-%m}"}
    assert (told["is_complete"], told["unsealed"], told["earlier_is_gone"]) == (number < 2, 0, False)
    assert told["leaves"]["low"] == sum(sum(counts[:number]) for counts in COUNTS.values())


def test_a_range_of_months(world, target):
    export(target, MONTHS[1], MONTHS[2])
    assert check(target) == ("intact", [])
    assert len(lines(target, layout.ENTRIES)) == sum(sum(counts[1:]) for counts in COUNTS.values())


def test_entries_that_were_sealed_together_with_another_month_stand_beside_it_as_neighbours(outside, target, superuser):
    partitions.ensure("audit_auditlog", MONTHS[0], THIS_MONTH)
    leave(6, lane=0)
    rechain(superuser, 0, [datetime(month.year, month.month, day, tzinfo=UTC) for month in MONTHS for day in (1, 28)])
    seal()
    told = export(target, MONTHS[1], MONTHS[1]).manifest
    assert check(target) == ("intact", [])
    assert (told["entries"], told["neighbours"]) == (2, 4)
    assert [entry["lane_seq"] for entry in lines(target, layout.NEIGHBOURS)] == [1, 2, 5, 6]
    assert lines(target, layout.NEIGHBOURS)[0].keys() >= {"timestamp", "content_hash", "log_hash"}
    assert "content" not in lines(target, layout.NEIGHBOURS)[0]


def test_a_month_without_entries_is_a_bundle_too(world, target):
    empty = add_months(MONTHS[0], -1)
    assert export(target, empty, empty).manifest["entries"] == 0
    assert check(target) == ("intact", [])


def test_no_personal_value_and_no_salt_stands_in_the_fixed_files(outside, target):
    leave(3)
    seal()
    export(target)
    salts = [bytes(row.salt).hex() for row in AuditLog.objects.all()]
    for name in (layout.ENTRIES, layout.NEIGHBOURS, layout.CHECKPOINTS):
        text = json.dumps(lines(target, name))
        assert not [one for one in ("ann@example.com", "198.51.100.7", "Mozilla", *salts) if one in text], name
    first = lines(target, layout.PERSONAL)[0]
    assert (first["user_email"], first["source_ip"], first["salt"]) == ("ann@example.com", "198.51.100.7", salts[0])


def test_an_entry_is_an_ocsf_api_activity_beside_its_own_columns(outside, target):
    leave_one(changes={"before": {"state": "A"}, "after": {"state": "B"}}, result="DENIED")
    seal()
    export(target)
    (entry,) = lines(target, layout.ENTRIES)
    row = AuditLog.objects.get()
    assert (entry["class_uid"], entry["category_uid"], entry["activity_id"], entry["type_uid"]) == (6003, 6, 3, 600303)
    assert (entry["status_id"], entry["status_detail"]) == (2, "DENIED")
    assert entry["api"] == {"operation": row.action_type}
    assert entry["actor"]["user"]["uid"] == entry["user_id"] == str(row.user_id)
    assert entry["resources"] == [{"type": "Thing", "uid": "0"}]
    assert entry["metadata"]["product"]["name"] == "RobCo Forge"
    assert entry["time"] == int(row.occurred_at.timestamp() * 1000)
    assert (entry["content"], entry["log_hash"]) == (row.content, bytes(row.log_hash).hex())


def test_what_commits_while_the_bundle_is_written_belongs_to_the_next(world, target, monkeypatch, make_app_connection):
    other = make_app_connection(role="forge_owner", autocommit=True)
    real = sealed_rows.Snapshot.rows

    def rows(self, *arguments):
        found = real(self, *arguments)
        yield next(found)
        other.execute("INSERT INTO audit_auditnode VALUES (40, 0, sha256('x'))")
        other.execute(
            "INSERT INTO audit_auditcheckpoint SELECT id + 1, incarnation, origin, tree_size + 1, root_hash, sealed_at,"
            " note FROM audit_auditcheckpoint ORDER BY id DESC LIMIT 1"
        )
        yield from found

    monkeypatch.setattr(sealed_rows.Snapshot, "rows", rows)
    export(target)
    assert check(target) == ("intact", [])


def test_pieces_smaller_than_the_log_give_the_same_bundle(world, tmp_path, monkeypatch):
    export(tmp_path / "one")
    monkeypatch.setattr(sealed_rows, "PIECE", 3)
    export(tmp_path / "many")
    for name in (*layout.FIXED, layout.PERSONAL):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes(), name


def test_a_gap_of_months_between_two_pieces_is_no_gap_in_the_bundle(world, target, monkeypatch):
    monkeypatch.setattr(sealed_rows, "PIECE", 3)
    monkeypatch.setattr(sealed_rows, "NEAR", timedelta(days=1))
    export(target)
    assert check(target) == ("intact", [])


def test_a_detached_month_is_read_from_where_it_is(world, target, superuser):
    name = partitions.name_of("audit_auditlog", MONTHS[0])
    superuser(f"ALTER TABLE audit_auditlog DETACH PARTITION {name}")
    tables = (name, "audit_auditlog")
    with bundles.write(target, first=MONTHS[0], until=MONTHS[0], tables=tables, using="owner") as bundle:
        superuser(f"DROP TABLE {name}")  # and it is not needed any more
    assert bundle.manifest["entries"] == sum(counts[0] for counts in COUNTS.values())
    assert check(target) == ("intact", [])


def test_after_a_month_has_left_the_rest_is_a_bundle_that_says_so(outside, target, superuser):
    """Entries of the month that has left were sealed together with later ones: their leaves have no row."""
    partitions.ensure("audit_auditlog", MONTHS[0], THIS_MONTH)
    for count in (2, 3):
        leave(count, lane=0)
        seal()
    start = datetime(MONTHS[1].year, MONTHS[1].month, 1, tzinfo=UTC)
    minute = timedelta(minutes=1)
    rechain(superuser, 0, [start - 4 * minute, start - 3 * minute, start - minute, start, start + minute])
    superuser("UPDATE audit_auditcheckpoint SET sealed_at = %s WHERE id = 1", start - 2 * minute)
    Attacker(superuser).reseal(sign_with=SIGNING_KEY)
    superuser(f"DROP TABLE {partitions.name_of('audit_auditlog', MONTHS[0])}")
    told = export(target).manifest
    assert (told["entries"], told["earlier_is_gone"], told["leaves"]["low"]) == (2, True, 2)
    report = check_bundle(target)
    assert (report.status, report.findings) == ("intact", [])
    assert any("1 leaves at the beginning have no entry" in notice for notice in report.notices)


@pytest.mark.parametrize("in_the_way", ["file", "full folder", "link"])
def test_nothing_is_written_over_what_is_there(world, target, tmp_path, in_the_way):
    if in_the_way == "file":
        target.write_text("mine")
    elif in_the_way == "link":
        target.symlink_to(tmp_path)
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with pytest.raises(FolderExists):
        export(target)
    assert not list(tmp_path.glob(".*.part"))


def test_an_empty_folder_is_taken(world, target):
    target.mkdir()
    export(target)
    assert check(target)[0] == "intact"


@pytest.mark.parametrize("step", ["rows", "checkpoints", "hook"])
def test_what_fails_on_the_way_leaves_nothing(world, target, tmp_path, monkeypatch, step):
    def broken(self, *arguments):
        raise OSError(28, "No space left on device")

    if step != "hook":
        monkeypatch.setattr(sealed_rows.Snapshot, step, broken)
    with pytest.raises(OSError, match="No space left"), bundles.write(target, first=None, until=None):
        broken(None)
    assert not target.exists()
    assert not list(tmp_path.glob(".*.part"))


FULL_DISK = """
import resource, signal, sys, django
django.setup()
from forge.db import scope
scope.process_is_system()
from pathlib import Path
from audit.archive import bundles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    with bundles.write(Path(sys.argv[1]), first=None, until=None):
        pass
except OSError as error:
    print(error.errno)
"""


def test_a_disk_that_takes_no_more_leaves_nothing_half_made(world, target, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(target)],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "forge.settings", "DATABASE_URL": url()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "27\n", (
        done.stderr
    )  # EFBIG, the kernel's word for "no further" where a test cannot fill a disk
    assert list(tmp_path.glob("*bundle*")) + list(tmp_path.glob(".*")) == []


def url():
    """The database of this test for another process."""
    known = connection.get_connection_params()
    return f"postgresql://{known['user']}:{known.get('password', '')}@{known['host']}:{known['port']}/{known['dbname']}"


def test_without_a_signed_checkpoint_there_is_nothing_to_export(outside, target, settings):
    leave(2)
    for _ in range(2):
        with pytest.raises(NothingSealed):
            export(target)
        settings.FORGE_AUDIT_SIGNING_KEY = ""
        seal()  # leaves, and no signature
    assert not target.exists()


def test_inside_a_transaction_it_is_refused(world, target):
    with transaction.atomic(), pytest.raises(RuntimeError):
        export(target)
    assert not target.exists()


def test_a_row_that_no_file_can_carry_is_written_as_it_is_and_found(world, target, superuser):
    superuser("UPDATE audit_auditlog SET context = %s::jsonb WHERE id = 2", "[" * 3000 + "]" * 3000)
    superuser("UPDATE audit_auditlog SET occurred_at = 'infinity' WHERE id = 3")
    export(target)
    assert check(target) == ("tampered", [("bad_row", 0, 2), ("bad_row", 0, 3)])


def test_the_folder_is_flushed_before_it_has_its_name(world, target, monkeypatch):
    order = []
    flush, rename = files.flush, type(target).rename
    monkeypatch.setattr(files, "flush", lambda folder: (order.append("flush"), flush(folder)))
    monkeypatch.setattr(type(target), "rename", lambda *names: (order.append("rename"), rename(*names)))
    export(target)
    assert order == ["flush", "rename", "flush"]
    assert manifest(target)["entries"] == TOTAL
