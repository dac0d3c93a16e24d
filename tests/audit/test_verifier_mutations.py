"""Bundles changed at random: none is intact."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.verifier import layout
from tests.audit.bundle_files import KEY, check, lines, write_lines
from tests.plugins.scale import count

FILES = [*layout.FIXED, layout.MANIFEST, layout.MANIFEST_HASH]


@pytest.mark.soak
@pytest.mark.parametrize("name", ["whole", "month"])
def test_no_bundle_with_any_byte_of_its_fixed_files_changed_is_intact(original_bundles, tmp_path_factory, name):
    folder = Path(shutil.copytree(original_bundles / name, tmp_path_factory.mktemp("mutated") / name))
    kept = {file: (folder / file).read_bytes() for file in FILES}

    @settings(max_examples=count(5000, 150, soak=os.environ.get("FORGE_SOAK", "0")))
    @given(file=st.sampled_from(FILES), data=st.data())
    def mutate(file, data):
        raw = kept[file]
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "cut", "append"]))
        some = data.draw(st.binary(min_size=1, max_size=4))
        changed = {
            "flip": raw[:at] + bytes([raw[at] ^ (some[0] or 1)]) + raw[at + 1 :],
            "insert": raw[:at] + some + raw[at:],
            "delete": raw[:at] + raw[at + 1 :],
            "cut": raw[:at],
            "append": raw + some,
        }[kind]
        (folder / file).write_bytes(changed)
        status, _ = check(folder, keys=[KEY])
        (folder / file).write_bytes(raw)
        assert status != "intact"

    mutate()
    assert check(folder, keys=[KEY]) == ("intact", [])


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=70), st.just({}), st.just([])
)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["whole", "month"])
def test_no_bundle_with_a_line_forged_and_all_hashes_made_to_fit_is_intact(original_bundles, tmp_path_factory, name):
    """What hashes in a manifest cannot show, the signatures do."""
    folder = Path(shutil.copytree(original_bundles / name, tmp_path_factory.mktemp("forged") / name))
    proved = [layout.ENTRIES, layout.NEIGHBOURS] if name == "month" else [layout.ENTRIES]
    kept = {file: lines(folder, file) for file in proved}

    @settings(max_examples=count(5000, 150, soak=os.environ.get("FORGE_SOAK", "0")))
    @given(file=st.sampled_from(proved), data=st.data())
    def forge(file, data):
        values = [dict(value) for value in kept[file]]
        if not values:
            return
        at = data.draw(st.integers(0, len(values) - 1))
        kind = data.draw(st.sampled_from(["value", "drop", "field", "double", "swap"]))
        key = data.draw(st.sampled_from(sorted(values[at])))
        other = data.draw(st.integers(0, len(values) - 1))
        if kind == "value":
            values[at][key] = data.draw(VALUES)
        elif kind == "field":
            del values[at][key]
        elif kind == "drop":
            del values[at]
        elif kind == "double":
            values.insert(other, dict(values[at]))
        else:
            values[at], values[other] = values[other], values[at]
        write_lines(folder, file, values)
        if "".join(map(layout.dump, values)) != "".join(map(layout.dump, kept[file])):
            assert check(folder, keys=[KEY])[0] != "intact"

    forge()
