"""The stand-alone verifier on bundles that a forger has made fit: what is changed is found and named."""

import hashlib
import json

import pytest

from audit.sealing.signing import SigningKey
from audit.verifier import layout, rows
from audit.verifier.notes import read_checkpoint
from audit.verifier.proofs import leaf_hash
from tests.audit.attacker import MONTHS
from tests.audit.bundle_files import KEY, ORIGIN, check, edit, found, lines, manifest, number_of, refit, write_lines
from tests.audit.support import OTHER_SIGNING_KEY


def test_what_nobody_touched_is_intact(whole_bundle, month_bundle):
    for folder in (whole_bundle, month_bundle):
        assert check(folder, keys=[KEY]) == ("intact", [])
        refit(folder)
        assert check(folder, keys=[KEY]) == ("intact", [])


# -- A forger edits the bundle and makes all its hashes fit --


def test_an_edited_column(whole_bundle):
    place = number_of(whole_bundle)
    edit(whole_bundle, layout.ENTRIES, lambda entries: entries[3].update(result="FAILURE"))
    assert found(whole_bundle) == [("bad_row", *place)]


@pytest.mark.parametrize(
    "name", ["status_id", "message", "actor", "metadata", "hash_version", "id", "lane", "timestamp"]
)
def test_any_other_field_of_a_line(whole_bundle, name):
    place = number_of(whole_bundle)
    edit(whole_bundle, layout.ENTRIES, lambda entries: entries[3].update({name: "2020-01-01T00:00:00.000000Z"}))
    assert found(whole_bundle)[0] == ("bad_row", *place)


@pytest.mark.parametrize("forge", [{"extra": 1}, {"changes": {"after": {"state": "PENDING"}, "before": False}}])
def test_a_field_that_is_added_or_only_looks_the_same(whole_bundle, forge):
    edit(whole_bundle, layout.ENTRIES, lambda entries: entries[3].update(forge))
    assert found(whole_bundle)[0][0] == "bad_row"


def test_a_field_that_stands_twice(whole_bundle):
    """Which of the two a reader takes is his own affair, so neither may stand there."""
    entries = lines(whole_bundle, layout.ENTRIES)
    twice = layout.dump(entries[3]).replace('{"action_description"', '{"result":"FAILURE","action_description"') + "\n"
    write_lines(whole_bundle, layout.ENTRIES, [*entries[:3], twice, *entries[4:]])
    assert found(whole_bundle) == [("bad_row", *number_of(whole_bundle))]


def rehash(entry):
    """The entry with hashes that fit what it says now."""
    hashed = hashlib.sha256(entry["content"].encode()).digest()
    at = rows.microseconds(entry["timestamp"])
    previous = bytes.fromhex(entry["previous_log_hash"])
    log_hash = rows.log_hash_of(
        lane=entry["lane"], number=entry["lane_seq"], time=at, previous=previous, content_hash=hashed
    )
    said = json.loads(entry["content"])
    entry |= {"content_hash": hashed.hex(), "log_hash": log_hash.hex()}
    columns = {name: said[name] for name in layout.COLUMNS}
    entry |= json.loads(layout.entry_line({name: entry[name] for name in layout.PLACE}, columns))


def test_an_edited_entry_with_all_its_own_hashes(whole_bundle):
    def change(entries):
        entries[3]["content"] = entries[3]["content"].replace("Did thing", "Did nothing")
        rehash(entries[3])

    place = number_of(whole_bundle)
    edit(whole_bundle, layout.ENTRIES, change)
    assert found(whole_bundle) == [("other_leaf", *place)]


def leaf_at(folder, at, hashed):
    raw = bytearray((folder / layout.LEAVES).read_bytes())
    start = at * layout.LEAF.size
    lane, number, _ = layout.LEAF.unpack(raw[start : start + layout.LEAF.size])
    raw[start : start + layout.LEAF.size] = layout.LEAF.pack(lane, number, hashed)
    (folder / layout.LEAVES).write_bytes(raw)


def test_an_edited_entry_with_its_hashes_and_its_leaf(whole_bundle):
    def change(entries):
        entries[3]["content"] = entries[3]["content"].replace("Did thing", "Did nothing")
        rehash(entries[3])
        leaf_at(whole_bundle, 3, leaf_hash(bytes.fromhex(entries[3]["log_hash"])))

    lane, number = number_of(whole_bundle)
    edit(whole_bundle, layout.ENTRIES, change)
    findings = found(whole_bundle)
    assert ("broken_link", lane, number + 1) in findings
    assert [one for one in findings if one[0] == "bad_root" and one[1] == lane]


def test_a_deleted_entry(whole_bundle, month_bundle):
    for folder in (whole_bundle, month_bundle):
        place = number_of(folder)
        edit(folder, layout.ENTRIES, lambda entries: entries.pop(3))
        refit(folder, entries=manifest(folder)["entries"] - 1)
        assert ("no_row", *place) in found(folder)


