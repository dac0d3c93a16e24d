"""`manage.py audit_export`: what it writes, what it leaves in the log, and what it refuses."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.verifier.__main__ import main
from tests.audit.attacker import MONTHS, Attacker, build
from tests.audit.support import leave

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "bundle"


@pytest.fixture
def world(superuser, outside):
    build(superuser)


def run(*arguments):
    out = StringIO()
    call_command("audit_export", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_month_is_written_checked_and_told_of_in_the_log(world, target, seen):
    seen()
    told = json.loads(run("--to", target, "--month", f"{MONTHS[1]:%Y-%m}", "--json"))
    assert told["folder"] == str(target)
    assert main([str(target)]) == 0
    (entry,) = seen()
    assert (entry.action_type, entry.result, entry.actor_kind) == ("AUDIT_EXPORT", "SUCCESS", "COMMAND")
    assert entry.context["command"] == "audit_export"
    assert entry.context["format"] == "bundle"
    assert entry.context["manifest_sha256"] == told["manifest_sha256"]
    assert (target / "manifest.json.sha256").read_text().startswith(told["manifest_sha256"])
    assert str(target) not in entry.content


def test_the_whole_log_and_a_range(world, target, tmp_path):
    assert json.loads(run("--to", target, "--json"))["entries"] == 27
    text = run("--to", tmp_path / "range", "--from", f"{MONTHS[1]:%Y-%m}", "--until", f"{MONTHS[2]:%Y-%m}")
    assert text.splitlines()[0].startswith(f"folder {tmp_path}/range, entries 20, ")
    assert text.endswith(f"python -m audit.verifier {tmp_path}/range --key NAME+ID+BASE64\n")
    assert f"range {MONTHS[1]:%Y-%m-01}T00:00:00.000000Z to " in text
    assert main([str(tmp_path / "range")]) == 0


def test_a_dry_run_says_what_it_would_do_and_does_nothing(world, target, seen):
    seen()
    told = json.loads(run("--to", target, "--month", f"{MONTHS[0]:%Y-%m}", "--dry-run", "--json"))
    assert told == {"rows": 7, "leaves": [0, 19], "is_complete": True}
    assert not target.exists()
    assert seen() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--month", "2026-13"), "'2026-13' is no month of the form YYYY-MM"),
        (("--month", "2026-01", "--from", "2026-01"), "--month stands alone"),
        (("--from", "2026-02", "--until", "2026-01"), "The range is reversed: --from 2026-02 --until 2026-01"),
    ],
)
def test_a_range_that_is_none_is_refused(world, target, seen, arguments, why):
    seen()
    with pytest.raises(CommandError, match=why):
        run("--to", target, *arguments)
    assert not target.exists()
    assert seen() == []


def test_a_folder_that_is_not_empty_is_refused(world, target, seen):
    seen()
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(CommandError, match="is not empty; nothing is written over"):
        run("--to", target)
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert seen() == []


def test_without_a_signed_checkpoint_it_is_refused(target, outside):
    leave(2)
    with pytest.raises(CommandError, match="No signed checkpoint"):
        run("--to", target)


def test_an_export_whose_entry_cannot_be_written_is_not_there(world, target, tmp_path, superuser_connection):
    superuser_connection.execute("ALTER FUNCTION audit_append RENAME TO audit_append_away")
    try:
        with pytest.raises(CommandError, match="audit log cannot be written"):
            run("--to", target)
    finally:
        superuser_connection.execute("ALTER FUNCTION audit_append_away RENAME TO audit_append")
    assert not target.exists()
    assert list(tmp_path.glob(".*.part")) == []


def test_what_a_superuser_did_to_a_row_is_found_in_the_bundle(world, target, tmp_path, superuser, capsys):
    run("--to", target)
    assert main([str(target)]) == 0
    Attacker(superuser).edit(1, 4, recompute=True)
    Attacker(superuser).relink(1)
    run("--to", tmp_path / "again")
    assert main([str(tmp_path / "again")]) == 1
    assert "other_leaf: it is not the row that was sealed in its place (lane 1, number 4, " in capsys.readouterr().out
