"""What the stand-alone verifier says: personal values, receipts, outside checkpoints, and what it cannot decide."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cryptography
import pytest

import audit.verifier
from audit.receipts import Receipt
from audit.sealing.signing import SigningKey
from audit.verifier import layout
from audit.verifier.__main__ import main
from audit.verifier.checking import Receipt as Given
from audit.verifier.findings import SHOWN
from audit.verifier.notes import Checkpoint
from tests.audit.bundle_files import KEY, ORIGIN, check, edit, found, lines, number_of, refit, write_lines
from tests.audit.support import SIGNING_KEY

# -- Personal values --


def test_another_personal_value(whole_bundle):
    edit(whole_bundle, layout.PERSONAL, lambda values: values[3].update(user_email="eve@example.com"))
    assert found(whole_bundle) == [("bad_personal", *number_of(whole_bundle))]


@pytest.mark.parametrize(
    "forge",
    [
        {"salt": None},
        {"salt": "00"},
        {"salt": "x"},
        {"personal": {"context.x": 1}},
        {"personal": []},
        {"source_ip": None},
    ],
)
def test_personal_values_that_cannot_be(whole_bundle, forge):
    edit(whole_bundle, layout.PERSONAL, lambda values: values[-1].update(forge))
    assert [kind for kind, *_ in found(whole_bundle)] == ["bad_personal"]


def test_personal_values_of_no_entry(whole_bundle):
    edit(whole_bundle, layout.PERSONAL, lambda values: values.append(values[0] | {"id": 5 << 44}))
    assert found(whole_bundle) == [("bad_personal", None, None)]


def test_personal_values_that_are_gone_are_told_and_all_else_is_checked(whole_bundle, capsys):
    edit(whole_bundle, layout.PERSONAL, lambda values: values.pop(3))
    assert check(whole_bundle, keys=[KEY]) == ("intact", [])
    assert main([str(whole_bundle), "--key", str(KEY)]) == 0
    assert "personal values of 1 entries are gone and no erasure in this bundle names them" in capsys.readouterr().out


def test_what_an_erasure_names_is_counted_as_erased(original_bundles, tmp_path, capsys):
    folder = Path(shutil.copytree(original_bundles / "erased", tmp_path / "erased"))

    def erase(values):
        empty = dict.fromkeys(("user_email", "source_ip", "user_agent", "personal", "salt"))
        values[-3] |= empty
        values[-2]["personal"] = None

    edit(folder, layout.PERSONAL, erase)
    assert main([str(folder), "--key", str(KEY), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["erased"], told["findings"]) == (2, [])
    assert not [notice for notice in told["notices"] if "gone" in notice]
    edit(folder, layout.PERSONAL, lambda values: values.pop(-2))
    assert main([str(folder), "--key", str(KEY)]) == 0  # more is gone than the erasure says
    assert "values of 1 entries were erased" in (out := capsys.readouterr().out)
    assert "values of 1 entries are gone and no erasure" in out


# -- Receipts and checkpoints that the auditor brings along --


def test_a_receipt(whole_bundle):
    entry = lines(whole_bundle, layout.ENTRIES)[3]
    receipt = Receipt(entry["lane"], entry["lane_seq"], bytes.fromhex(entry["log_hash"]))
    assert main([str(whole_bundle), "--key", str(KEY), "--receipt", str(receipt)]) == 0
    assert found(whole_bundle, receipt=Given(receipt.lane, receipt.lane_seq, bytes(32)))[0][0] == "receipt_differs"
    assert check(whole_bundle, receipt=Given(9, 1, bytes(32)))[0] == "undecided"


def test_a_checkpoint_from_outside(whole_bundle, tmp_path):
    newest = lines(whole_bundle, layout.CHECKPOINTS)[-1]
    note = tmp_path / "note"
    note.write_text(newest["note"])
    assert main([str(whole_bundle), "--key", str(KEY), "--checkpoint", str(note)]) == 0
    key = SigningKey.load(SIGNING_KEY)
    note.write_text(key.sign(Checkpoint(ORIGIN, newest["tree_size"], bytes(32))))
    assert main([str(whole_bundle), "--key", str(KEY), "--checkpoint", str(note)]) == 1
    note.write_text(key.sign(Checkpoint(ORIGIN, newest["tree_size"] + 1, bytes(32))))
    assert main([str(whole_bundle), "--key", str(KEY), "--checkpoint", str(note)]) == 2  # the bundle ends before it
    note.write_text("no note")
    assert main([str(whole_bundle), "--key", str(KEY), "--checkpoint", str(note)]) == 2


# -- What cannot be decided --


@pytest.mark.parametrize("name", [*layout.FIXED, layout.MANIFEST, layout.MANIFEST_HASH, layout.PERSONAL])
def test_a_file_that_is_missing_or_cut_short_cannot_be_decided(whole_bundle, name):
    path = whole_bundle / name
    raw = path.read_bytes()
    path.unlink()
    assert check(whole_bundle, keys=[KEY])[0] == "undecided"
    path.write_bytes(raw[: len(raw) // 2])
    # The manifest and its hash contradict each other then; of the others the manifest knows the size.
    tampered = name in (layout.MANIFEST, layout.MANIFEST_HASH)
    assert check(whole_bundle, keys=[KEY])[0] == ("tampered" if tampered else "undecided")


@pytest.mark.parametrize(
    "forge", [{"format": "other"}, {"version": 2}, {"leaves": {}}, {"lanes": None}, {"entries": "1"}]
)
def test_another_format_cannot_be_decided(whole_bundle, forge):
    refit(whole_bundle, **forge)
    assert check(whole_bundle, keys=[KEY]) == ("undecided", [])


def test_without_any_key_nothing_can_be_decided(whole_bundle, capsys):
    (whole_bundle / layout.KEYS).write_text("")
    refit(whole_bundle)
    assert check(whole_bundle) == ("undecided", [])
    assert main([str(whole_bundle)]) == 2
    assert "holds no public key: give one with --key" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([str(whole_bundle), "--key", "no key"])
    assert ended.value.code == 2


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().out


def test_without_a_key_of_the_auditors_own_it_says_what_that_is_worth(whole_bundle, capsys):
    assert main([str(whole_bundle)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("intact: ")
    assert "which whoever made it chose" in out
    main([str(whole_bundle), "--key", str(KEY)])
    assert "chose" not in capsys.readouterr().out


def test_the_first_bad_entry_is_named_with_lane_number_and_line(whole_bundle, capsys):
    lane, number = number_of(whole_bundle)
    edit(whole_bundle, layout.ENTRIES, lambda entries: entries[3].update(result="FAILURE"))
    assert main([str(whole_bundle), "--key", str(KEY)]) == 1
    place = f"lane {lane}, number {number}, entries.ndjson.gz line 4"
    assert f"  bad_row: its result is not what its content, hashes and leaf say ({place})\n" in capsys.readouterr().out


def test_many_findings_are_counted_and_the_first_are_told(whole_bundle, capsys):
    edit(whole_bundle, layout.ENTRIES, lambda entries: [entry.update(result="FAILURE") for entry in entries])
    assert main([str(whole_bundle), "--key", str(KEY), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["wrong"], len(told["findings"]), told["first"]) == (30, SHOWN, told["findings"][0])


@pytest.mark.parametrize(
    "text", ["{", "[]\n", "1\n", '{"leaf_index":"x"}\n', "[" * 100_000 + "\n", '{"leaf_index":3}\n']
)
@pytest.mark.parametrize("name", [layout.ENTRIES, layout.NEIGHBOURS, layout.CHECKPOINTS, layout.PERSONAL])
def test_lines_that_are_no_lines_stop_nothing(whole_bundle, name, text):
    write_lines(whole_bundle, name, [*lines(whole_bundle, name), text])
    assert found(whole_bundle)


# -- Alone --


def test_the_folder_alone_on_a_machine_without_django_checks_a_bundle(whole_bundle, tmp_path):
    alone, packages = tmp_path / "alone", tmp_path / "packages"
    shutil.copytree(
        Path(audit.verifier.__file__).parent, alone / "verifier", ignore=shutil.ignore_patterns("__pycache__")
    )
    packages.mkdir()
    site = Path(cryptography.__file__).parents[1]
    for one in ("cryptography", "cffi", *(path.name for path in site.glob("_cffi_backend*"))):
        (packages / one).symlink_to(site / one)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=alone, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert "No module named 'django'" in run("-c", "import django").stderr
    done = run("-m", "verifier", str(whole_bundle), "--key", str(KEY))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("intact: ")
    edit(whole_bundle, layout.ENTRIES, lambda entries: entries.pop(3))
    assert run("-m", "verifier", str(whole_bundle)).returncode == 1
    shutil.rmtree(whole_bundle)
    assert run("-m", "verifier", str(whole_bundle)).returncode == 2
