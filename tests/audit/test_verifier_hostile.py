"""Bundles that are meant to stop the verifier, to keep it at work for ever or to be read in two ways."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from audit.verifier import layout
from audit.verifier.__main__ import main
from forge.env import BASE_DIR
from tests.audit.bundle_files import KEY, check, edit, found, lines, manifest, number_of, refit, write_lines

HALF = "\ud800"


def rewrite(folder, name, at, change):
    """Replace the text of one line."""
    texts = [f"{layout.dump(value)}\n" for value in lines(folder, name)]
    texts[at] = change(texts[at])
    write_lines(folder, name, texts)


@pytest.mark.parametrize("name", [*layout.FIXED, layout.PERSONAL, layout.MANIFEST, layout.MANIFEST_HASH])
@pytest.mark.parametrize("kind", ["link", "endless", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_read(whole_bundle, name, kind):
    path = whole_bundle / name
    moved = path.rename(whole_bundle.parent / "moved")
    match kind:
        case "link":
            path.symlink_to(moved)
        case "endless":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    assert check(whole_bundle, keys=[KEY]) == ("undecided", [])


def test_a_file_that_is_larger_than_told_is_not_read_to_its_end(whole_bundle, monkeypatch):
    with (whole_bundle / layout.LEAVES).open("ab") as file:
        file.truncate(1 << 40)  # of which the disk holds nothing
    assert check(whole_bundle, keys=[KEY]) == ("tampered", [("file_differs", None, None)])


@pytest.mark.parametrize(
    "content", [HALF, "{", "[" * 100_000, '{"v":1}', 5], ids=["half a pair", "no JSON", "deep", "other", "number"]
)
def test_content_that_cannot_be_hashed_or_read_is_named(whole_bundle, content):
    place = number_of(whole_bundle)
    rewrite(whole_bundle, layout.ENTRIES, 3, lambda text: json.dumps(json.loads(text) | {"content": content}) + "\n")
    assert found(whole_bundle)[0] == ("bad_row", *place)


@pytest.mark.parametrize("name", ["result", "actor_kind", "occurred_at", "changes", "context", "resource_type"])
@pytest.mark.parametrize("value", [[], {}, HALF, 1.5, None, True])
def test_content_whose_values_are_of_another_kind_is_named(whole_bundle, name, value):
    """Both the content and the columns that repeat it."""
    place = number_of(whole_bundle)

    def change(text):
        entry = json.loads(text)
        said = json.loads(entry["content"]) | {name: value}
        entry["content"] = json.dumps(said)
        return json.dumps(entry | {name: value}) + "\n"

    rewrite(whole_bundle, layout.ENTRIES, 3, change)
    assert ("bad_row", *place) in found(whole_bundle)


@pytest.mark.parametrize("value", [HALF, {"a": HALF}, "deep"])
def test_a_personal_value_that_has_no_bytes_is_named(whole_bundle, value):
    if value == "deep":
        value = json.loads("[" * 900 + "]" * 900)
    rewrite(whole_bundle, layout.PERSONAL, 0, lambda text: json.dumps(json.loads(text) | {"user_email": value}) + "\n")
    status, findings = check(whole_bundle, keys=[KEY])
    assert status == "tampered"
    assert {kind for kind, *_ in findings} <= {"bad_personal", "bad_line"}


def test_a_personal_value_that_stands_twice_is_not_passed_over(whole_bundle):
    """A reader who takes the first would read another address than the one that was recorded."""
    rewrite(whole_bundle, layout.PERSONAL, 0, lambda text: '{"user_email":"eve@example.com",' + text[1:])
    assert found(whole_bundle)[0][0] == "bad_line"


def test_a_field_beside_the_personal_values_is_not_passed_over(whole_bundle):
    edit(whole_bundle, layout.PERSONAL, lambda values: values[0].update(user_name="Eve"))
    assert found(whole_bundle)[0][0] == "bad_personal"


def test_a_checkpoint_line_in_another_spelling_is_not_passed_over(whole_bundle):
    rewrite(whole_bundle, layout.CHECKPOINTS, 0, lambda text: '{"tree_size":1,' + text[1:])
    assert found(whole_bundle)[0][0] == "bad_line"


@pytest.mark.parametrize("lane", [[], {}, None, "0", 1.0, True])
def test_a_manifest_whose_lanes_are_none_leaves_nothing_decided(whole_bundle, lane):
    refit(whole_bundle, lanes=[{"lane": lane}])
    assert check(whole_bundle, keys=[KEY]) == ("undecided", [])


def test_a_manifest_that_says_one_thing_twice_leaves_nothing_decided(whole_bundle):
    told = json.dumps(manifest(whole_bundle))
    path = whole_bundle / layout.MANIFEST
    path.write_text('{"entries": 5, ' + told[1:])
    assert check(whole_bundle, keys=[KEY])[0] == "tampered"  # its own hash does not fit
    refit_hash(whole_bundle)
    assert check(whole_bundle, keys=[KEY]) == ("undecided", [])


def refit_hash(folder):
    hashed = hashlib.sha256((folder / layout.MANIFEST).read_bytes()).hexdigest()
    (folder / layout.MANIFEST_HASH).write_text(f"{hashed}  {layout.MANIFEST}\n")


def test_a_bomb_is_not_unpacked_into_memory(whole_bundle):
    """A gigabyte of spaces in a line of its own, a megabyte compressed."""
    with gzip.open(whole_bundle / layout.NEIGHBOURS, "wb", compresslevel=9) as file:
        for _ in range(64):
            file.write(b" " * (1 << 20))
    refit(whole_bundle)
    assert check(whole_bundle, keys=[KEY]) == ("undecided", [])


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_names_that_no_terminal_can_show_do_not_keep_the_findings_from_it(whole_bundle, form):
    rewrite(
        whole_bundle, layout.ENTRIES, 3,
        lambda text: json.dumps(json.loads(text) | {HALF: 1, "\x1b[2J\u2028": 2}) + "\n",
    )  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-m", "audit.verifier", str(whole_bundle), "--key", str(KEY), *form],
        cwd=BASE_DIR, env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (1, b"")
    assert b"bad_row" in shown.stdout
    assert b"\x1b" not in shown.stdout


def test_a_link_to_the_bundle_itself_is_no_matter(whole_bundle, capsys):
    link = whole_bundle.parent / "link"
    link.symlink_to(whole_bundle)
    assert main([str(link), "--key", str(KEY)]) == 0
    shutil.rmtree(whole_bundle)