def test_a_deleted_entry_with_its_leaf(whole_bundle):
    lane, _ = number_of(whole_bundle)
    raw = (whole_bundle / layout.LEAVES).read_bytes()
    size = layout.LEAF.size
    (whole_bundle / layout.LEAVES).write_bytes(raw[: 3 * size] + raw[4 * size :])

    def change(entries):
        entries.pop(3)
        for at, entry in enumerate(entries):
            entry["leaf_index"] = at

    edit(whole_bundle, layout.ENTRIES, change)
    facts = manifest(whole_bundle)
    refit(whole_bundle, entries=facts["entries"] - 1, leaves=facts["leaves"] | {"high": facts["leaves"]["high"] - 1})
    findings = found(whole_bundle)
    assert [one for one in findings if one[:2] in (("missing_rows", lane), ("broken_link", lane))]
    assert "bad_root" in {kind for kind, *_ in findings}


def test_an_entry_that_is_given_out_as_one_of_another_month(month_bundle):
    """Its line moves to the neighbours, which its own time contradicts."""
    entry = lines(month_bundle, layout.ENTRIES)[2]
    names = ("leaf_index", "id", "lane", "lane_seq", "timestamp", "hash_version", "content_hash", "previous_log_hash")
    edit(month_bundle, layout.ENTRIES, lambda entries: entries.pop(2))
    neighbour = {name: entry[name] for name in (*names, "log_hash")}
    edit(month_bundle, layout.NEIGHBOURS, lambda others: (others.append(neighbour), others.sort(key=by_leaf)))
    facts = manifest(month_bundle)
    refit(month_bundle, entries=facts["entries"] - 1, neighbours=facts["neighbours"] + 1)
    assert found(month_bundle)[0] == ("missing_entry", entry["lane"], entry["lane_seq"])


def by_leaf(line):
    return line["leaf_index"]


def test_an_entry_that_was_never_sealed_slipped_in(whole_bundle):
    def change(entries):
        entries.insert(4, entries[3] | {"lane_seq": 77, "id": (entries[3]["lane"] << 44) + 77})

    edit(whole_bundle, layout.ENTRIES, change)
    refit(whole_bundle, entries=manifest(whole_bundle)["entries"] + 1)
    assert [one for one in found(whole_bundle) if one[0] == "no_leaf" and one[2] == 77]


def test_two_entries_in_each_others_place(whole_bundle):
    def change(entries):
        entries[2], entries[3] = entries[3] | {"leaf_index": 2}, entries[2] | {"leaf_index": 3}

    edit(whole_bundle, layout.ENTRIES, change)
    assert {kind for kind, *_ in found(whole_bundle)} == {"bad_row"}


def test_an_end_that_is_cut_off_behind_the_last_checkpoint(whole_bundle):
    """Entries and leaves beyond the newest signature are vouched for by nobody."""
    edit(whole_bundle, layout.CHECKPOINTS, lambda checkpoints: checkpoints.pop())
    refit(whole_bundle, checkpoints=manifest(whole_bundle)["checkpoints"] - 1)
    assert found(whole_bundle) == [("unsigned_end", None, None)]


def test_a_bundle_that_somebody_elses_key_signed(whole_bundle):
    stranger = SigningKey.load(OTHER_SIGNING_KEY)

    def change(checkpoints):
        for one in checkpoints:
            told = read_checkpoint(one["note"], [KEY])
            one["note"] = stranger.sign(told)

    edit(whole_bundle, layout.CHECKPOINTS, change)
    (whole_bundle / layout.KEYS).write_text(f"{stranger.verifier(ORIGIN)}\n")
    refit(whole_bundle)
    assert check(whole_bundle)[0] == "intact"  # by its own key, of which the notice warns
    assert {kind for kind, *_ in found(whole_bundle)} >= {"bad_signature", "unsigned_end"}


@pytest.mark.parametrize(
    "forge", [{"tree_size": 1}, {"origin": "forge.test/other"}, {"note": None}, {"sealed_at": "now"}]
)
def test_a_checkpoint_that_tells_of_another_one(whole_bundle, forge):
    edit(whole_bundle, layout.CHECKPOINTS, lambda checkpoints: checkpoints[0].update(forge))
    assert found(whole_bundle)[0][0] == "bad_signature"


def test_times_that_do_not_fit_the_checkpoints(whole_bundle):
    edit(
        whole_bundle,
        layout.CHECKPOINTS,
        lambda checkpoints: checkpoints[1].update(sealed_at=f"{MONTHS[0]}T00:00:00.000000Z"),
    )
    assert {kind for kind, *_ in found(whole_bundle)} == {"impossible_time"}


def test_another_range_than_the_entries_have(month_bundle):
    refit(month_bundle, range={"first": f"{MONTHS[2]}T00:00:00.000000Z", "end": None})
    assert {kind for kind, *_ in found(month_bundle)} == {"foreign_entry", "missing_entry"}


@pytest.mark.parametrize(
    "forge", [{"entries": 1}, {"neighbours": 7}, {"checkpoints": 9}, {"origin": "other"}, {"lanes": []}]
)
def test_a_manifest_that_tells_otherwise(whole_bundle, forge):
    refit(whole_bundle, **forge)
    assert found(whole_bundle) == [("manifest_differs", None, None)]


def test_other_hashes_to_the_left_of_the_first_leaf(month_bundle):
    leaves = manifest(month_bundle)["leaves"]
    refit(month_bundle, leaves=leaves | {"left": [bytes(32).hex() for _ in leaves["left"]]})
    assert "bad_root" in {kind for kind, *_ in found(month_bundle)}
